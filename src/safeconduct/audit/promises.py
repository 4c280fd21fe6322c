"""What the directory of a trail says about itself beside its records: heads, locks, mentions.

Each is a promise that `verification` holds the segments against. What is wrong with one in itself
is found here, and what a trail without keys or anchors leaves open is put into sentences here.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from pathlib import Path

from safeconduct.audit.event import INSTALLATION
from safeconduct.audit.heads import SEALED_SINCE, Head, HeadKey, head_at
from safeconduct.audit.record import MAX_RECORD_BYTES, Link, Record, read_members
from safeconduct.audit.recovery import OLD_HEAD, is_held, lock_chain
from safeconduct.audit.seal_mark import Mark, MarkKey, mark_at
from safeconduct.audit.segment import head_path, lock_path, segments, strangers
from safeconduct.audit.witness import KIND, named_in
from safeconduct.core.model import Value

RECOVERED = b'"kind":"audit.recovered"'
_MENTION = f'"kind":"{KIND}"'.encode()
_MOST_PROBLEMS = 1000
_BLOCK_BYTES = 1024 * 1024
_NO_MARK = (
    " No mark beside the trail says whether they ever were sealed before: one that was written"
    " anew in the form of an earlier version would pass."
)
_OPENING_TRIES = 20
_OPENING_PAUSE_SECONDS = 0.05


class Problem(Value, frozen=True):
    """One thing that is wrong.

    Attributes:
        kind: `altered`, `unreadable`, `torn`, `broken_link`, `missing`, `missing_segment`,
            `missing_start`, `missing_end`, `missing_chain`, `out_of_order`, `foreign`, `forged`,
            `head`, `mark`, `older_version` or `empty`.
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

    def __init__(
        self,
        directory: Path,
        findings: Findings,
        *,
        key: HeadKey | None,
        mark: Mark | None,
    ) -> None:
        self._directory = directory
        self._findings = findings
        self._key = key
        self._mark = mark
        self._behind: list[str] = []
        self._no_longer_old: set[str] = set()
        self._unprotected: dict[str, int] = {}
        self._strangers = {path.name for path in strangers(directory)}
        for name in sorted(self._strangers):
            findings.add("unreadable", name, "this is no file, and nothing but one belongs here")
        self.found: dict[str, Head] = {}
        self._read_heads()
        self._read_locks()

    def links(self) -> dict[str, Link]:
        """Return where each chain ends, by the heads."""
        return {writer: head.link for writer, head in self.found.items()}

    def judge(self, writer: str, at: Link | None, *, version: int, unprotected: int = 0) -> None:
        """Hold a head against the end of its chain.

        Args:
            writer: Whose it is.
            at: The chain's last record.
            version: The highest of any of its records.
            unprotected: The last of its records that is of an earlier version.
        """
        path = head_path(self._directory, writer)
        head = self.found.get(writer)
        if head is None:
            if not (path.exists() or lock_path(self._directory, writer).exists()):
                self._findings.add("head", path.name, "the writer's head is missing")
        elif not head.seal:
            self._judge_plain(path, head, at, version=version)
        elif at and at.chain == head.link.chain and at.n > head.link.n and not self._open(writer):
            self._behind.append(writer)
        if head and head.seal and unprotected:
            self._unprotected[writer] = unprotected

    def judge_others(self, judged: Collection[str]) -> None:
        """Judge the heads of writers that have no records, and whether any head is sealed."""
        for writer in sorted(self.found.keys() - judged):
            self.judge(writer, None, version=0)
        plain = self.found and not any(head.seal for head in self.found.values())
        if self._mark and plain and not self._no_longer_old:
            message = f"heads are sealed here since {self._mark.since}, and none of these is"
            self._findings.add("head", self._directory.name, message)

    def _judge_plain(self, path: Path, head: Head, at: Link | None, *, version: int) -> None:
        lock = lock_path(self._directory, path.stem)
        was_sealed = version >= SEALED_SINCE or (lock.is_file() and lock_chain(lock))
        if not was_sealed and self._mark and (at or head.link) not in self._mark.old:
            message = (
                f"the head is not sealed, and since {self._mark.since} only those may be that"
                " were not by then: the records were written anew, or its writer removed"
            )
        elif was_sealed:
            message = "the head is not sealed, and its chain was"
        else:
            return
        now = head_at(path) if path.is_file() else None
        if not (now and now.seal):  # its writer may have started just now
            self._no_longer_old.add(path.stem)
            self._findings.add("head", path.name, message)

    def unproven(self, *, anchored: bool) -> Iterator[str]:
        """Yield what could not be proved, and how it could be."""
        plain = {writer for writer, head in self.found.items() if not head.seal}
        unsealed = sorted(plain - self._no_longer_old)
        if unsealed:
            yield (
                f"The heads of {_writers(unsealed)} were written by an earlier version and are not"
                " sealed: whoever may write to the trail could have cut off its end and put the"
                " head right. They are sealed from the next start of such a writer on."
                f"{'' if self._mark else _NO_MARK}"
            )
        for writer, last in sorted(self._unprotected.items()):
            yield (
                f"Up to number {last} the records of writer {writer} are of an earlier version,"
                " which left them unprotected: whoever could write to the trail then may have"
                " altered them or cut off their end. Those after it are protected, and since then"
                " these are too."
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
        for path in self._files("*.head"):
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
        for path in self._files("*.lock"):
            writer = path.stem
            if not self._has_head(path, writer):
                self._findings.add("head", path.name, "a lock stands here without its head")
                continue
            chain, head = lock_chain(path), self.found.get(writer)
            if head and chain not in {"", head.link.chain}:
                self._findings.add(
                    "foreign", path.name, f"the lock belongs to chain {chain}, its head does not"
                )

    def _files(self, pattern: str) -> list[Path]:
        found = sorted(self._directory.glob(pattern))
        return [path for path in found if path.name not in self._strangers]

    def _never_began(self, writer: str) -> bool:
        """Tell whether a start failed before its first record and its head, on a full disk say."""
        lock = lock_path(self._directory, writer)
        own = [file for file in segments(self._directory) if file.writer == writer]
        return (
            lock.is_file()
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
        return path.is_file() and is_held(path)


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


def sound_mark(path: Path, findings: Findings, *, root_key: bytes | None) -> Mark | None:
    """Read a trail's mark; None if there is none, or it cannot be believed."""
    if not path.exists():
        return None
    mark = mark_at(path)
    if mark is None:
        findings.add("mark", path.name, "the mark beside the trail was altered")
    elif root_key is not None and not MarkKey(root_key).fits(mark):
        message = "its seal is not this installation's: the mark beside the trail was rewritten"
        findings.add("mark", path.name, message)
    else:
        return mark
    return None


def distrusted_start(line: bytes) -> str | None:
    """Return what a writer that started did not believe, or None where it believed all."""
    record = read_members(line)
    if record is None or record.get("kind") != "audit.recovered":
        return None
    detail = record.get("detail")
    if record.get("host") != INSTALLATION or not isinstance(detail, dict):
        return None
    wrong = detail.get("head")
    if wrong not in {None, OLD_HEAD}:
        return f"its head was {wrong}"
    return f"the mark beside the trail was {detail['mark']}" if "mark" in detail else None


def _writers(names: list[str]) -> str:
    return f"writer {names[0]}" if len(names) == 1 else f"writers {', '.join(names)}"
