"""The files of a trail: a directory of segments, each of which only grows.

`<writer>-<number>.jsonl` are a writer's segments in order, `<writer>.head` its newest
durable link, `<writer>.lock` the lock that keeps a second process from the same chain, and
`*.torn` the bytes that recovery cut off.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from safeconduct.audit.record import MAX_RECORD_BYTES
from safeconduct.core.model import Value

_WRITER = re.compile(r"[A-Za-z0-9_]{1,32}")
_NAME = re.compile(r"([A-Za-z0-9_]{1,32})-([0-9]{8,12})\.jsonl")
_PRIVATE = 0o600


class SegmentFile(Value, frozen=True):
    """Where a segment is, and its place among its writer's segments."""

    path: Path
    writer: str
    number: int


def segments(directory: Path) -> list[SegmentFile]:
    """List the segments, writer by writer, each in the order in which they were written."""
    found = [
        SegmentFile(path=path, writer=name[1], number=int(name[2]))
        for path in directory.iterdir()
        if (name := _NAME.fullmatch(path.name)) and path.is_file()
    ]
    return sorted(found, key=lambda file: (file.writer, file.number))


def strangers(directory: Path) -> list[Path]:
    """List what has the name of a trail's file and is none: a directory, a pipe, a dead link."""
    return sorted(
        path
        for path in directory.iterdir()
        if (_NAME.fullmatch(path.name) or path.suffix in {".head", ".lock"}) and not path.is_file()
    )


def check_writer(writer: str) -> str:
    """Return the writer's name.

    Raises:
        ValueError: If it could be read as something else in a file name.
    """
    if not _WRITER.fullmatch(writer):
        raise ValueError("a writer is named by 1 to 32 letters, digits and underscores")
    return writer


def segment_path(directory: Path, writer: str, number: int) -> Path:
    return directory / f"{writer}-{number:08d}.jsonl"


def head_path(directory: Path, writer: str) -> Path:
    return directory / f"{writer}.head"


def lock_path(directory: Path, writer: str) -> Path:
    return directory / f"{writer}.lock"


def lines(path: Path, *, offset: int = 0) -> Iterator[bytes]:
    """Yield the lines with their newlines; the last may lack one, and so do overlong ones."""
    with path.open("rb") as file:
        file.seek(offset)
        while line := file.readline(MAX_RECORD_BYTES + 1):
            yield line


def open_private(path: Path, flags: int) -> int:
    """Open a file that only its owner may read; a symbolic link is not followed."""
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE)


class Segment:
    """An open segment. It holds whole lines only: what was written in part is cut off again."""

    def __init__(self, path: Path) -> None:
        """Open a new segment.

        Raises:
            OSError: If the file cannot be made, or something is in it already.
        """
        self.fd = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.path = path
        self.size = 0
        # Set when a sync failed: the kernel may have dropped what it could not write, and
        # says so only once. Such a file is not written to again.
        self.doubtful = False
        self._ragged = False
        if os.fstat(self.fd).st_size:
            self.close()
            raise FileExistsError(errno.EEXIST, "the segment is not empty")

    def write(self, text: bytes) -> None:
        """Append whole lines with one write.

        Raises:
            OSError: If they are not in the file, every one as a whole. Then none of them is, or
                nothing is written behind their beginning until that could be cut off.
        """
        if self._ragged:
            self._trim()
        written = os.write(self.fd, text)  # an error means that nothing was written
        if written != len(text):
            self._ragged = True
            with contextlib.suppress(OSError):  # the next write tries again
                self._trim()
            # They are in the file only in part, which no other cause has on a disk.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += written

    def close(self) -> None:
        os.close(self.fd)

    def _trim(self) -> None:
        # Never longer than it is: that would fill a file others have cut with zeros.
        if os.fstat(self.fd).st_size > self.size:
            os.ftruncate(self.fd, self.size)
        self._ragged = False
