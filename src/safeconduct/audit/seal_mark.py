"""The mark beside a trail: since when its heads are sealed, and what was there before.

A head of an earlier version is not sealed, and anybody can write one. So the first start of who
seals heads writes down, outside the trail's directory, where the chains end that nobody sealed
yet. From then on a plain head is believed for exactly those ends, each until it is sealed: a
trail that is spelled anew in the form of an earlier version has none of them. The mark carries
HMAC-SHA256 (RFC 2104) under a key of its own, derived as that of the heads is.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from safeconduct.audit.heads import SEALED_SINCE, head_at
from safeconduct.audit.record import NOT_A_RECORD, Link, read_record
from safeconduct.audit.recovery import last_link, lock_chain
from safeconduct.audit.segment import head_path, lines, lock_path, open_private, segments
from safeconduct.core.model import Value

_KEY_BYTES = 32
_PURPOSE = b"safeconduct audit-mark"
_MOST_BYTES = 1024 * 1024


class Mark(Value, frozen=True):
    """What a mark says.

    Attributes:
        since: When it was first written.
        old: The last records of chains whose heads nobody has sealed yet.
        seal: Hex of the seal over the rest.
    """

    since: str
    old: tuple[Link, ...]
    seal: str = ""


class MarkKey:
    """Seals marks, and tells whether a seal is the installation's."""

    def __init__(self, root_key: bytes) -> None:
        """Derive the key from the installation's."""
        self._key = HKDFExpand(hashes.SHA256(), _KEY_BYTES, _PURPOSE).derive(root_key)

    def sealed(self, mark: Mark) -> Mark:
        return Mark(since=mark.since, old=mark.old, seal=self._seal(mark))

    def fits(self, mark: Mark) -> bool:
        return hmac.compare_digest(self._seal(mark).encode(), mark.seal.encode())

    def _seal(self, mark: Mark) -> str:
        text = msgspec.json.encode((mark.since, mark.old))
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()


class Marking:
    """Reads and writes the mark of the trail that one writer opens."""

    def __init__(self, directory: Path, root_key: bytes) -> None:
        self._directory = directory
        self._path = mark_path(directory)
        self._key = MarkKey(root_key)
        self._mark: Mark | None = None
        self._exists = False

    def read(self) -> str:
        """Read the mark; return what is wrong with it, "" for nothing.

        Raises:
            OSError: If it cannot be read.
        """
        self._exists = os.path.lexists(self._path)
        mark = mark_at(self._path) if self._exists else None
        self._mark = mark if mark and self._key.fits(mark) else None
        if self._mark or not self._exists:
            return ""
        return "forged" if mark else "unreadable"

    def admits(self, writer: str) -> bool:
        """Tell whether a writer's plain head may be one of an earlier version.

        With a mark, for the ends that it names; without one, where nothing in the writer's own
        files shows that it was sealed before.
        """
        end = plain_end(self._directory, writer)
        if end is None:
            return False
        if self._mark:
            return end in self._mark.old
        return not self._exists

    def note(self, chain: str, *, at: str) -> None:
        """Write down that a chain is sealed now; with the first one, what is not.

        Args:
            chain: Its name.
            at: The time.

        Raises:
            OSError: If it cannot be written.
        """
        with self._alone():
            wrong = self.read()
            if self._mark is None:
                # What a mark that was altered said is gone: then nothing is believed to be old.
                old = () if wrong else tuple(plain_ends(self._directory))
                self._write(Mark(since=at, old=old))
            elif any(link.chain == chain for link in self._mark.old):
                left = tuple(link for link in self._mark.old if link.chain != chain)
                self._write(Mark(since=self._mark.since, old=left))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other writers from the mark, and make what was written to it durable."""
        fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
            os.fsync(fd)
        finally:
            os.close(fd)

    def _write(self, mark: Mark) -> None:
        aside = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        try:
            fd = open_private(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(self._key.sealed(mark)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._path)
        finally:
            aside.unlink(missing_ok=True)


def mark_path(directory: Path) -> Path:
    """Return where the mark of a trail is: beside its directory, not in it."""
    return directory.with_name(f"{directory.name}.sealed")


def mark_at(path: Path) -> Mark | None:
    """Read a mark, whoever wrote it; None if it is none.

    Raises:
        OSError: If the file cannot be read.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        raw = file.read(_MOST_BYTES)
    try:
        return msgspec.json.decode(raw, type=Mark)
    except NOT_A_RECORD:
        return None


def plain_ends(directory: Path) -> Iterator[Link]:
    """Yield where the chains end that look as if no head of theirs was ever sealed."""
    for path in sorted(directory.glob("*.head")):
        if end := plain_end(directory, path.stem):
            yield end


def plain_end(directory: Path, writer: str) -> Link | None:
    """Return where a writer's chain ends; None where anything shows that it was sealed."""
    path, lock = head_path(directory, writer), lock_path(directory, writer)
    head = head_at(path) if path.is_file() else None
    if head is None or head.seal or (lock.is_file() and lock_chain(lock)):
        return None
    own = [file.path for file in segments(directory) if file.writer == writer]
    if any(_was_sealed(file) for file in own):
        return None
    ends = (last_link(file)[1] for file in reversed(own))
    return next((end for end in ends if end), head.link)


def _was_sealed(segment: Path) -> bool:
    """Tell whether any record in a segment is of who seals heads."""
    records = map(read_record, lines(segment))
    return any(record.v >= SEALED_SINCE for record in records if record)
