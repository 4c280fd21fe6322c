"""Writers name each other's heads, so that a whole chain cannot vanish without a trace.

A chain proves itself only from the inside: with its segments and its head gone, nothing of it
is missing. So each writer writes down where the chains of the others end: with the first record
after it was opened, every few seconds while they move, and when it closes. `verify` expects to
find what was named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from safeconduct.audit.event import INSTALLATION, Event
from safeconduct.audit.heads import Head, HeadKey, head_at
from safeconduct.audit.record import Link, members, read_members

KIND = "audit.witnessed"


class Witness:
    """Knows the heads of the other writers as one writer named them last."""

    def __init__(self, directory: Path, *, writer: str, key: HeadKey) -> None:
        self._directory = directory
        self._writer = writer
        self._key = key
        self._named: dict[str, Link] = {}

    def news(self) -> dict[str, Link]:
        """Read the heads, and return those that moved since they were named."""
        others = [path for path in self._directory.glob("*.head") if path.stem != self._writer]
        return {
            path.stem: head.link
            for path in sorted(others)
            if (head := self._sound(path)) is not None and not self._is_known(path.stem, head)
        }

    def name(self, heads: dict[str, Link]) -> None:
        """Take heads for named: they stand in a record now."""
        self._named |= heads

    def _sound(self, path: Path) -> Head | None:
        try:
            head = head_at(path)
        except OSError:
            return None
        if head is None or (head.seal and not self._key.fits(path.stem, head)):
            return None  # `verify` says so; it is not repeated as if it were true
        return head

    def _is_known(self, writer: str, head: Head) -> bool:
        known = self._named.get(writer)
        if known is None or known.chain != head.link.chain:
            return False
        # A record that only names others is not named in turn, or two idle writers never rest.
        return head.link.n <= known.n + (1 if head.idle else 0)


def spelled(heads: dict[str, Link]) -> bytes:
    """Spell the members of the record that names heads."""
    detail: dict[str, Any] = {"heads": heads}
    return members(Event(kind=KIND, host=INSTALLATION, detail=detail))


def named_in(line: bytes) -> dict[str, Link]:
    """Return the heads that a record names, by writer; nothing if it is another record."""
    record = read_members(line)
    if record is None or record.get("kind") != KIND or record.get("host") != INSTALLATION:
        return {}
    try:
        return msgspec.convert(record["detail"]["heads"], dict[str, Link])
    except (msgspec.ValidationError, KeyError, TypeError):
        return {}
