"""How an exchange with an upstream ends badly, and how much of everything it may take.

Texts are for callers: they say what happened and never where, since an upstream's address is
the operator's business.
"""

from __future__ import annotations

from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.model import Value


class UpstreamFailed(GatewayError):
    """The upstream could not be reached, or did not answer in HTTP/1.1.

    Attributes:
        sent: Whether bytes of the request may have reached the upstream. Where it is False,
            nothing can have happened there and the caller may try again.
    """

    code = Code.UPSTREAM_FAILED

    def __init__(self, public: str, *detail: object, sent: bool) -> None:
        super().__init__(public, *detail)
        self.sent = sent


class AnswerTooLong(UpstreamFailed):
    """The upstream answered at greater length than is taken."""


class UpstreamTimeout(UpstreamFailed):
    """The upstream took longer than the limits allow."""

    code = Code.UPSTREAM_TIMEOUT


class Limits(Value, frozen=True):
    """What one exchange, and one upstream, may cost.

    Attributes:
        connect_seconds: Name, connection and TLS handshake together; also how long an
            exchange waits for a connection when all are busy.
        head_seconds: From the request to the end of the response's head, however slowly the
            bytes drip.
        idle_seconds: Between two pieces of a body.
        stalled_seconds: How long a reader may leave a full buffer untouched.
        head_bytes: Of a response's head; also of any run of bytes that is not body, such as
            chunk extensions and trailers.
        line_bytes: Of one header field.
        header_count: Fields in a head, and in a trailer.
        interim_count: 1xx responses before the real one.
        connections: To one origin, for all but standing streams.
        streams: Connections to one origin for standing streams.
        waiting: Exchanges that may queue for a connection to one origin.
        pool_idle_seconds: How long an unused connection is kept; less where the upstream's
            `Keep-Alive` says so.
        buffer_bytes: Unread body above which reading from the upstream pauses.
    """

    connect_seconds: float = 5.0
    head_seconds: float = 60.0
    idle_seconds: float = 120.0
    stalled_seconds: float = 600.0
    head_bytes: int = 64 * 1024
    line_bytes: int = 16 * 1024
    header_count: int = 200
    interim_count: int = 8
    connections: int = 512
    streams: int = 1024
    waiting: int = 1024
    pool_idle_seconds: float = 4.0
    buffer_bytes: int = 256 * 1024

    def tick_seconds(self) -> float:
        """How often deadlines are looked at: 0.5 s, or finer where a limit is shorter."""
        shortest = min(
            self.connect_seconds,
            self.head_seconds,
            self.idle_seconds,
            self.stalled_seconds,
            self.pool_idle_seconds or self.connect_seconds,
        )
        return min(0.5, max(0.01, shortest / 4))
