"""What differs between a definition that was reviewed and the one that is there, word by word.

For people who decide, so it points at what they would overlook: characters nobody sees, links
that were not there, members MCP does not know, a level that rises. Bounded, since servers write
what is compared: long texts are shown whole instead of word by word.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Literal

from safeconduct.core.model import Value
from safeconduct.upstreams.classify import classify
from safeconduct.upstreams.pins import pin
from safeconduct.upstreams.reviews import Definition, Review
from safeconduct.upstreams.tables import PINNED, TOOL

_MOST_WORDS = 800  # of one text; comparing takes up to the square of it
_MOST_COMPARED = 100  # texts of one definition
_MOST_DEPTH = 64
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_LINK = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>]{1,500}", re.IGNORECASE)
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_KNOWN = frozenset(
    {
        *("name", "title", "description", "inputSchema", "outputSchema", "annotations", "_meta"),
        *("icons", "execution", "arguments", "uriTemplate", "mimeType", "size", "instructions"),
    }
)
Part = tuple[Literal["same", "removed", "added"], str]


class Difference(Value, frozen=True):
    """One member that is not as it was.

    Attributes:
        member: Where it stands, as a JSON pointer (RFC 6901).
        before: What stood there, None for nothing.
        after: What stands there.
        words: For texts, their words in order: which stayed, which went, which came.
    """

    member: str
    before: Any = None
    after: Any = None
    words: tuple[Part, ...] = ()


def differences_of(review: Review) -> tuple[Difference, ...]:
    """Return what differs between what was reviewed and what is present."""
    return _between(review.pinned, review.present)


def witnessed_differences(review: Review) -> tuple[Difference, ...]:
    """Return what the road saw that differs from what was reviewed."""
    return _between(review.pinned, review.witnessed) if review.witnessed else ()


def flags_of(review: Review) -> tuple[str, ...]:
    """Return in one word each what somebody who reviews this should look at."""
    return tuple(flag for flag, raised in _flags(review) if raised)


def _flags(review: Review) -> Iterator[tuple[str, bool]]:
    before, after = [*_texts(review.pinned)], [*_texts(review.present)]
    known, waits = bool(review.pinned), review.state != PINNED
    yield "unseen_characters", any(map(_has_unseen, after))
    yield "new_links", bool(_links(after) - _links(before))
    yield "unknown_members", any(each.keys() - _KNOWN for each in review.present)
    yield "schema_changed", known and _schemas(review.pinned) != _schemas(review.present)
    rises = _level(review, review.present) > _level(review, review.pinned)
    yield "level_rises", known and rises
    yield "as_reviewed_again", known and waits and not differences_of(review)
    yield "seen_by_callers", bool(review.witnessed)


def _between(
    before: tuple[Definition, ...], after: tuple[Definition, ...]
) -> tuple[Difference, ...]:
    """Compare each spelling that is new with the one that was closest to it."""
    reviewed = {*map(pin, before)}
    found: list[Difference] = []
    for each in after:
        if pin(each) in reviewed:
            continue
        closest = min(
            (_flat(one) for one in before),
            key=lambda one: sum(1 for _ in _changed(one, _flat(each))),
            default={},
        )
        found += [one for one in _compared(closest, _flat(each)) if one not in found]
    return tuple(found)


def _changed(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for member in {**before, **after}:
        if member not in before or member not in after or before[member] != after[member]:
            yield member


def _compared(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    for count, member in enumerate(_changed(before, after)):
        old, new = before.get(member), after.get(member)
        both = isinstance(old, str) and isinstance(new, str) and count < _MOST_COMPARED
        words = tuple(_words(str(old), str(new))) if both else ()
        yield Difference(member=member, before=old, after=new, words=words)


def _words(before: str, after: str) -> Iterator[Part]:
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if len(old) > _MOST_WORDS or len(new) > _MOST_WORDS:
        yield "removed", before
        yield "added", after
        return
    for what, i1, i2, j1, j2 in difflib.SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if what == "equal":
            yield "same", "".join(old[i1:i2])
            continue
        if i2 > i1:
            yield "removed", "".join(old[i1:i2])
        if j2 > j1:
            yield "added", "".join(new[j1:j2])


def _flat(value: Any, pointer: str = "", depth: int = 0) -> dict[str, Any]:
    """Return the leaves of a definition by their JSON pointers."""
    if isinstance(value, dict) and value and depth < _MOST_DEPTH:
        members: Any = value.items()
    elif isinstance(value, list) and value and depth < _MOST_DEPTH:
        members = enumerate(value)
    else:
        return {pointer: value}
    found: dict[str, Any] = {}
    for name, member in members:
        token = str(name).replace("~", "~0").replace("/", "~1")
        found |= _flat(member, f"{pointer}/{token}", depth + 1)
    return found


def _texts(definitions: tuple[Definition, ...]) -> Iterator[str]:
    for definition in definitions:
        for pointer, value in _flat(definition).items():
            yield pointer  # names of members are read, too
            if isinstance(value, str):
                yield value


def _links(texts: list[str]) -> set[str]:
    return {link for text in texts for link in _LINK.findall(text)}


def _has_unseen(text: str) -> bool:
    return not text.isprintable() and any(
        unicodedata.category(each) in _UNSEEN and each not in "\n\r\t" for each in text
    )


def _schemas(definitions: tuple[Definition, ...]) -> list[str]:
    return sorted(
        {
            pin({each: one.get(each) for each in ("inputSchema", "outputSchema", "arguments")})
            for one in definitions
        }
    )


def _level(review: Review, definitions: tuple[Definition, ...]) -> int:
    if review.kind != TOOL:
        return 0
    hints = [each.get("annotations") for each in definitions]
    return max(
        (
            int(classify(review.name, each if isinstance(each, dict) else None).level)
            for each in hints
        ),
        default=0,
    )
