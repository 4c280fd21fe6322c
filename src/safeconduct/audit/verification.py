"""Proof that a trail is whole: every record unaltered, in its place, and none missing.

Three things hold it together. A record's own hash shows that it was altered, the hash of
its predecessor that something before it was removed, moved or forged, and the heads (the
writers' own, and any anchors kept elsewhere) that records are missing from the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from safeconduct.audit.record import (
    GENESIS,
    HEAD_BYTES,
    MAX_RECORD_BYTES,
    Link,
    Record,
    intact,
    read_head,
    read_record,
)
from safeconduct.audit.segment import SegmentFile, head_path, lines, segments
from safeconduct.core.model import Value

_MOST_PROBLEMS = 1000
_TAIL_TRIES = 20
_TAIL_PAUSE_SECONDS = 0.01
# The hash of a record that cannot be read: the link to it cannot be judged.
_UNKNOWN = ""


class Problem(Value, frozen=True):
    """One thing that is wrong.

    Attributes:
        kind: `altered`, `unreadable`, `torn`, `broken_link`, `missing`, `missing_segment`,
            `missing_start`, `missing_end`, `out_of_order`, `foreign`, `forged` or `head`.
        file: Name of the file it shows in.
        line: Line in that file, from 1; 0 when it concerns the file as a whole.
        id: Id of the record it shows at, where that can be read.
        message: One sentence for the reader.
    """

    kind: str
    file: str
    line: int
    id: str | None
    message: str


class Verification(Value, frozen=True):
    """What was read and what is wrong with it.

    Attributes:
        records: Records found whole.
        segments: Segments read.
        problems: The first thousand problems.
        ends: Where each chain ends; kept elsewhere, they are the next verification's anchors.
    """

    records: int
    segments: int
    problems: tuple[Problem, ...]
    ends: tuple[Link, ...]

    @property
    def whole(self) -> bool:
        return not self.problems


def verify(directory: Path, *, anchors: Iterable[Link] = ()) -> Verification:
    """Read the whole trail and find what does not hold. A trail being written to is fine.

    Args:
        directory: The trail.
        anchors: Links known from elsewhere. Each must be in the trail still, or be the one
            right before it begins, where older segments were removed by retention.
    """
    findings = _Findings()
    promises = _Promises(findings)
    for link in anchors:
        promises.expect(link, source="an anchor")
    # The heads come first: what they promise must be in the segments read after them.
    for path in sorted(directory.glob("*.head")):
        promises.expect_head(path)
    records = 0
    files = segments(directory)
    ends: list[Link] = []
    for writer, own in groupby(files, key=lambda file: file.writer):
        if not head_path(directory, writer).exists():
            findings.add("head", f"{writer}.head", "the writer's head is missing")
        chain = _Chain(findings, promises)
        chain.read(list(own))
        records += chain.records
        if chain.at:
            ends.append(chain.at)
    promises.settle()
    return Verification(
        records=records,
        segments=len(files),
        problems=tuple(findings.problems),
        ends=tuple(ends),
    )


class _Findings:
    """The problems found so far, up to a bound."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(
        self, kind: str, file: str, message: str, *, line: int = 0, record: Record | None = None
    ) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            name = record.id if record else None
            self.problems.append(Problem(kind=kind, file=file, line=line, id=name, message=message))


class _Promises:
    """Links that must turn up while the chains are read."""

    def __init__(self, findings: _Findings) -> None:
        self._findings = findings
        self._open: dict[tuple[str, int], dict[str, str]] = {}
        self._last: dict[str, int] = {}

    def expect(self, link: Link, *, source: str) -> None:
        if link.n:
            self._open.setdefault((link.chain, link.n), {})[link.hash] = source

    def expect_head(self, path: Path) -> None:
        with path.open("rb") as file:
            link = read_head(file.read(HEAD_BYTES + 1))
        if link is None:
            self._findings.add("head", path.name, "the head was altered")
        else:
            self.expect(link, source=path.name)

    def begins(self, record: Record) -> bool:
        """Tell whether a chain may begin with this record."""
        if record.n == 1:
            return record.prev == GENESIS
        return record.prev in self._open.get((record.chain, record.n - 1), {})

    def meet(self, record: Record, file: str, line: int) -> None:
        self._last[record.chain] = max(self._last.get(record.chain, 0), record.n)
        for digest, source in self._open.pop((record.chain, record.n), {}).items():
            if digest != record.hash:
                self._findings.add(
                    "forged", file, f"{source} knows another hash", line=line, record=record
                )

    def settle(self) -> None:
        for (chain, n), sources in self._open.items():
            last = self._last.get(chain, 0)
            if n > last:
                for source in sources.values():
                    self._findings.add(
                        "missing_end",
                        source,
                        f"chain {chain} reached record {n} and ends at {last}",
                    )


class _Chain:
    """Follows one writer through its segments."""

    def __init__(self, findings: _Findings, promises: _Promises) -> None:
        self._findings = findings
        self._promises = promises
        self._number = 0
        self.at: Link | None = None
        self.records = 0

    def read(self, files: list[SegmentFile]) -> None:
        for file in files:
            last = file is files[-1]
            for line, text in enumerate(_settled(file.path) if last else lines(file.path), 1):
                self._line(file, line, text)
            self._number = file.number

    def _line(self, file: SegmentFile, line: int, text: bytes) -> None:
        record = read_record(text)
        if record is not None and intact(text):
            self._linked(file, line, record)
            self._promises.meet(record, file.path.name, line)
            self.at = Link(chain=record.chain, n=record.n, hash=record.hash)
            self.records += 1
            return
        if not text.endswith(b"\n"):
            kind, message = "torn", "the line has no end"
        elif record is None:
            kind, message = "unreadable", "the line is no record"
        else:
            kind, message = "altered", "the record does not match its own hash"
        self._findings.add(kind, file.path.name, message, line=line, record=record)
        if self.at:  # whatever it was, it took one place
            self.at = Link(chain=self.at.chain, n=self.at.n + 1, hash=_UNKNOWN)

    def _linked(self, file: SegmentFile, line: int, record: Record) -> None:
        if wrong := self._wrong(file, record):
            kind, message = wrong
            self._findings.add(kind, file.path.name, message, line=line, record=record)

    def _wrong(self, file: SegmentFile, record: Record) -> tuple[str, str] | None:
        at = self.at
        if at is None:
            begun = self._promises.begins(record)
            return None if begun else ("missing_start", f"the trail begins at record {record.n}")
        if record.chain != at.chain:
            return "foreign", "the record belongs to another chain"
        if record.n > at.n + 1:
            between = self._number and file.number > self._number + 1
            kind = "missing_segment" if between else "missing"
            return kind, f"records {at.n + 1} to {record.n - 1} are missing before this one"
        if record.n <= at.n:
            return "out_of_order", f"record {record.n} stands after record {at.n}"
        if at.hash not in (_UNKNOWN, record.prev):
            return "broken_link", "the record before this one is not the one it was written after"
        return None


def _settled(path: Path) -> Iterator[bytes]:
    """Yield the lines of a segment somebody may be writing to; wait for a line to be whole.

    A reader can see the beginning of a write that is under way. What stays without an end
    for a fifth of a second was left that way.
    """
    offset = 0
    tries = _TAIL_TRIES
    while True:
        for text in lines(path, offset=offset):
            if not text.endswith(b"\n") and len(text) <= MAX_RECORD_BYTES and tries:
                break
            offset += len(text)
            yield text
        else:
            return
        tries -= 1
        time.sleep(_TAIL_PAUSE_SECONDS)
