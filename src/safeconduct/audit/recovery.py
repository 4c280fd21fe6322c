"""Taking up a writer's chain where a process before us left it, however that ended."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

from safeconduct.audit.record import Link, intact, read_record
from safeconduct.audit.segment import lock_path, open_private, segments
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Value

_WINDOW_BYTES = 1024 * 1024


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


def claim(directory: Path, writer: str) -> int:
    """Take a writer's slot for as long as the returned descriptor stays open.

    Raises:
        Refused: If another process, or another trail of this one, holds it.
    """
    fd = open_private(lock_path(directory, writer), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise Refused(Code.CONFLICT, "Another process writes this part of the trail.") from error
    except OSError:
        os.close(fd)
        raise
    return fd


def recover(directory: Path, writer: str) -> Recovered:
    """Cut a torn tail back to the last record that is whole; the bytes are kept aside.

    Only what follows the last whole record is cut: damage further up is left as it is, for
    `verify` to find.
    """
    torn: dict[str, int] = {}
    number = 1
    for file in reversed([file for file in segments(directory) if file.writer == writer]):
        end, link = _last_link(file.path)
        if tail := file.path.stat().st_size - end:
            torn[_cut(file.path, end)] = tail
        if link:
            return Recovered(number=max(number, file.number + 1), link=link, torn=torn)
        number = max(number, file.number)  # an empty segment is used again
    return Recovered(number=number, link=None, torn=torn)


def _last_link(path: Path) -> tuple[int, Link | None]:
    """Find the last whole record, looking from the end; return where it ends and its link."""
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
