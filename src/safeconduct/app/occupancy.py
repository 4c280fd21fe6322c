"""One gateway for each data directory: who serves from it holds a lock that says who it is.

A second one would apply its own file to the same database, and take hosts off the addresses of
the first in silence. The system lets go of the lock when its holder ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from safeconduct.core.directories import fault_of_place
from safeconduct.core.errors import Code, Refused

_FILE = "serving.lock"
_LONGEST = 200
_TRIES, _MOMENT_SECONDS = 3, 0.05


def make_place(data_dir: Path) -> None:
    """Make the data directory, unless it is there.

    Raises:
        Refused: If nothing can be kept there; nothing was made then.
    """
    check_place(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)


def check_place(data_dir: Path) -> None:
    """Look whether it can be the data directory; nothing is made.

    Raises:
        Refused: If nothing can be kept there.
    """
    fault = fault_of_place(data_dir)
    if fault:
        raise Refused(
            Code.CONFLICT,
            f"{data_dir} cannot be the data directory: {fault}. Choose another server.data_dir, or "
            "create it for the user that the gateway runs as.",
        )


@contextlib.contextmanager
def sole_server(data_dir: Path, *, listen: str) -> Iterator[None]:
    """Hold the data directory while serving from it; other commands work beside that.

    Raises:
        Refused: If another process serves from it; the message names it. Or if nothing can be
            kept there.
    """
    make_place(data_dir)
    lock = os.open(data_dir / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(lock):
            holder = os.read(lock, _LONGEST).decode("utf-8", "replace").strip() or "another process"
            raise Refused(
                Code.CONFLICT,
                f"{data_dir} is served already, by {holder}. End that one first, or give this one "
                "a server.data_dir of its own. To bring the running one to what a file says: "
                "safeconduct apply",
            )
        os.ftruncate(lock, 0)
        os.write(lock, f"process {os.getpid()} on {listen}\n".encode())
        yield
    finally:
        os.close(lock)


def _taken(lock: int) -> bool:
    """Take the lock, if need be in a moment: whoever asks whether we serve holds it that long."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_MOMENT_SECONDS)
        else:
            return True
    return False


def is_served(data_dir: Path) -> bool:
    """Whether a gateway serves from a data directory; nothing is made by asking."""
    try:
        lock = os.open(data_dir / _FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
