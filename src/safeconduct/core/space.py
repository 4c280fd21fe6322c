"""Room on a disk: how much there is, and how much is missing, in words."""

from __future__ import annotations

import os
from pathlib import Path

from safeconduct.core.model import Value

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


class Room(Value, frozen=True):
    """What is free where something is written, and what it needs, in bytes."""

    free: int
    needed: int

    @property
    def missing(self) -> int:
        return max(0, self.needed - self.free)

    def __str__(self) -> str:
        """Say it in a sentence's half, without the place."""
        free, needed = spelled_bytes(self.free), spelled_bytes(self.needed)
        if not self.missing:
            return f"{free} free"
        return f"{free} free of the {needed} it needs, so {spelled_bytes(self.missing)} missing"


def room_at(path: Path, *, needed: int) -> Room:
    """Look how much this process may still write to the disk of a directory.

    Raises:
        OSError: If it cannot be asked.
    """
    found = os.statvfs(path)
    # What is set aside for the superuser is no use to anybody else.
    blocks = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return Room(free=blocks * found.f_frsize, needed=needed)


def spelled_bytes(count: int) -> str:
    """Spell a size as people read it, such as `63.5 MiB`."""
    size, unit = float(count), _UNITS[0]
    for unit in _UNITS:
        if size < _STEP or unit == _UNITS[-1]:
            break
        size /= _STEP
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
