"""Counts that all workers of a node share: how often something happened lately.

A small file that every worker has mapped, as the epoch is. A window is cut into sixty slices and
the oldest counts whole, so that never more than the limit falls into any span of its length; at
the edge it may be a sixtieth stricter. Time is the machine's monotonic clock, which no setting of
the date moves; what was counted before the machine was started again is forgotten.

A row is found by a keyed hash of its key, in one of a few places. Where all are taken, the one
that has been still for longest makes room.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"safeconduct tally 1".ljust(32, b"\0")
_SECRET_BYTES = 32
_HEAD_BYTES = 128
_NAME_BYTES = 16
_SLICES = 61  # sixty whole ones and the one that is under way
_ROW = struct.Struct(f"<{_NAME_BYTES}sdq{_SLICES}I")  # name, last used, newest slice, counts
_WAYS = 8
_SETS = 2048
_BYTES = _HEAD_BYTES + _SETS * _WAYS * _ROW.size
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_FREE = bytes(_NAME_BYTES)

Key = tuple[str, ...]


class TallyBusy(Exception):
    """Another process is counting just now. It takes microseconds, unless that one is stopped."""


class Tally:
    """Counts in a file, or in memory where there is nobody to share with."""

    def __init__(self, path: Path | None = None) -> None:
        """Open the file, and empty it if it is from before this start of the machine."""
        self._fd = None if path is None else _opened(path)
        self._map = mmap.mmap(-1 if self._fd is None else self._fd, _BYTES)
        with self._alone(patient=True):
            boot = _MAGIC + _boot()
            if self._map[: len(boot)] != boot:
                self._map[:] = bytes(_BYTES)
                self._map[: len(boot)] = boot
                self._map[len(boot) : len(boot) + _SECRET_BYTES] = os.urandom(_SECRET_BYTES)
            self._secret = bytes(self._map[len(boot) : len(boot) + _SECRET_BYTES])

    def take(self, key: Key, *, limit: int, seconds: float, now: float) -> float:
        """Count one more; returns 0, or after how many seconds to come back (it did not count).

        Args:
            key: What is counted, together with the limit's own numbers.
            limit: So many in any `seconds`.
            seconds: How long the window is.
            now: Seconds of the machine's monotonic clock.

        Raises:
            TallyBusy: If it cannot be counted at once.
        """
        name = self._name((*key, str(limit), str(seconds)))
        slice_seconds = seconds / (_SLICES - 1)
        with self._alone():
            place = self._place(name)
            found, _, newest, *counts = _ROW.unpack_from(self._map, place)
            if found != name:
                newest, counts = 0, [0] * _SLICES
            current = max(newest, int(now / slice_seconds))
            for passed in range(newest + 1, min(current, newest + _SLICES) + 1):
                counts[passed % _SLICES] = 0
            wait = 0.0
            if sum(counts) >= limit:
                oldest = next(
                    age
                    for age in range(current - _SLICES + 1, current + 1)
                    if counts[age % _SLICES]
                )
                wait = max((oldest + _SLICES) * slice_seconds - now, 0.001)
            else:
                counts[current % _SLICES] += 1
            _ROW.pack_into(self._map, place, name, now, current, *counts)
        return wait

    def give_back(self, key: Key, *, limit: int, seconds: float, every: bool = False) -> None:
        """Take back the newest that was counted, or all of it.

        Raises:
            TallyBusy: If it cannot be done at once.
        """
        name = self._name((*key, str(limit), str(seconds)))
        with self._alone():
            place = self._place(name)
            found, used, newest, *counts = _ROW.unpack_from(self._map, place)
            if found != name:
                return
            for age in range(newest, newest - _SLICES, -1):
                if counts[age % _SLICES]:
                    counts[age % _SLICES] -= 1
                    break
            if every:
                counts = [0] * _SLICES
            _ROW.pack_into(self._map, place, name, used, newest, *counts)

    def close(self) -> None:
        self._map.close()
        if self._fd is not None:
            os.close(self._fd)

    def _name(self, key: Key) -> bytes:
        text = "\0".join(key).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._secret, digest_size=_NAME_BYTES).digest()

    def _place(self, name: bytes) -> int:
        """Return where a row is or may be; the names and times alone are looked at."""
        first = _HEAD_BYTES + int.from_bytes(name[:4], "little") % _SETS * _WAYS * _ROW.size
        stillest, since = first, float("inf")
        for place in range(first, first + _WAYS * _ROW.size, _ROW.size):
            found = self._map[place : place + _NAME_BYTES]
            if found == name:
                return place
            (used,) = struct.unpack_from("<d", self._map, place + _NAME_BYTES)
            if found == _FREE:
                used = float("-inf")
            if used < since:
                stillest, since = place, used
        return stillest

    @contextlib.contextmanager
    def _alone(self, *, patient: bool = False) -> Iterator[None]:
        if self._fd is None:
            yield
            return
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise TallyBusy from error
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.fstat(fd).st_size != _BYTES:
        os.ftruncate(fd, _BYTES)
    try:  # a page that finds no room on a full disk later would end the process
        os.posix_fallocate(fd, 0, _BYTES)
    except OSError:
        os.close(fd)
        raise
    return fd


def _boot() -> bytes:
    """Return what names this start of the machine; nothing where the system does not say."""
    try:
        return hashlib.sha256(_BOOT.read_bytes()).digest()
    except OSError:
        return bytes(hashlib.sha256().digest_size)
