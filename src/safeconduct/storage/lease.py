"""How long this process may decide by what it has in memory.

On SQLite there is one node and the epoch is in its memory: the lease is endless. On PostgreSQL
the lease is what makes a process that lost its feed stop by itself, without being told.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable

LEASE_SECONDS = 2.0
"""What a heartbeat buys, by the database's clock.

Whoever takes something away waits this long for a node that died, and a node that cannot reach
the database decides this long by what it knows (the ruling allows 5 s). Shorter would be better
for both, but a lease must outlive what is ordinary: eight heartbeats of 250 ms, so a commit that
waits a second for a busy disk, or a process that waits a second for a processor, is no outage.
"""

_OURS = 0.9  # of it; clocks that run this differently are broken


def _counting() -> Callable[[], float]:
    """Return a clock that nobody sets, and that goes on while the machine is suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    return time.monotonic


class Lease:
    """Runs out unless it is renewed. Looking costs a comparison of two floats."""

    def __init__(self, *, seconds: Callable[[], float] | None = None) -> None:
        """Begin with one that has run out.

        Args:
            seconds: Counts seconds from any beginning; the machine's steady clock by default.
        """
        self.seconds = seconds or _counting()
        self._until = -math.inf

    @classmethod
    def endless(cls) -> Lease:
        """Return one that never runs out: there is nobody to lose touch with."""
        lease = cls()
        lease._until = math.inf
        return lease

    @property
    def lapsed(self) -> bool:
        """Whether nothing may be decided any more."""
        return self.seconds() >= self._until

    @property
    def remaining(self) -> float:
        """Seconds left; 0 when it has run out."""
        return max(0.0, self._until - self.seconds())

    def end(self) -> None:
        """Give it up before its time."""
        self._until = -math.inf

    def renew(self, asked_at: float) -> None:
        """Count on from when the heartbeat was about to be sent, for less than it bought.

        Args:
            asked_at: What `seconds` said before the heartbeat left. The database counts from
                when it arrived, which was later, so ours is always over first.
        """
        self._until = max(self._until, asked_at + LEASE_SECONDS * _OURS)
