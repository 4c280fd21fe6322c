"""Reading the trail: chosen records of all writers in order of time, and what comes next.

Reading does not prove anything: it skips what is not a record. `verify` tells whether the
trail is whole. Times are each worker's own, so the order between workers is as good as
their clocks; the order within one chain is exact.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypedDict, Unpack

from safeconduct.audit.record import MAX_RECORD_BYTES, read_members, stamp
from safeconduct.audit.segment import SegmentFile, lines, segments
from safeconduct.core.model import ClientId, HostId, ServerKey, SubjectId, Value

MOST_RECORDS = 10_000
_MOST_PER_POLL = 1000
_PERSON, _AGENT = ("subject", "subject_email"), ("client", "client_name")

# A line exactly as it was written, and its members.
Entry = tuple[bytes, dict[str, Any]]


class Filters(TypedDict, total=False):
    """Which records are wanted; those named must all fit. `since` is included, `until` not.

    `subjects` and `clients` are ids, or what records call them: an address, an agent's name.
    """

    host: HostId | None
    kind: str | None
    subject: SubjectId | None
    client: ClientId | None
    subjects: frozenset[str] | None
    clients: frozenset[str] | None
    server: ServerKey | None
    decision: str | None
    since: datetime | None
    until: datetime | None


class Selection(Value, frozen=True):
    """Filters, checked: a filter nobody knows is refused rather than ignored."""

    host: HostId | None = None
    kind: str | None = None
    subject: SubjectId | None = None
    client: ClientId | None = None
    subjects: frozenset[str] | None = None
    clients: frozenset[str] | None = None
    server: ServerKey | None = None
    decision: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def chooses(self, record: Mapping[str, Any]) -> bool:
        """Tell whether a record is wanted. A filter on a member the record lacks excludes it."""
        for name in ("host", "kind", "subject", "client", "server", "decision"):
            wanted = getattr(self, name)
            if wanted is not None and record.get(name) != wanted:
                return False
        for those, members in ((self.subjects, _PERSON), (self.clients, _AGENT)):
            if those is not None and not any(record.get(name) in those for name in members):
                return False
        if self.since is not None and record["ts"] < stamp(self.since):
            return False
        return self.until is None or bool(record["ts"] < stamp(self.until))


def read(
    directory: Path, *, limit: int | None = MOST_RECORDS, **filters: Unpack[Filters]
) -> Iterator[dict[str, Any]]:
    """Yield the oldest `limit` records that fit, in order of time."""
    return (record for _, record in entries(directory, limit=limit, **filters))


def latest(
    directory: Path, *, limit: int = MOST_RECORDS, **filters: Unpack[Filters]
) -> list[dict[str, Any]]:
    """Return the newest `limit` records that fit, in order of time."""
    return list(deque(read(directory, limit=None, **filters), maxlen=limit))


def entries(
    directory: Path, *, limit: int | None = None, **filters: Unpack[Filters]
) -> Iterator[Entry]:
    """Yield what `read` yields, each with its line."""
    selection = Selection(**filters)
    streams = [
        _chosen(list(files), selection)
        for _, files in groupby(segments(directory), key=lambda file: file.writer)
    ]
    return islice(heapq.merge(*streams, key=_moment), limit)


class Tail:
    """A place in the trail, and what was written after it.

    Hand back `positions` to continue later. Records are given at least once when the
    positions are kept only after the records were dealt with; `id` tells repeats apart.
    """

    def __init__(self, directory: Path, *, positions: Mapping[str, int] | None = None) -> None:
        """Start at the positions of an earlier tail; without any, at the trail's beginning."""
        self._directory = directory
        self._positions = dict(positions or {})

    @classmethod
    def at_end(cls, directory: Path) -> Tail:
        """Start behind the last record of every segment."""
        return cls(
            directory, positions={file.path.name: _end(file.path) for file in segments(directory)}
        )

    @property
    def positions(self) -> dict[str, int]:
        """Bytes read of each segment, by file name."""
        return dict(self._positions)

    def poll(self) -> list[Entry]:
        """Return some of what was written since, in order of time; nothing when there is none."""
        found: list[Entry] = []
        files = segments(self._directory)
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # removed by retention just now
                self._advance(file.path, found)
        names = {file.path.name for file in files}
        self._positions = {
            name: offset for name, offset in self._positions.items() if name in names
        }
        return sorted(found, key=_moment)

    def _advance(self, path: Path, found: list[Entry]) -> None:
        offset = self._positions.get(path.name, 0)
        if path.stat().st_size <= offset:
            return
        for line in islice(lines(path, offset=offset), _MOST_PER_POLL):
            if not line.endswith(b"\n") and len(line) <= MAX_RECORD_BYTES:
                break  # being written
            offset += len(line)
            if entry := _entry(line):
                found.append(entry)
        self._positions[path.name] = offset


def follow(
    directory: Path,
    *,
    tail: Tail | None = None,
    poll_seconds: float = 0.25,
    **filters: Unpack[Filters],
) -> AsyncIterator[dict[str, Any]]:
    """Yield records that fit as they are written, without an end.

    Args:
        directory: The trail.
        tail: Where to start; by default at the end, as it is at this call.
        poll_seconds: How long to rest when nothing was written.
    """
    start = Tail.at_end(directory) if tail is None else tail
    return _follow(start, Selection(**filters), poll_seconds)


async def _follow(
    tail: Tail, selection: Selection, poll_seconds: float
) -> AsyncIterator[dict[str, Any]]:
    while True:
        found = await asyncio.to_thread(tail.poll)
        for _, record in found:
            if selection.chooses(record):
                yield record
        if not found:
            await asyncio.sleep(poll_seconds)


def _chosen(files: list[SegmentFile], selection: Selection) -> Iterator[Entry]:
    for file in files:
        with contextlib.suppress(FileNotFoundError):  # removed by retention just now
            for line in lines(file.path):
                entry = _entry(line)
                if entry and selection.chooses(entry[1]):
                    yield entry


def _entry(line: bytes) -> Entry | None:
    record = read_members(line) if line.endswith(b"\n") else None
    return (line, record) if record and isinstance(record.get("ts"), str) else None


def _moment(entry: Entry) -> str:
    return str(entry[1]["ts"])


def _end(path: Path) -> int:
    """Find where the last whole line ends."""
    offset = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, offset - MAX_RECORD_BYTES))
        start = file.tell()
        return start + file.read(offset - start).rfind(b"\n") + 1
