"""What is still running, from Linux's /proc."""

from __future__ import annotations

import asyncio
from pathlib import Path

_PROC = Path("/proc")


def children_of(pid: int) -> set[int]:
    return {
        int(entry.name)
        for entry in _PROC.iterdir()
        if entry.name.isdigit() and _stat(int(entry.name))[1:2] == [str(pid)]
    }


async def gone(pids: set[int]) -> bool:
    """Wait until processes have ended; they may be nobody's children by now."""
    async with asyncio.timeout(60):
        while any(_stat(pid)[:1] not in ([], ["Z"]) for pid in pids):
            await asyncio.sleep(0.05)
    return True


def _stat(pid: int) -> list[str]:
    """Return state, parent and so on; nothing for a process that is no more."""
    try:
        return (_PROC / str(pid) / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
