"""What would hold the event loop up, done beside it.

One caller's large message must not be felt by the others. Python runs one thread at a time, so
a thread takes nothing off the processor, but the loop gets its turn within milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

LARGE_BYTES = 64 * 1024  # of JSON; about a millisecond of work
_THREADS = 2  # more would only take more turns from the loop
P = ParamSpec("P")
T = TypeVar("T")


class Background:
    """Runs functions in a few threads of its own, in the order in which they come."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="background")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function returns; whatever it raises is raised here."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))
