"""How much each session has under way at once, and how much it may have.

A call counts from its decision to the end of its answer, a stream until it is closed,
whoever closes it. Counts are this process's own: with several workers, each has as many.
How much of one server everybody may have is counted beside it (`proxy.shares`).
"""

from __future__ import annotations

from safeconduct.core.model import HostId, SessionId
from safeconduct.proxy.calls import Call
from safeconduct.proxy.refusals import Busy
from safeconduct.proxy.shares import Held, Shares
from safeconduct.telemetry import Metrics

_MOST = 100
Flight = tuple[HostId, SessionId]
Streaming = tuple[Flight, Held]


class Flights:
    """Counts the calls and streams of each session, and the streams of all of them."""

    def __init__(
        self, metrics: Metrics, *, shares: Shares | None = None, most: int = _MOST
    ) -> None:
        """Begin with nothing under way.

        Args:
            metrics: Shows how many streams are open.
            shares: Says how much of a server everybody may have at a time.
            most: Calls and streams one session may have at a time.
        """
        self.shares = shares or Shares()
        self._metrics = metrics
        self._most = most
        self._under_way: dict[Flight, int] = {}

    def begin(self, call: Call) -> Flight | None:
        """Count one more call; whatever this returns has to be ended.

        Returns:
            What to end, or None for a message that is not counted: one that keeps nobody
            waiting. A cancellation, say, has to pass a full session.

        Raises:
            Busy: If the session has as many as it may; nothing was counted then.
        """
        if call.message.form != "request" and call.exchange.verb != "GET":
            return None
        key = (call.caller.host, call.caller.session)
        under_way = self._under_way.get(key, 0)
        if under_way >= self._most:
            raise Busy(
                f"This session has {self._most} calls and streams open, the most it may have at "
                "a time. Nothing was done. Wait for one to end, or cancel one, and try again.",
            )
        self._under_way[key] = under_way + 1
        return key

    def end(self, flight: Flight | None) -> None:
        """Count a call no more."""
        if flight is None:
            return
        left = self._under_way[flight] - 1
        if left:
            self._under_way[flight] = left
        else:
            del self._under_way[flight]  # or it would grow with every session there ever was

    def begin_stream(self, call: Call) -> Streaming:
        """Count the stream that answers a call, in whose place it stands: never refused."""
        key = (call.caller.host, call.caller.session)
        self._under_way[key] = self._under_way.get(key, 0) + 1
        self._metrics.streams += 1
        return key, self.shares.take(call, stands_in=True)

    def end_stream(self, streaming: Streaming) -> None:
        """Count a stream no more."""
        self._metrics.streams -= 1
        flight, held = streaming
        self.end(flight)
        self.shares.give_back(held)
