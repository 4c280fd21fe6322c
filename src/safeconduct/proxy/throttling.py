"""Throttles: at most so many calls in so many seconds, counted for whom a policy says.

Counts are this process's own: with several workers, each has as many. A window slides, so that
two bursts on either side of a full minute are not twice the limit.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from safeconduct.core.clock import Clock
from safeconduct.core.decision import Throttle
from safeconduct.core.errors import Code, Refused
from safeconduct.proxy.calls import Call

_MOST_KEYS = 100_000


class Throttles:
    """Counts calls for the obligations that limit them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._taken: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def take(self, call: Call, throttle: Throttle) -> None:
        """Count one more call.

        Raises:
            Refused: THROTTLED if the limit is reached; the call is not counted then.
        """
        key, now = _key(call, throttle), self._clock.seconds()
        taken = self._taken.pop(key, None) or deque()
        while taken and taken[0] <= now - throttle.seconds:
            taken.popleft()
        self._taken[key] = taken  # the most recently used last
        if len(taken) >= throttle.count:
            wait = max(1, round(taken[0] + throttle.seconds - now + 0.5))
            raise Refused(
                Code.THROTTLED,
                f"A policy of this host allows {throttle.count} such calls in {throttle.seconds} "
                f"seconds for each {throttle.per}. Nothing was done. Try again in {wait} seconds.",
            )
        taken.append(now)
        if len(self._taken) > _MOST_KEYS:
            self._taken.popitem(last=False)


def _key(call: Call, throttle: Throttle) -> tuple[str, ...]:
    caller = call.caller
    who = {
        "session": (caller.session,),
        "agent": (caller.client,),
        "person": (caller.subject,),
        "tool": (caller.subject, caller.client, call.server.key, call.message.name),
    }[throttle.per]
    return (caller.host, throttle.per, str(throttle.count), str(throttle.seconds), *who)
