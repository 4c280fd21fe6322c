"""What a program and its children used of the machine, from Linux's /proc (proc(5))."""

from __future__ import annotations

import os
from pathlib import Path

from safeconduct.core.model import Value


class Usage(Value, frozen=True):
    """CPU seconds since they began, and memory held now in MiB."""

    cpu_seconds: float
    rss_mib: float


def usage_of(pid: int, proc: Path = Path("/proc")) -> Usage | None:
    """Add up a process and all below it, or return None where there is no /proc."""
    try:
        parents = _parents(proc)
        family = {pid}
        while more := {child for child, parent in parents.items() if parent in family} - family:
            family |= more
        used = [_one(proc / str(member)) for member in family]
    except OSError:
        return None
    return Usage(
        cpu_seconds=sum(one.cpu_seconds for one in used), rss_mib=sum(one.rss_mib for one in used)
    )


def _parents(proc: Path) -> dict[int, int]:
    found = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int(_fields(entry)[1])
            except FileNotFoundError:  # it ended just now
                continue
    if not found:
        raise FileNotFoundError(proc)
    return found


def _one(directory: Path) -> Usage:
    fields = _fields(directory)
    ticks = int(fields[11]) + int(fields[12])  # utime, stime
    pages = int(fields[21])
    return Usage(
        cpu_seconds=ticks / os.sysconf("SC_CLK_TCK"),
        rss_mib=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
    )


def _fields(directory: Path) -> list[str]:
    """Return the fields of `stat` from the third on: the second may hold blanks and brackets."""
    return (directory / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
