"""Whether a directory can be one that things are kept in, before anything is made of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def fault_of_place(path: Path) -> str:
    """Return why nothing can be kept in a directory that is there or would be made, or ""."""
    try:
        nearest = next(each for each in (path, *path.absolute().parents) if each.exists())
        if not nearest.is_dir():
            return f"{nearest} is no directory"
        # What the kernel shows as files (/proc, /sys) has no room, whatever its modes say.
        if os.statvfs(nearest).f_blocks == 0:
            return f"{nearest} is no place where files can be kept"
        made = nearest == path or os.access(nearest, os.W_OK | os.X_OK)
        longest = os.pathconf(nearest, "PC_NAME_MAX")
        too_long = any(len(os.fsencode(part)) > longest for part in path.parts)
    except OSError as error:  # a path that is too long, or leads round in a circle
        return os.strerror(error.errno or errno.EIO).lower()
    if too_long:
        return os.strerror(errno.ENAMETOOLONG).lower()
    return "" if made else f"this user may not create anything in {nearest}"
