"""A process of its own for the tests that kill one, or limit what one may write.

Run as `python -m tests.audit.child MODE DIRECTORY`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import sys
from pathlib import Path

from safeconduct.audit import AuditUnavailable, Trail
from safeconduct.core.clock import SystemClock
from tests.audit.events import call
from tests.fixtures.keys import ROOT_KEY


def append_until_killed(trail: Trail) -> None:
    """Append in a loop; an id goes out only after `append` returned it."""
    for number in itertools.count():
        os.write(1, trail.append(call(number)).encode() + b"\n")


async def answer_until_killed(trail: Trail) -> None:
    """Append and note in a loop, a few calls a turn."""
    for number in itertools.count():
        record = trail.append(call(number))
        os.write(1, record.encode() + b"\n")
        trail.note(call(number, kind="call.outcome", of=record))
        if number % 3 == 0:
            await asyncio.sleep(0)


def fill_the_disk(trail: Trail, directory: Path) -> None:
    """Append against a file size limit in the middle of a record, then lift the limit."""
    trail.append(call(1))
    path = directory / "0-00000001.jsonl"
    whole = path.stat().st_size
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 100, unlimited[1]))
    refused = 0
    for number in range(3):
        try:
            trail.append(call(2 + number))
        except AuditUnavailable:
            refused += 1
    full = {"available": trail.available(), "left": path.stat().st_size - whole}
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    trail.append(call(5))
    again = trail.available()
    trail.close()
    os.write(1, json.dumps({"refused": refused, "full": full, "again": again}).encode())


def main(mode: str, directory: Path) -> None:
    trail = Trail(directory, clock=SystemClock(), root_key=ROOT_KEY, segment_bytes=100_000)
    trail.open()
    if mode == "append":
        append_until_killed(trail)
    elif mode == "answer":
        asyncio.run(answer_until_killed(trail))
    else:
        fill_the_disk(trail, directory)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
