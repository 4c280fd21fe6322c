"""Proof that a trail is whole: every record unaltered, in its place, and none missing.

Four things hold it together. A record's own hash shows that it was altered, the hash of its
predecessor that something before it was removed, moved or forged, the heads (the writers' own,
sealed, and any anchors kept elsewhere) that records are missing from the end, and what writers
say of each other's heads that a whole chain is gone. What cannot be proved is said in sentences.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from safeconduct.audit.heads import SEALED_SINCE, HeadKey
from safeconduct.audit.promises import (
    RECOVERED,
    Findings,
    Heads,
    Problem,
    distrusted_start,
    named_heads,
    sound_mark,
)
from safeconduct.audit.record import (
    GENESIS,
    MAX_RECORD_BYTES,
    Link,
    Record,
    intact,
    read_record,
)
from safeconduct.audit.seal_mark import mark_path
from safeconduct.audit.segment import SegmentFile, lines, segments
from safeconduct.core.model import Value

_TAIL_TRIES = 20
_TAIL_PAUSE_SECONDS = 0.01
# The hash of a record that cannot be read: the link to it cannot be judged.
_UNKNOWN = ""


class Verification(Value, frozen=True):
    """What was read and what is wrong with it.

    Attributes:
        records: Records found whole.
        segments: Segments read.
        problems: The first thousand problems.
        ends: Where each chain ends; kept elsewhere, they are the next verification's anchors.
        unproven: What could not be proved and how it could be, a sentence each.
    """

    records: int
    segments: int
    problems: tuple[Problem, ...]
    ends: tuple[Link, ...]
    unproven: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        return not self.problems


def verify(
    directory: Path,
    *,
    root_key: bytes | None = None,
    anchors: Iterable[Link] = (),
    mark: Path | None = None,
) -> Verification:
    """Read the whole trail and find what does not hold. A trail being written to is fine.

    Args:
        directory: The trail.
        root_key: The installation's key; without it, the seals of the heads are not checked.
        anchors: Links known from elsewhere. Each must be in the trail still, or be the one
            right before it begins, where older segments were removed by retention.
        mark: The file with the trail's mark; by default the one beside it.
    """
    anchors = tuple(anchors)
    findings = Findings()
    promises = _Promises(findings)
    for link in anchors:
        promises.expect(link, source="an anchor")
    # Promises come first: they must be kept by the segments that are read after them.
    # The mark before the heads: a writer that starts meanwhile takes its chain out of the mark.
    marked = sound_mark(mark or mark_path(directory), findings, root_key=root_key)
    for link in marked.old if marked else ():
        promises.expect(link, source=(mark or mark_path(directory)).name)
    key = None if root_key is None else HeadKey(root_key)
    heads = Heads(directory, findings, key=key, mark=marked)
    for writer, link in heads.links().items():
        promises.expect(link, source=f"{writer}.head")
    named = list(named_heads(directory))
    for file, link in named:
        promises.expect(link, source=file)
    records = 0
    files = _listed(directory)
    ends: dict[str, Link | None] = {}
    for writer, own in groupby(files, key=lambda file: file.writer):
        chain = _Chain(findings, promises, vouched=_vouched(anchors))
        chain.read(list(own))
        heads.judge(writer, chain.at, version=chain.version, unprotected=chain.unprotected)
        records += chain.records
        ends[writer] = chain.at
    heads.judge_others(ends)
    promises.settle()
    last = tuple(link for link in ends.values() if link)
    known = {link.chain for link in (*heads.links().values(), *last)}
    for file, link in named:
        if link.n == 0 and link.chain not in known:  # it was named before its first record
            findings.add("missing_chain", file, f"nothing is left of chain {link.chain}")
    if not files and not heads.found:
        findings.add("empty", directory.name, "there is no record and no head of any writer here")
    return Verification(
        records=records,
        segments=len(files),
        problems=tuple(findings.problems),
        ends=last,
        unproven=tuple(heads.unproven(anchored=bool(anchors))),
    )


def _listed(directory: Path) -> list[SegmentFile]:
    """List the segments without holes that only come of their being made meanwhile.

    A directory that grows while it is listed may show a new file and not one made before it;
    listed once more, it shows all that are older than what was seen.
    """
    newest = {file.writer: file.number for file in segments(directory)}
    return [each for each in segments(directory) if each.number <= newest.get(each.writer, 0)]


def _vouched(anchors: Iterable[Link]) -> dict[str, int]:
    """Return how far somebody has vouched for each chain."""
    reached: dict[str, int] = {}
    for link in anchors:
        reached[link.chain] = max(link.n, reached.get(link.chain, 0))
    return reached


class _Promises:
    """Links that must turn up while the chains are read."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._open: dict[tuple[str, int], dict[str, str]] = {}
        self._last: dict[str, int] = {}

    def expect(self, link: Link, *, source: str) -> None:
        if link.n:
            self._open.setdefault((link.chain, link.n), {})[link.hash] = source

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
            last = self._last.get(chain)
            for source in sources.values():
                if last is None and source.endswith(".jsonl"):
                    self._findings.add(
                        "missing_chain", source, f"nothing is left of chain {chain} of {n} records"
                    )
                elif n > (last or 0):
                    message = f"chain {chain} reached record {n} and ends at {last or 0}"
                    self._findings.add("missing_end", source, message)


class _Chain:
    """Follows one writer through its segments."""

    def __init__(
        self, findings: Findings, promises: _Promises, *, vouched: Mapping[str, int]
    ) -> None:
        self._findings = findings
        self._promises = promises
        self._vouched = vouched
        self._number = 0
        self.at: Link | None = None
        self.version = 0  # the highest of any record
        self.unprotected = 0  # the last record of an earlier version
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
            self.version = max(self.version, record.v)
            if record.v < SEALED_SINCE and record.n > self._vouched.get(record.chain, 0):
                self.unprotected = record.n
            self.records += 1
            if RECOVERED in text:
                self._recovered(file, line, text, record)
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

    def _recovered(self, file: SegmentFile, line: int, text: bytes, record: Record) -> None:
        """Find where a writer started without its head: nobody knows what was cut off before."""
        wrong = distrusted_start(text)
        if wrong and record.n > self._vouched.get(record.chain, 0):
            message = (
                f"the writer started here and {wrong}: records before this one may"
                " have been cut off; an anchor from later on vouches for them"
            )
            self._findings.add("head", file.path.name, message, line=line, record=record)

    def _linked(self, file: SegmentFile, line: int, record: Record) -> None:
        if wrong := self._wrong(file, record):
            kind, message = wrong
            self._findings.add(kind, file.path.name, message, line=line, record=record)
        elif record.v < self.version:
            message = f"it is of version {record.v}, and one before it of {self.version}"
            self._findings.add("older_version", file.path.name, message, line=line, record=record)

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
