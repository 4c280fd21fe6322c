"""What the directory of a trail says about itself beside its records: heads, locks, mentions.

Each is a promise that `verification` holds the segments against. What is wrong with one in itself
is found here, and what a trail without keys or anchors leaves open is put into sentences here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from safeconduct.audit.event import INSTALLATION
from safeconduct.audit.heads import SEALED_SINCE, Head, HeadKey, head_at
from safeconduct.audit.record import MAX_RECORD_BYTES, Link, Record, read_members
from safeconduct.audit.recovery import OLD_HEAD, is_held, lock_chain
from safeconduct.audit.segment import head_path, lock_path, segments
from safeconduct.audit.witness import KIND, named_in
from safeconduct.core.model import Value

RECOVERED = b'"kind":"audit.recovered"'
_MENTION = f'"kind":"{KIND}"'.encode()
_MOST_PROBLEMS = 1000
_BLOCK_BYTES = 1024 * 1024
_OPENING_TRIES = 20
_OPENING_PAUSE_SECONDS = 0.05


class Problem(Value, frozen=True):
    """One thing that is wrong.

    Attributes:
        kind: `altered`, `unreadable`, `torn`, `broken_link`, `missing`, `missing_segment`,
            `missing_start`, `missing_end`, `missing_chain`, `out_of_order`, `foreign`, `forged`,
            `head` or `empty`.
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


class Findings:
    """The problems found so far, up to a bound."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(
        self, kind: str, file: str, message: str, *, line: int = 0, record: Record | None = None
    ) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            name = record.id if record else None
            self.problems.append(Problem(kind=kind, file=file, line=line, id=name, message=message))


class Heads:
    """The heads of all writers and the locks beside them.

    Attributes:
        found: The heads by writer, but for those that cannot be read or whose seal does not fit.
    """

    def __init__(self, directory: Path, findings: Findings, *, key: HeadKey | None) -> None:
        self._directory = directory
        self._findings = findings
        self._key = key
        self._behind: list[str] = []
        self.found: dict[str, Head] = {}
        self._read_heads()
        self._read_locks()

    def links(self) -> dict[str, Link]:
        """Return where each chain ends, by the heads."""
        return {writer: head.link for writer, head in self.found.items()}

    def judge(self, writer: str, at: Link | None, *, version: int) -> None:
        """Hold a head against the end of its chain.

        Args:
            at: The chain's last record.
            version: Of that record.
        """
        path = head_path(self._directory, writer)
        head = self.found.get(writer)
        if head is None:
            if not (path.exists() or lock_path(self._directory, writer).exists()):
                self._findings.add("head", path.name, "the writer's head is missing")
        elif not head.seal and version >= SEALED_SINCE:
            self._findings.add("head", path.name, "the head is not sealed, and its chain was")
        elif at and at.chain == head.link.chain and at.n > head.link.n and not self._open(writer):
            self._behind.append(writer)

    def unproven(self, *, anchored: bool) -> Iterator[str]:
        """Yield what could not be proved, and how it could be."""
        unsealed = sorted(writer for writer, head in self.found.items() if not head.seal)
        if unsealed:
            yield (
                f"The heads of {_writers(unsealed)} were written by an earlier version and are not"
                " sealed: whoever may write to the trail could have cut off its end and put the"
                " head right. They are sealed from the next start of such a writer on."
            )
        if self._key is None and any(head.seal for head in self.found.values()):
            yield (
                "The seals of the heads were not checked, for want of the installation's key: a"
                " head that was rewritten after records were cut off would pass. Give --key with"
                " the installation's master.key."
            )
        if self._behind:
            yield (
                f"The last records of {_writers(self._behind)} were written right before a"
                " crash and no head covers them yet: there, records could have been cut off or"
                " added. The next start of such a writer puts that on record."
            )
        if not anchored:
            yield (
                "Without an anchor kept elsewhere it cannot be proved that the whole trail was not"
                " put back to an earlier state of its own, that nobody who also holds master.key"
                " truncated or rewrote it, and that no whole writer was removed that wrote only"
                " after the others named it last (they do every ten seconds). Keep what"
                " `safeconduct audit verify --json` prints on another machine, and give it with"
                " --anchors next time."
            )

    def _read_heads(self) -> None:
        for path in sorted(self._directory.glob("*.head")):
            writer = path.stem
            head = head_at(path)
            if head is None:
                if not self._never_began(writer):
                    self._findings.add("head", path.name, "the head was altered")
            elif head.seal and self._key is not None and not self._key.fits(writer, head):
                self._findings.add(
                    "head", path.name, "its seal is not this installation's: the head was rewritten"
                )
            else:
                self.found[writer] = head

    def _read_locks(self) -> None:
        for path in sorted(self._directory.glob("*.lock")):
            writer = path.stem
            if not self._has_head(path, writer):
                self._findings.add("head", path.name, "a lock stands here without its head")
                continue
            chain, head = lock_chain(path), self.found.get(writer)
            if head and chain not in {"", head.link.chain}:
                self._findings.add(
                    "foreign", path.name, f"the lock belongs to chain {chain}, its head does not"
                )

    def _never_began(self, writer: str) -> bool:
        """Tell whether a start failed before its first record and its head, on a full disk say."""
        lock = lock_path(self._directory, writer)
        own = [file for file in segments(self._directory) if file.writer == writer]
        return (
            lock.exists()
            and not lock_chain(lock)
            and not any(file.path.stat().st_size for file in own)
        )

    def _has_head(self, path: Path, writer: str) -> bool:
        """Tell whether a lock has its head; who holds it and is just opening is waited for."""
        head = head_path(self._directory, writer)
        for _ in range(_OPENING_TRIES):
            if head.exists() or not is_held(path):
                break
            time.sleep(_OPENING_PAUSE_SECONDS)
        return head.exists()

    def _open(self, writer: str) -> bool:
        path = lock_path(self._directory, writer)
        return path.exists() and is_held(path)


def named_heads(directory: Path) -> Iterator[tuple[str, Link]]:
    """Yield the heads that writers named in their chains, each with the file that names it."""
    for file in segments(directory):
        for line in _mentions(file.path):
            for link in named_in(line).values():
                yield file.path.name, link


def _mentions(path: Path) -> Iterator[bytes]:
    """Yield the lines that may name heads, without looking at the others one by one."""
    rest = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            text = rest + block
            whole = text.rfind(b"\n") + 1
            at = text.find(_MENTION, 0, whole)
            while at != -1:
                end = text.find(b"\n", at) + 1
                yield text[text.rfind(b"\n", 0, at) + 1 : end]
                at = text.find(_MENTION, end, whole)
            rest = text[whole:] if len(text) - whole <= MAX_RECORD_BYTES else b""


def distrusted_head(line: bytes) -> str | None:
    """Return why a writer that started did not believe its head, or None where it did."""
    record = read_members(line)
    if record is None or record.get("kind") != "audit.recovered":
        return None
    detail = record.get("detail")
    if record.get("host") != INSTALLATION or not isinstance(detail, dict):
        return None
    wrong = detail.get("head")
    return None if wrong in {None, OLD_HEAD} else str(wrong)


def _writers(names: list[str]) -> str:
    return f"writer {names[0]}" if len(names) == 1 else f"writers {', '.join(names)}"
