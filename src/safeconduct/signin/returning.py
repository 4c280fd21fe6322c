"""Where to go after signing in: paths of this origin and nothing else."""

from __future__ import annotations

import re

_LONGEST = 2000
# One slash, then neither a slash nor a backslash (browsers read both as an authority), then
# printable ASCII without backslash, space or quotes; anything else arrives percent-encoded.
_PATH = re.compile(r"/(?![/\\])[!#-\[\]-~]*")


def own_path(text: str | None, *, otherwise: str = "/account") -> str:
    """Return `text` if a browser would stay on this origin with it, else `otherwise`."""
    if text is None or len(text) > _LONGEST or _PATH.fullmatch(text) is None:
        return otherwise
    path = text.partition("?")[0].partition("#")[0]
    if "//" in path or "/." in path:  # "/.//evil" resolves to "//evil"
        return otherwise
    return text
