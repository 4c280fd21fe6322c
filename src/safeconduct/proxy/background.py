"""What would hold the event loop up, done beside it, and each caller's share of that.

Python runs one thread at a time, so a thread takes nothing off the processor; the loop gets its
turn between two pieces of work, and must get most of them. So each person has a small share of
the time: after a burst, the next large message waits until what the last ones took is paid off.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId, SubjectId

LARGE_BYTES = 64 * 1024  # of JSON; about a millisecond of work
SHARE = 0.04  # of the time of a process, for one person
BURST_SECONDS = 0.25  # of work at a stretch; some ten messages of the largest kind
_MOST_WAITING = 16  # messages of one person
_LONGEST_SECONDS = 30.0  # to wait
_MOST_OWNERS = 10_000
_THREADS = 2  # more would only take more turns from the loop
Owner = tuple[HostId, SubjectId]
P = ParamSpec("P")
T = TypeVar("T")


class Background:
    """Runs functions in a few threads: of each person one at a time, within their share."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Begin with everybody's share untouched.

        Args:
            monotonic: Seconds that only grow.
            sleep: Waits; tests move their clock instead.
        """
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="background")
        self._monotonic = monotonic
        self._sleep = sleep
        self._paid_at: OrderedDict[Owner, float] = OrderedDict()  # when the share is whole again
        self._queues: dict[Owner, _Queue] = {}

    def check_room(self, owner: Owner) -> None:
        """Let a person's next piece of work wait for its turn.

        Raises:
            Refused: THROTTLED if too many of theirs wait already, or it would take too long.
        """
        due, queue = self._due(owner), self._queues.get(owner)
        if (queue is not None and queue.length >= _MOST_WAITING) or due > _LONGEST_SECONDS:
            raise Refused(
                Code.THROTTLED,
                "Your large messages take more of this gateway's time than one person's share. "
                f"Nothing was done. Try again in {max(1, round(due))} seconds, or send less at "
                "a time.",
            )

    async def run(self, owner: Owner, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function returns, when it is its owner's turn and within their share."""
        queue = self._queues.setdefault(owner, _Queue())
        queue.length += 1
        try:
            async with queue.turn:
                while due := self._due(owner):
                    await self._sleep(due)
                return await self._measured(owner, lambda: work(*args, **kwargs))
        finally:
            queue.length -= 1
            if not queue.length:
                del self._queues[owner]

    async def _measured(self, owner: Owner, work: Callable[[], T]) -> T:
        spent = 0.0

        def measured() -> T:
            nonlocal spent
            began = time.thread_time()
            try:
                return work()
            finally:
                spent = time.thread_time() - began

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, measured)
        finally:
            self._charge(owner, spent)

    def _charge(self, owner: Owner, seconds: float) -> None:
        now = self._monotonic()
        paid_at = max(self._paid_at.pop(owner, now), now)
        self._paid_at[owner] = paid_at + seconds / SHARE
        if len(self._paid_at) > _MOST_OWNERS:
            self._paid_at.popitem(last=False)

    def _due(self, owner: Owner) -> float:
        """Return how many seconds an owner has to wait; 0.0 for not at all."""
        paid_at = self._paid_at.get(owner)
        if paid_at is None:
            return 0.0
        return max(0.0, paid_at - self._monotonic() - BURST_SECONDS / SHARE)


class _Queue:
    """What one person has under way and waiting; they take turns."""

    def __init__(self) -> None:
        self.length = 0
        self.turn = asyncio.Lock()
