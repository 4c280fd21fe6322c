"""Taking up a writer's chain where a process before us left it, however that ended."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from pathlib import Path
from typing import Any

from safeconduct.audit.heads import Head, HeadKey, read_head
from safeconduct.audit.record import Link, intact, read_record
from safeconduct.audit.segment import lock_path, open_private, segments
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Value

_WINDOW_BYTES = 1024 * 1024
_MOST_NAME_BYTES = 256
# A head of an earlier version, where nothing shows that a later one was here.
OLD_HEAD = "old"


class Recovered(Value, frozen=True):
    """Where a writer's chain really ends, and what had to be cut off to get there.

    Attributes:
        number: Number for the next segment.
        link: The last valid link, or None when no record is left.
        torn: Each tail that was cut off: the file it is kept in, and its bytes.
    """

    number: int
    link: Link | None
    torn: dict[str, int]


class Slot:
    """A writer's place, held for as long as this is open.

    Attributes:
        writer: Whose place it is.
        chain: The chain whose head stood beside the lock when it was held before; "" for a lock
            that no head was ever written beside, or by an earlier version.
    """

    def __init__(self, directory: Path, writer: str) -> None:
        """Take the slot.

        Raises:
            Refused: If another process, or another trail of this one, holds it.
        """
        self.writer = writer
        self._fd = open_private(lock_path(directory, writer), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.chain = os.pread(self._fd, _MOST_NAME_BYTES, 0).decode("ascii", "replace")
        except BlockingIOError as error:
            os.close(self._fd)
            raise Refused(
                Code.CONFLICT, "Another process writes this part of the trail."
            ) from error
        except OSError:
            os.close(self._fd)
            raise

    def belongs_to(self, chain: str) -> None:
        """Write down whose head stands beside the lock from now on."""
        if chain != self.chain:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, chain.encode(), 0)
            self.chain = chain

    def close(self) -> None:
        os.close(self._fd)


def lock_chain(path: Path) -> str:
    """Return the chain that a lock names, "" for none.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(_MOST_NAME_BYTES).decode("ascii", "replace")


def is_held(path: Path) -> bool:
    """Tell whether somebody holds a lock now.

    Raises:
        OSError: If it cannot be asked.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def recover(directory: Path, writer: str) -> Recovered:
    """Cut a torn tail back to the last record that is whole; the bytes are kept aside.

    Only what follows the last whole record is cut: damage further up is left as it is, for
    `verify` to find.
    """
    torn: dict[str, int] = {}
    number = 1
    for file in reversed([file for file in segments(directory) if file.writer == writer]):
        end, link = last_link(file.path)
        if tail := file.path.stat().st_size - end:
            torn[_cut(file.path, end)] = tail
        if link:
            number = max(number, file.number + 1)
            return Recovered(number=number, link=link, torn=torn)
        number = max(number, file.number)  # an empty segment is used again
    return Recovered(number=number, link=None, torn=torn)


def beginning(
    left: Recovered, raw: bytes | None, *, slot: Slot, key: HeadKey, old: bool
) -> tuple[Link, dict[str, Any]]:
    """Choose the link to continue from, and say what a recovery has to report.

    Args:
        left: What is left of the segments.
        raw: The bytes of the head, or None if there is none.
        slot: The writer's place.
        key: What its head was sealed with.
        old: Whether a plain head may be one of an earlier version.
    """
    found: dict[str, Any] = {"torn": left.torn} if left.torn else {}
    head = None if raw is None else read_head(raw)
    wrong = _distrust(left, raw, head, slot=slot, key=key, old=old)
    if wrong:
        found["head"] = wrong
    if head is None or wrong not in {None, OLD_HEAD}:
        return left.link or Link(chain=secrets.token_hex(8), n=0), found
    start = left.link or head.link
    if head.link.chain != start.chain:
        return start, found | {"head": "foreign"}
    last = left.link.n if left.link else 0
    if head.link.n > last:
        # Numbers are not given twice, so the gap stays visible for good.
        at = Link(chain=start.chain, n=head.link.n, hash=start.hash)
        return at, found | {"missing": head.link.n - last}
    if head.seal and last > head.link.n:
        found["after_head"] = last - head.link.n  # nothing vouched for these, so it is said
    return start, found


def _distrust(
    left: Recovered, raw: bytes | None, head: Head | None, *, slot: Slot, key: HeadKey, old: bool
) -> str | None:
    """Return why a head is not believed, `old` for one of an earlier version, None for none."""
    if head is None and left.link is None and not slot.chain:
        return None  # nothing was ever finished here
    if raw is None:
        return "missing"
    if head is None:
        return "unreadable"
    if head.seal:
        return None if key.fits(slot.writer, head) else "forged"
    return OLD_HEAD if old else "unsealed"


def last_link(path: Path) -> tuple[int, Link | None]:
    """Find the last whole record from the end; return where it ends, and its link."""
    size = path.stat().st_size
    window = _WINDOW_BYTES
    while True:
        start = max(0, size - window)
        with path.open("rb") as file:
            file.seek(start)
            tail = file.read(size - start)
        end, link = _last_link_in(tail)
        if link or start == 0:
            return start + end, link
        window *= 4


def _last_link_in(tail: bytes) -> tuple[int, Link | None]:
    end = tail.rfind(b"\n") + 1
    while end:
        begin = tail.rfind(b"\n", 0, end - 1) + 1
        line = tail[begin:end]
        if intact(line) and (record := read_record(line)):
            return end, Link(chain=record.chain, n=record.n, hash=record.hash)
        end = begin
    return 0, None


def _cut(path: Path, end: int) -> str:
    """Keep the bytes after `end` in a file of their own, then cut them off; return its name."""
    with path.open("r+b") as file:
        file.seek(end)
        tail = file.read()
        aside = path.with_name(f"{path.stem}.{hashlib.sha256(tail).hexdigest()[:16]}.torn")
        with os.fdopen(open_private(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as copy:
            copy.write(tail)
            copy.flush()
            os.fsync(copy.fileno())
        file.truncate(end)
        os.fsync(file.fileno())
    return aside.name
