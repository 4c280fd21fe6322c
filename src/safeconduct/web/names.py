"""How a client is shown to a person: what it says about itself, and what can be checked.

A client chooses its own name, so the name is cleaned and never shown without how it is
known; the redirect address is checked, so it leads (RFC 9700 section 4.12; MCP security
best practices, confused deputy).
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

from safeconduct.core.model import Value

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CSP_HOST = re.compile(r"[a-z0-9.-]{1,253}")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,62}")
_HEADING_CHARACTERS = 40
_NAME_CHARACTERS = 200
# Letters, marks and symbols that are drawn as nothing at all: fillers, joiners, variation
# selectors (Unicode, Default_Ignorable_Code_Point, outside category C) and blank patterns.
_UNSEEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159"
) | {chr(point) for point in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}
_MOST_MARKS = 2  # combining marks on one letter; more is a way to paint over other lines

# Names many people know, and where those clients really live.
_KNOWN = {
    "claude": ("claude.ai", "claude.com", "anthropic.com"),
    "claude code": ("claude.ai", "claude.com", "anthropic.com"),
    "chatgpt": ("chatgpt.com", "openai.com"),
    "codex": ("chatgpt.com", "openai.com"),
    "cursor": ("cursor.com", "cursor.sh"),
    "visual studio code": ("vscode.dev", "code.visualstudio.com", "microsoft.com"),
    "vs code": ("vscode.dev", "code.visualstudio.com", "microsoft.com"),
    "gemini": ("gemini.google.com", "google.com"),
    "github copilot": ("github.com",),
}


class Way(Value, frozen=True):
    """Where the browser goes after the decision.

    Attributes:
        kind: `web`, `loopback` or `app`.
        place: The part to show in bold: host and port, or `scheme:`.
        form_target: CSP source for `form-action`.
        punycode: Whether the host is written in another alphabet, shown here in ASCII.
    """

    kind: str
    place: str
    form_target: str
    punycode: bool = False


def cleaned(text: str, *, longest: int = _NAME_CHARACTERS) -> str:
    """Return text of somebody else's as one plain line.

    Control, format (bidirectional, zero-width), unassigned and invisible characters go, white
    space becomes one space, letters carry at most two combining marks.
    """
    kept: list[str] = []
    marks = 0
    for character in text[: 4 * longest]:
        if character in _UNSEEN:
            continue
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if category[0] == "Z" or character in "\t\r\n":
            kept.append(" ")
        elif category[0] != "C" and marks <= _MOST_MARKS:
            kept.append(character)
    return cut(" ".join("".join(kept).split()), longest)


def cut(text: str, longest: int = _HEADING_CHARACTERS) -> str:
    """Shorten with an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def way_back(redirect_uri: str) -> Way:
    """Describe a redirect URI that was already checked.

    Raises:
        ValueError: If it is no URI at all; a checked one always is.
    """
    parts = urlsplit(redirect_uri)
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https"):
        if _SCHEME.fullmatch(scheme) is None:
            raise ValueError("a redirect URI has a scheme")
        return Way(kind="app", place=f"{scheme}:", form_target=f"{scheme}:")
    host = _ascii(parts.hostname or "")
    port = "" if parts.port is None else f":{parts.port}"
    # Browsers' policies know no IPv6 literals (CSP3 section 2.3.1), so the scheme must do.
    source = f"{scheme}://{host}{port}" if _CSP_HOST.fullmatch(host) else f"{scheme}:"
    place = f"[{host}]{port}" if ":" in host else f"{host}{port}"
    if host in _LOOPBACK:
        return Way(kind="loopback", place=place, form_target=source)
    return Way(kind="web", place=place, form_target=source, punycode="xn--" in host)


def warning_about(name: str, *, published_at: str | None, way: Way) -> str | None:
    """Say what is odd about a name, or None.

    Args:
        name: As the client calls itself.
        published_at: Host of its metadata document, if it has one.
        way: Where it sends people back to.
    """
    homes = _KNOWN.get(unicodedata.normalize("NFKC", cleaned(name)).casefold())
    if homes is not None:
        host = published_at or (way.place.partition(":")[0] if way.kind == "web" else None)
        if host is not None and not any(
            host == home or host.endswith(f".{home}") for home in homes
        ):
            return f"Other people know this name from {homes[0]}."
    if len(_alphabets(name)) > 1:
        return "This name mixes alphabets, so it may only look like one you know."
    return None


def _ascii(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return host.encode("ascii", "backslashreplace").decode("ascii")


def _alphabets(name: str) -> set[str]:
    """Return which of the alphabets that look alike a name is written in."""
    found = {unicodedata.name(letter, "").partition(" ")[0] for letter in name if letter.isalpha()}
    return found & {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}
