"""A process of its own for what could crash or hang the engine: little time, little memory.

The child is a module of ours that calls `answering`. Nothing of our environment goes along.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WALL_SECONDS = 30
_MEMORY_BYTES = 1024 * 1024 * 1024
_SOURCES = Path(__file__).resolve().parents[2]

Question = dict[str, Any]


class BroughtDown(Exception):
    """The child crashed, or ran out of time or memory."""


def asked(module: str, question: Question) -> Any:
    """Have a question answered by a module's child.

    Raises:
        BroughtDown: If there is no answer.
    """
    try:
        child = subprocess.run(  # noqa: S603  our own words
            # -P: nothing in the working directory can pose as a module of ours.
            [sys.executable, "-P", "-m", module],
            env={"PYTHONPATH": str(_SOURCES)},  # and none of our secrets go along
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=_WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BroughtDown("time") from None
    if child.returncode != 0:
        raise BroughtDown(child.returncode)
    return json.loads(child.stdout)


def answering(answer: Callable[[Question], object], *, cpu_seconds: int) -> None:
    """Answer the one question on standard input. Runs in the child."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    most = _mapped_bytes() + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    sys.stdout.write(json.dumps(answer(json.load(sys.stdin))))


def _mapped_bytes() -> int:
    """Return how much address space this process has already; libraries map a lot of it."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split(" ", 1)[0])
    except OSError:  # elsewhere than on Linux the limit is not kept to anyway
        return 0
    return pages * resource.getpagesize()
