"""The OPA servers of an installation: which of them answer, and how they are spoken to.

Decisions go round the healthy ones. A server that fails or is too slow is left out until its
health check says otherwise; when none is left, all are tried again, since being wrong about
that costs no more than being right.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

from safeconduct.core.secrets import Secret
from safeconduct.egress import ForwardProxy, Limits, Transport, UpstreamFailed

_CONNECTIONS = 256
_IDLE_SECONDS = 30.0
_PROBE_SECONDS = 1.0
_PROBE_BYTES = 64 * 1024
_log = logging.getLogger(__name__)


class Answered(NamedTuple):
    """One HTTP answer, read whole."""

    status: int
    body: bytes


class OpaServer:
    """One server. Logs call it by its place in the configuration, since its URL is private."""

    def __init__(self, number: int, url: str, servers: OpaServers) -> None:
        self.number = number
        self.healthy = True
        self._url = url.rstrip("/")
        self._servers = servers
        self._probing: asyncio.Task[None] | None = None

    async def request(
        self, method: str, path: str, body: bytes, *, until: float, most_bytes: int
    ) -> Answered:
        """Send one request and read the whole answer.

        Args:
            until: When it must be there, in the loop's time.
            most_bytes: Longest body taken.

        Raises:
            UpstreamFailed: If it cannot be reached or breaks off; the server is left out then.
            TimeoutError: If it is not there in time; likewise.
        """
        try:
            async with asyncio.timeout_at(until):
                answered = await self._servers.exchange(
                    method, self._url + path, body, most_bytes=most_bytes
                )
        except (UpstreamFailed, TimeoutError):
            self._down()
            raise
        self.healthy = True
        return answered

    def _down(self) -> None:
        if self.healthy:
            self.healthy = False
            _log.warning("OPA server %d does not answer", self.number)
        if self._probing is None or self._probing.done():
            self._probing = self._servers.work(self._recovered())

    async def _recovered(self) -> None:
        while not self.healthy:
            await asyncio.sleep(_PROBE_SECONDS)
            until = asyncio.get_running_loop().time() + _PROBE_SECONDS
            with contextlib.suppress(UpstreamFailed, TimeoutError):
                async with asyncio.timeout_at(until):
                    probed = await self._servers.exchange(
                        "GET", f"{self._url}/health", b"", most_bytes=_PROBE_BYTES
                    )
                self.healthy = self.healthy or probed.status == 200
        _log.info("OPA server %d answers again", self.number)


class OpaServers:
    """All of them; one for each event loop."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        token: Secret | None = None,
        timeout_seconds: float = 0.5,
        most_at_once: int = 64,
        tls: ssl.SSLContext | None = None,
        proxy: ForwardProxy | None = None,
    ) -> None:
        """Connect nowhere yet.

        Args:
            urls: Where they are; an operator wrote them, so private networks and this machine
                are allowed, and only there a connection may be without TLS.
            token: Sent as bearer token with everything.
            timeout_seconds: For one decision, whatever has to be done for it.
            most_at_once: Decisions of one host under way; more are refused at once.
            tls: A verifying context; by default the system's authorities.
            proxy: The way out; by default everything is asked directly.
        """
        self.timeout_seconds = timeout_seconds
        self.most_at_once = most_at_once
        self._token = token
        headers = [(b"content-type", b"application/json")]
        if token is not None:
            headers.append((b"authorization", b"Bearer " + token.reveal().encode()))
        self._headers = tuple(headers)
        self._transport = Transport(
            limits=Limits(connections=_CONNECTIONS, pool_idle_seconds=_IDLE_SECONDS),
            allow_loopback=True,
            allow_private=True,
            tls=tls,
            proxy=proxy,
        )
        self._servers = [OpaServer(number, url, self) for number, url in enumerate(urls, 1)]
        self._turn = 0
        self._work: set[asyncio.Task[None]] = set()

    def two(self) -> list[OpaServer]:
        """Return whom to ask, and whom if that fails: the same once more where it is alone."""
        self._turn += 1
        start = self._turn % len(self._servers)
        around = self._servers[start:] + self._servers[:start]
        ordered = sorted(around, key=lambda server: not server.healthy)
        return (ordered * 2)[:2]

    async def exchange(self, method: str, url: str, body: bytes, *, most_bytes: int) -> Answered:
        """Send one request; for the servers themselves."""
        reply = await self._transport.exchange(url, method=method, headers=self._headers, body=body)
        return Answered(reply.status, await reply.read(most_bytes))

    def without_token(self, text: str) -> str:
        """Return what a server said, fit for a log."""
        return text if self._token is None else text.replace(self._token.reveal(), "(token)")

    def work(self, coming: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something done beside the calls; it ends with the servers at the latest."""
        task = asyncio.get_running_loop().create_task(coming)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    async def aclose(self) -> None:
        """End everything."""
        for task in tuple(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._transport.aclose()
