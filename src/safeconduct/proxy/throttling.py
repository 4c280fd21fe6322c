"""Throttles: at most so many calls in so many seconds, counted for whom a policy says.

All workers of a node count together (`storage.Tally`), and no setting of the date makes anybody
wait longer or less. Nodes do not: each lets its share through. A window slides, so that two bursts
on either side of a full minute are not twice the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from safeconduct.core.clock import Clock
from safeconduct.core.decision import Throttle
from safeconduct.core.errors import Code, Refused
from safeconduct.proxy.calls import Call
from safeconduct.storage import Tally, TallyBusy

_TRIES, _PAUSE_SECONDS = 200, 0.002


class Throttles:
    """Counts calls for the obligations that limit them."""

    def __init__(
        self, clock: Clock, tally: Tally, *, share: Callable[[int], int] = lambda count: count
    ) -> None:
        """Take what counts.

        Args:
            clock: Its `elapsed` must be the same for all who share the tally.
            tally: Where it is counted.
            share: Says how much of a limit this node may let through.
        """
        self._clock = clock
        self._tally = tally
        self._share = share

    async def take(self, call: Call, throttle: Throttle) -> None:
        """Count one more call.

        Raises:
            Refused: THROTTLED if the limit is reached; the call is not counted then.
                UNAVAILABLE if it cannot be counted, because a worker that counts is stopped.
        """
        for _ in range(_TRIES):
            try:
                seconds = self._take(call, throttle)
            except TallyBusy:
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                break
        else:
            raise Refused(
                Code.UNAVAILABLE,
                "A policy of this host limits such calls, and they cannot be counted now. Nothing "
                "was done. Try again in a few seconds.",
            )
        if seconds:
            wait = max(1, round(seconds + 0.5))
            raise Refused(
                Code.THROTTLED,
                f"A policy of this host allows {throttle.count} such calls in {throttle.seconds} "
                f"seconds for each {throttle.per}. Nothing was done. Try again in {wait} seconds.",
            )

    def _take(self, call: Call, throttle: Throttle) -> float:
        return self._tally.take(
            _key(call, throttle),
            limit=self._share(throttle.count),
            seconds=throttle.seconds,
            now=self._clock.elapsed(),
        )


def share_of(count: int, *, own: int, processes: int) -> int:
    """Return the share of a limit that a node has which runs `own` of all the processes.

    Never less than one: a limit below the number of nodes would close some of them.
    """
    return max(1, count * own // max(own, processes))


def _key(call: Call, throttle: Throttle) -> tuple[str, ...]:
    caller = call.caller
    who = {
        "session": (caller.session,),
        "agent": (caller.client,),
        "person": (caller.subject,),
        "tool": (caller.subject, caller.client, call.server.key, call.message.name),
    }[throttle.per]
    return ("throttle", caller.host, throttle.per, str(throttle.count), *who)
