"""The way to upstream MCP servers: HTTP/1.1, pooled, streaming, one request per exchange.

This is the hot path. A warm exchange is one look-up of the parsed URL, one write, one future
and the parser's callbacks. Nothing is sent twice, redirected, decompressed or buffered beyond
the limits, and nothing is sent to an address that was not judged first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from safeconduct.egress.addresses import Reach
from safeconduct.egress.dial import Dialer, Resolve
from safeconduct.egress.failures import Limits, UpstreamFailed
from safeconduct.egress.forward_proxy import ForwardProxy
from safeconduct.egress.pool import Pool
from safeconduct.egress.requests import Fields, Origin, Target, below, parse_url, write

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from safeconduct.egress.reply import Reply
    from safeconduct.egress.wire import Connection

_MAX_TARGETS = 4096


class Transport:
    """Exchanges requests for replies; one per event loop."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        allow_loopback: bool = False,
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        ports: frozenset[int] | None = None,
        proxy: ForwardProxy | None = None,
    ) -> None:
        """Make a transport that has not connected anywhere.

        Args:
            limits: What exchanges may cost.
            allow_loopback: Upstreams on this machine may be reached, also without TLS.
            allow_private: The same for private networks. Without either switch only https to
                public addresses is possible.
            tls: A verifying context; by default the system's authorities.
            resolve: Turns a name into addresses; by default the system's resolver.
            ports: Those that may be asked at public addresses; by default all.
            proxy: The way out; by default everything is asked directly.
        """
        self._limits = limits or Limits()
        reach = Reach(allow_loopback=allow_loopback, allow_private=allow_private)
        self._dialer = Dialer(
            reach=reach, limits=self._limits, tls=tls, resolve=resolve, ports=ports, proxy=proxy
        )
        self._targets: dict[str, tuple[Target, Pool]] = {}
        self._standing: dict[str, tuple[Target, Pool]] = {}
        self._pools: WeakValueDictionary[tuple[Origin, bool], Pool] = WeakValueDictionary()
        self._ticker: asyncio.TimerHandle | None = None
        self._closed = False

    async def exchange(
        self,
        url: str,
        *,
        method: str = "POST",
        headers: Fields | Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        rest: bytes = b"",
        standing: bool = False,
    ) -> Reply:
        """Send one request and return its reply as soon as the head has arrived.

        The caller reads the reply to its end or closes it. Cancelling closes the connection.

        Args:
            url: Absolute, http or https.
            method: GET, POST, PUT, PATCH, DELETE or OPTIONS.
            headers: What the caller adds. Host, length, connection and coding are ours.
            body: Sent as it is.
            rest: Goes on where the URL's path ends: more of a path, and a query, both encoded.
                For URLs that differ with each exchange; only the first part is remembered.
            standing: Whether the answer is a stream that may stay open for hours; these have
                connections of their own, so that they are not in the way of anything else.

        Raises:
            UpstreamFailed: If there is no reply; `sent` says whether it may have had an effect.
            Refused: If the request is not one that is ever sent.
        """
        known = self._standing if standing else self._targets
        target, pool = known.get(url) or self._target(url, standing=standing)
        if rest:
            target = below(target, rest)
        request = write(target, method, headers, body)
        while True:
            connection = pool.take() or await pool.acquire()
            head = connection.send(request)
            try:
                return await head
            except asyncio.CancelledError:
                # Once there is a reply, it may already carry somebody else's exchange.
                if head.cancelled():
                    connection.abort()
                elif head.exception() is None:
                    await head.result().aclose()
                raise
            except UpstreamFailed as error:
                # Spent while it was idle, and nothing was written: the next, or a new one.
                if error.sent or not connection.kept:
                    raise

    async def aclose(self) -> None:
        """Close every connection; exchanges under way fail."""
        self._closed = True
        self._targets.clear()
        self._standing.clear()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        for pool in list(self._pools.values()):
            pool.close()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    def _target(self, url: str, *, standing: bool) -> tuple[Target, Pool]:
        if self._closed:
            raise UpstreamFailed("the gateway is closing", sent=False)
        try:
            target = parse_url(url)
        except ValueError as error:
            raise UpstreamFailed("the upstream's address is not usable", sent=False) from error
        known = self._standing if standing else self._targets
        if len(known) >= _MAX_TARGETS:
            del known[next(iter(known))]
        key = (target.origin, standing)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._pool(target.origin, standing=standing)
        found = known[url] = (target, pool)
        return found

    def _pool(self, origin: Origin, *, standing: bool) -> Pool:
        async def connect(connection: Connection) -> None:
            await self._dialer.connect(origin, connection)

        most = self._limits.streams if standing else self._limits.connections
        return Pool(limits=self._limits, most=most, connect=connect, watch=self._watch)

    def _watch(self) -> None:
        """Start looking at deadlines; one coarse timer serves all exchanges."""
        if self._ticker is None and not self._closed:
            loop = asyncio.get_running_loop()
            self._ticker = loop.call_later(self._limits.tick_seconds(), self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ticker = None
        now = loop.time()
        pools = list(self._pools.values())
        for pool in pools:
            pool.tick(now)
        if any(pool.busy for pool in pools):
            self._watch()
