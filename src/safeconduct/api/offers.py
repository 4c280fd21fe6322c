"""Rules as programs send them: read strictly, with names that are plain paths.

All files at once, one member of the data, or the name of a bundle the host has had; and
`If-Match`, by which whoever changes what it read changes nothing that others changed since
(RFC 9110 section 13.1.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import Headers

from safeconduct.api.managing import read_query, refuse_unknown
from safeconduct.api.questions import JSON, named
from safeconduct.api.refusals import bad
from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.model import Value
from safeconduct.policy import MAX_READ_BYTES, MAX_READ_FILES, counts, is_plain

# A body spells more bytes than its files have, so what a directory may hold is the limit here too.
MOST_BYTES = MAX_READ_BYTES
_LONGEST_WHY = 500
_LONGEST_MEMBER = 200
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]*)"\s*')

Files = dict[str, bytes]


class Wish(Value, frozen=True):
    """Who wants a change, why, and only if what decides is one of these; None is whatever it is.

    Attributes:
        check: Whether to judge and test only.
    """

    by: str
    because: str = ""
    only_if: frozenset[str] | None = None
    check: bool = False

    def refuse_others(self, bundle: str) -> None:
        """Return if this is what its sender believes decides.

        Raises:
            Overtaken: If it is not.
        """
        if self.only_if is not None and bundle not in self.only_if:
            raise Overtaken(bundle)


class Outcome(Value, frozen=True):
    """What came of it.

    Attributes:
        bundle: What was put.
        before: What decided until then.
        changed: Whether something else decides now.
        notes: What the rules and data say and nobody hears.
    """

    bundle: str
    before: str
    changed: bool
    notes: tuple[str, ...] = ()


class Overtaken(GatewayError):
    """Something else decides by now than what `If-Match` names."""

    code = Code.CONFLICT

    def __init__(self, bundle: str) -> None:
        name = f"bundle {bundle}" if bundle else 'the built-in rules alone, ""'
        super().__init__(f"Something else decides by now: {name}. Nothing was changed.")


def read_files(body: JSON, *, everything: bool) -> Files:
    """Read the files to put.

    Args:
        body: What was sent.
        everything: Also take what has no meaning here: a signature covers it.

    Raises:
        Refused: If they are not texts by plain paths, or too many.
    """
    refuse_unknown(body, ("files", "because"), "the body")
    files = body.get("files")
    if not isinstance(files, dict):
        raise bad("files must be an object of texts by their paths.")
    if len(files) > MAX_READ_FILES:
        raise bad(f"files: more than {MAX_READ_FILES}.")
    for path, text in files.items():
        _refuse_path(path, everything=everything)
        if not isinstance(text, str):
            raise bad(f"files: {path} must be a text.")
    return {path: text.encode() for path, text in sorted(files.items())}


def read_member(body: JSON, name: str) -> Any:
    """Read what a member of the data is to be.

    Raises:
        Refused: If there is nothing, or the name cannot be one.
    """
    refuse_unknown(body, ("value", "because"), "the body")
    if not name.isprintable() or len(name) > _LONGEST_MEMBER:
        raise bad("The name of the member is too long or holds control characters.")
    if "value" not in body:
        raise bad("value is missing.")
    return body["value"]


def read_return(body: JSON) -> str:
    """Read which bundle to go back to."""
    refuse_unknown(body, ("bundle", "because"), "the body")
    return read_bundle(body.get("bundle"))


def read_bundle(said: object) -> str:
    """Read the whole name of a bundle."""
    if not isinstance(said, str) or not _DIGEST.fullmatch(said):
        raise bad("bundle must be the name of one: 64 hexadecimal digits.")
    return said


def read_wish(
    body: JSON, headers: Headers, query: Iterable[tuple[str, str]], *, by: str, checks: bool = True
) -> Wish:
    """Read who wants it, why and when not.

    Args:
        body: What was sent.
        headers: Of the request.
        query: Likewise.
        by: Who sent it.
        checks: Whether it may ask to judge only.

    Raises:
        Refused: If something there cannot be understood.
    """
    check = read_query(query, ("check",) if checks else ()).get("check", "false")
    if check not in {"true", "false"}:
        raise bad("check must be true or false.")
    because = named(body, "because")
    if len(because) > _LONGEST_WHY:
        raise bad(f"because: at most {_LONGEST_WHY} characters.")
    return Wish(
        by=by, because=because, only_if=_only_if(headers.getlist("if-match")), check=check == "true"
    )


def tag_of(bundle: str) -> dict[str, str]:
    """Return the header that names what decides."""
    return {"ETag": f'"{bundle}"'}


def _only_if(sent: list[str]) -> frozenset[str] | None:
    """Read `If-Match`; a weak tag never matches (RFC 9110 section 8.8.3.2)."""
    if not sent or [each.strip() for each in sent] == ["*"]:
        return None
    # Empty elements count for nothing (RFC 9110 section 5.6.1.2); a list of nothing is no list.
    named = [each for line in sent for each in line.split(",") if each.strip()]
    found = [_TAG.fullmatch(each) for each in named]
    if None in found or not found:
        raise bad('If-Match must name bundles, each in quotes: "…".')
    return frozenset(each[2] for each in found if each is not None and each[1] is None)


def _refuse_path(path: str, *, everything: bool) -> None:
    if not is_plain(path):
        raise bad(
            "files: a path is too long, hidden, leads elsewhere, or has other characters than "
            "A-Z, a-z, 0-9, '_', '.', '/', ' ' and '-'."
        )
    if not everything and not counts(path):
        raise bad(
            f"files: {path} would have no effect. Files that count are *.rego, *.zed, "
            "*.scenario.yaml, and one of data.json, data.yaml and data.yml."
        )
