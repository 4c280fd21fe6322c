"""The trail: every decision is written down before it has an effect.

One trail per worker process, one chain per trail. `append` is a single inline `write()`:
when it returns, the record survives the death of the process; after `durable()` it also
survives the loss of power. When it raises, nothing was recorded and nothing may be done.
What only says how something ended is taken by `note` and goes into the file together with
whatever is written next, so that many calls at once cost fewer writes.

The newest durable link stands, sealed, in a file of its own beside the segments, so that records
missing from the end are noticed too, and each trail names the heads of the others (`witness`).
Whoever holds the installation's key as well can rewrite it all: keep copies of the heads
elsewhere and give them to `verify` as anchors.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from safeconduct.audit.event import INSTALLATION, AuditUnavailable, Event
from safeconduct.audit.group import GroupSync
from safeconduct.audit.heads import HEAD_BYTES, HeadKey
from safeconduct.audit.outage import Outage
from safeconduct.audit.record import (
    MAX_RECORD_BYTES,
    VERSION,
    Link,
    Stamper,
    members,
    sealed,
)
from safeconduct.audit.recovery import Recovered, Slot, beginning, recover
from safeconduct.audit.seal_mark import Marking
from safeconduct.audit.segment import (
    Segment,
    check_writer,
    head_path,
    open_private,
    segment_path,
)
from safeconduct.audit.witness import Witness
from safeconduct.audit.witness import spelled as spelled_heads
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, Refused

Durability = Literal["process", "disk"]

_SEGMENT_BYTES = 64 * 1024 * 1024
_DIRECTORY_MODE = 0o700
MOST_WAITING = 64
# More than a record's own members need around the event's, but for the chain's name.
_FRAME_BYTES = 320


class Trail:
    """Writes events into one hash chain. Safe to call from several threads.

    Attributes:
        durability: What `settled` waits for.
        outage: What is known of records that could not be written.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock,
        root_key: bytes,
        writer: str = "0",
        durability: Durability = "process",
        segment_bytes: int = _SEGMENT_BYTES,
        sync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        """Prepare; `open` takes the slot and starts the chain.

        Args:
            directory: Holds the segments of all writers; made if missing.
            clock: Where the records' `ts` comes from.
            root_key: The installation's; the heads are sealed with a key derived from it.
            writer: This process's slot. No two processes may share one.
            durability: What `settled` waits for: nothing more than the write, or the disk.
            segment_bytes: A new segment begins when the next write would pass this size.
            sync: Makes a file descriptor's data durable.
        """
        self._directory = directory
        self._stamper = Stamper(clock)
        self._writer = check_writer(writer)
        self._key = HeadKey(root_key)
        self._marking = Marking(directory, root_key)
        self._witness = Witness(directory, writer=writer, key=self._key)
        self.durability = durability
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._lock = threading.Lock()
        self._run = f"ev_{secrets.token_hex(8)}"
        self._group = GroupSync(self._sync_all)
        self._slot: Slot | None = None
        self._head_fd: int | None = None
        self._segment: Segment | None = None
        self._retired: list[Segment] = []
        self._number = 0
        # The chain's name, and the number and hash of its last record.
        self._chain, self._n, self._hash = "", 0, ""
        self._prefix = ""
        self._most_bytes = 0
        # Instants and members of records that are not written yet, and so have no place in the
        # chain: a write that fails leaves no gap in it.
        self._waiting: list[tuple[str, bytes]] = []
        # The loop that will write them when its turn ends.
        self._turning: asyncio.AbstractEventLoop | None = None
        # What to write down about failures, as soon as writing works again.
        self._trouble: dict[str, Any] = {}
        self.outage = Outage(directory, needed_bytes=segment_bytes)
        # Heads of other writers, named in this chain with the next record; whether its last
        # record does only that; and how far it was when it was opened.
        self._unnamed: dict[str, Link] = {}
        self._idle = False
        self._began = 0

    def open(self) -> None:
        """Take the slot, mend what a crash left, and continue the chain.

        Raises:
            Refused: If another process holds the slot.
            AuditUnavailable: If the directory cannot be read and written.
        """
        try:
            self._directory.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            self._slot = Slot(self._directory, self._writer)
            self._continue(self._slot, recover(self._directory, self._writer))
        except (OSError, AuditUnavailable) as error:
            self._release()
            raise AuditUnavailable("the trail cannot be opened", error) from error
        self._group.start()

    def append(self, event: msgspec.Struct) -> str:
        """Write one record, behind those that wait, and return its id.

        Args:
            event: An Event, or any struct that has some of its members in their order.

        Raises:
            AuditUnavailable: If the record is not written, whatever the reason. The next
                call tries again, and writes down how many were refused before.
            Refused: With TOO_LARGE, if the event is larger than a record may be.
        """
        spelled = members(event)
        with self._lock:
            self._take(spelled)
            return self._write()

    def note(self, event: msgspec.Struct) -> None:
        """Take a record that nothing waits for: it may be lost when the process is killed.

        It is written together with whatever is written next, at the latest when the running
        event loop's turn ends, and before anything that was scheduled in it after this call.
        Without a running loop, or once writing has failed, it is written at once.

        Raises:
            AuditUnavailable: If it is known by now that it cannot be written. If that shows
                only later, it is counted with those that were refused, and given up.
            Refused: With TOO_LARGE, if the event is larger than a record may be.
        """
        spelled = members(event)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        with self._lock:
            self._take(spelled)
            if loop is None or self._trouble or len(self._waiting) >= MOST_WAITING:
                self._write()
            elif loop is not self._turning:
                loop.call_soon(self._end_turn)
                self._turning = loop

    def available(self) -> bool:
        """Tell whether records can be written; after a failure, try it."""
        with self._lock:
            if self._segment is None:
                return False
            if self._waiting or self._trouble:
                with contextlib.suppress(AuditUnavailable):
                    self._write()
            return not self._trouble

    def problem(self) -> str:
        """Return why records cannot be written and what is missing, "" if they can.

        After a failure, it is tried. A disk with no more room than for the note about the
        failure is none that can be written.
        """
        if self.available():
            return self.outage.sentence()
        return self.outage.sentence() or "it is not open"

    async def durable(self) -> None:
        """Return when everything appended or noted before this call is on the disk.

        Call it right after `append`: records that an earlier, failed sync should have
        taken are not waited for again.

        Raises:
            AuditUnavailable: If the disk did not take it.
        """
        with self._lock:
            if self._waiting:
                self._write()
        await self._group.wait()

    async def settled(self, *, critical: bool = False) -> None:
        """Return when everything appended is as safe as the installation asks.

        Args:
            critical: Wait for the disk whatever the configured durability.
        """
        if critical or self.durability == "disk":
            await self.durable()

    def witness(self) -> None:
        """Name the heads of the other writers in this chain, if they moved since.

        Raises:
            AuditUnavailable: If it cannot be written; the next record brings it along.
        """
        with self._lock:
            if self._segment is not None:
                self._unnamed |= self._witness.news()
                if self._unnamed:
                    self._write()

    def close(self) -> None:
        """Write and sync what is due, end the thread and free the slot.

        Appending afterwards is refused.
        """
        with self._lock:
            self._write_late()
            written = self._n > self._began
        if written:  # who only looked leaves nothing behind
            with contextlib.suppress(AuditUnavailable):
                self.witness()
        self._group.stop()
        self._release()

    def _continue(self, slot: Slot, left: Recovered) -> None:
        path = head_path(self._directory, self._writer)
        fresh = not path.exists()
        self._head_fd = open_private(path, os.O_RDWR | os.O_CREAT)
        raw = None if fresh else os.pread(self._head_fd, HEAD_BYTES + 1, 0)
        os.ftruncate(self._head_fd, HEAD_BYTES)
        altered = self._marking.read()
        old = not fresh and not slot.chain and self._marking.admits(self._writer)
        start, found = beginning(left, raw, slot=slot, key=self._key, old=old)
        if altered:
            found["mark"] = altered
        self._chain, self._n, self._hash = start.chain, start.n, start.hash
        self._began = start.n
        self._prefix = f'{{"v":{VERSION},"chain":"{start.chain}","n":'
        self._most_bytes = MAX_RECORD_BYTES - _FRAME_BYTES - len(self._prefix.encode())
        self._number = left.number
        self._segment = Segment(segment_path(self._directory, self._writer, self._number))
        self._unnamed = self._witness.news()
        if found:
            self._trouble |= found
            self._write()
        self._sync_directory()
        self._sync_all()
        slot.belongs_to(start.chain)
        self._marking.note(start.chain, at=self._stamper.now())

    def _take(self, spelled: bytes) -> None:
        if self._segment is None:
            raise AuditUnavailable("the trail is not open")
        if len(spelled) > self._most_bytes:
            raise Refused(Code.TOO_LARGE, "The request is too large to be recorded.")
        self._waiting.append((self._stamper.now(), spelled))

    def _end_turn(self) -> None:
        with self._lock:
            self._turning = None
            self._write_late()

    def _write_late(self) -> None:
        if self._waiting:
            with contextlib.suppress(AuditUnavailable):  # it is counted, and nobody is left to tell
                self._write()

    def _write(self) -> str:
        """Write what waits, and what went wrong before, in one piece.

        Returns:
            The id of the last record.

        Raises:
            AuditUnavailable: If it is not written. Then nothing of it is kept: whoever appends
                is told at once, and how many were refused is written down later.
        """
        records = waiting = self._waiting
        self._waiting = []
        named = self._unnamed
        if named or self._trouble:
            records = [*self._foremost(waiting), *waiting]
        n, digest, identifier, lines = self._n, self._hash, "", []
        for ts, spelled in records:
            n += 1
            identifier = "%s%08x" % (self._run, n)  # noqa: UP031  quicker than an f-string
            opening = f'{self._prefix}{n},"id":"{identifier}","ts":"{ts}","prev":"{digest}",'
            line, digest = sealed(opening.encode() + spelled)
            lines.append(line)
        text, segment = b"".join(lines), self._segment
        assert segment is not None
        try:
            if segment.doubtful or 0 < segment.size > self._segment_bytes - len(text):
                segment = self._rotated(segment)
            segment.write(text)
        except OSError as error:
            if waiting:
                self._trouble["refused"] = self._trouble.get("refused", 0) + len(waiting)
            self.outage.goes_on(error, len(waiting))
            raise AuditUnavailable(error.strerror) from error
        self._n, self._hash = n, digest
        if named or self._trouble:
            self._idle = not waiting and not self._trouble
            self._witness.name(named)
            self._unnamed, self._trouble = {}, {}
            self.outage.is_over()
        else:
            self._idle = False
        if not self._group.due:
            self._group.dirty()
        return identifier

    def _foremost(self, waiting: list[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        """Yield what goes before the records that wait: failures, and the heads of others."""
        ts = waiting[0][0] if waiting else self._stamper.now()
        if self._trouble:
            yield ts, _recovered(self._trouble)
        if self._unnamed:
            yield ts, spelled_heads(self._unnamed)

    def _rotated(self, segment: Segment) -> Segment:
        following = Segment(segment_path(self._directory, self._writer, self._number + 1))
        self._retired.append(segment)
        self._number += 1
        self._segment = following
        return following

    def _sync_all(self) -> None:
        """Make what was written durable, then move the head up to it; runs in the thread."""
        with self._lock:
            segment = self._segment
            at = Link(chain=self._chain, n=self._n, hash=self._hash)
            idle = self._idle
            retired, self._retired = self._retired, []
        assert segment is not None
        assert self._head_fd is not None
        try:
            for old in retired:
                if not old.doubtful:  # those who waited for it were told already
                    self._sync_one(old)
            if retired:
                self._sync_directory()
            self._sync_one(segment)
            # After the sync: the head never promises more than the disk holds.
            os.pwrite(self._head_fd, self._key.line(self._writer, at, idle=idle), 0)
        except OSError as error:
            with self._lock:
                self._trouble.setdefault("sync", error.strerror)
                segment.doubtful = True
                self.outage.goes_on(error, 0)
            raise
        finally:
            for old in retired:
                old.close()

    def _sync_one(self, segment: Segment) -> None:
        if segment.doubtful:
            raise OSError(errno.EIO, "an earlier sync of this segment failed")
        self._sync(segment.fd)
        if not os.fstat(segment.fd).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "a segment was removed while it was written")

    def _sync_directory(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _release(self) -> None:
        with self._lock:
            self._write_late()  # what another thread noted until now
            open_files = [*self._retired, self._segment]
            self._retired, self._segment = [], None
            head, slot = self._head_fd, self._slot
            self._head_fd = self._slot = None
        for segment in open_files:
            if segment is not None:
                segment.close()
        if head is not None:
            os.close(head)
        if slot is not None:
            slot.close()


def _recovered(detail: dict[str, Any]) -> bytes:
    return members(Event(kind="audit.recovered", host=INSTALLATION, detail=detail))
