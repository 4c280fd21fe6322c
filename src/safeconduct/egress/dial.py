"""Makes connections: name to addresses, addresses judged, then TCP and TLS to the judged one.

All addresses of a name must be permitted, not just the one that is used: a name that also
points inward is a trap or a mistake. The TLS certificate is verified against the name. Behind a
forward proxy the name is the proxy's to resolve (`egress.forward_proxy`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from safeconduct.core.errors import Code, Refused
from safeconduct.egress.addresses import Reach, literal
from safeconduct.egress.failures import Limits, UpstreamFailed, UpstreamTimeout
from safeconduct.egress.forward_proxy import ForwardProxy, Tunnel

if TYPE_CHECKING:
    from safeconduct.egress.requests import Origin

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_MAX_ATTEMPTS = 4


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver; addresses in its order of preference."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in found]


def _unacceptable() -> UpstreamFailed:
    return UpstreamFailed("the upstream's certificate or TLS is not acceptable", sent=False)


def verified_context(given: ssl.SSLContext | None) -> ssl.SSLContext:
    """Return a context that verifies, the system's own where none is given.

    Raises:
        ValueError: If the given context would accept anybody.
    """
    if given is None:
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        return context
    if given.verify_mode is not ssl.CERT_REQUIRED or not given.check_hostname:
        raise ValueError("a TLS context for upstream servers verifies certificate and name")
    return given


def trusting(ca_file: Path | None) -> ssl.SSLContext | None:
    """Return a context that trusts a file's authorities beside the system's; None for no file.

    Raises:
        Refused: If the file cannot be read, or holds no certificates.
    """
    if ca_file is None:
        return None
    context = verified_context(None)
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:  # of which ssl's are
        raise Refused(
            Code.CONFLICT,
            f"{ca_file} (server.egress.ca_file) holds no certificates in PEM that can be read.",
        ) from error
    return context


class _Line(asyncio.Protocol):
    """A connection before it is secured, where nobody has anything to say yet."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.abort()


class Dialer:
    """Connects to origins, within reach and in time."""

    def __init__(
        self,
        *,
        reach: Reach,
        limits: Limits,
        tls: ssl.SSLContext | None,
        resolve: Resolve | None,
        ports: frozenset[int] | None = None,
        proxy: ForwardProxy | None = None,
    ) -> None:
        """Take what is to be heeded.

        Args:
            ports: Those that may be asked at public addresses; by default all.
            proxy: The way to everything that it carries; by default everything is direct.
        """
        self._ports = ports
        self._proxy = proxy
        self._reach = reach
        self._limits = limits
        self._tls = verified_context(tls) if tls is not None else None
        self._resolve = resolve or system_resolve

    async def connect(self, origin: Origin, protocol: asyncio.Protocol) -> None:
        """Connect a protocol to an origin.

        Raises:
            UpstreamFailed: If the name does not resolve, points where we do not go, or nobody
                we trust answers there. Nothing was sent.
        """
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                if self._proxy is not None and self._proxy.carries(origin.host):
                    await self._through(self._proxy, origin, protocol)
                    return
                addresses = await self.addresses(origin)
                await self._first(origin, addresses[:_MAX_ATTEMPTS], protocol)
        except TimeoutError as error:
            raise UpstreamTimeout(
                "the upstream could not be reached in time", sent=False
            ) from error

    async def addresses(self, origin: Origin) -> Sequence[str]:
        """Return an origin's addresses, every one of them judged."""
        address = literal(origin.host)
        try:
            found = [address] if address else await self._resolve(origin.host, origin.port)
        except (socket.gaierror, UnicodeError) as error:
            raise UpstreamFailed("the upstream's name does not resolve", sent=False) from error
        permits = self._reach.permits if origin.tls else self._reach.is_local
        if not found or not all(permits(each) for each in found):
            raise UpstreamFailed("the upstream is at an address that is not allowed", sent=False)
        if not self._takes(origin) and not all(map(self._reach.is_local, found)):
            raise UpstreamFailed("the upstream is at a port that is not allowed", sent=False)
        return found

    def _takes(self, origin: Origin) -> bool:
        return self._ports is None or origin.port in self._ports

    async def _through(
        self, proxy: ForwardProxy, origin: Origin, protocol: asyncio.Protocol
    ) -> None:
        """Connect by way of the proxy, to what can be judged without resolving it."""
        if not origin.tls:
            raise UpstreamFailed(
                "plain http is not spoken through a forward proxy; name the upstream in "
                "server.egress.no_proxy",
                sent=False,
            )
        address = literal(origin.host)
        if (address is not None and not Reach().permits(address)) or not self._takes(origin):
            raise UpstreamFailed("the upstream is at an address that is not allowed", sent=False)
        loop = asyncio.get_running_loop()
        try:
            line, tunnel = await loop.create_connection(Tunnel, proxy.host, proxy.port)
        except OSError as error:
            raise UpstreamFailed("the forward proxy could not be reached", sent=False) from error
        try:
            await tunnel.open(proxy, origin)
            await self._secure(line, origin, protocol)
        except BaseException as error:
            line.abort()
            if isinstance(error, ssl.SSLError):
                raise _unacceptable() from error
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise UpstreamFailed("the upstream could not be reached", sent=False) from error
            raise

    async def _first(
        self, origin: Origin, addresses: Sequence[str], protocol: asyncio.Protocol
    ) -> None:
        seconds = self._limits.connect_seconds / len(addresses)
        for address in addresses:
            try:
                async with asyncio.timeout(seconds):
                    await self._open(origin, address, protocol)
            except ssl.SSLError as error:
                raise _unacceptable() from error
            except OSError as error:  # TimeoutError is one: the next address may be better
                failure = error
            else:
                return
        if isinstance(failure, TimeoutError):
            raise UpstreamTimeout(
                "the upstream could not be reached in time", sent=False
            ) from failure
        raise UpstreamFailed("the upstream could not be reached", sent=False) from failure

    async def _open(self, origin: Origin, address: str, protocol: asyncio.Protocol) -> None:
        loop = asyncio.get_running_loop()
        if not origin.tls:
            await loop.create_connection(lambda: protocol, address, origin.port)
            return
        line, _ = await loop.create_connection(_Line, address, origin.port)
        await self._secure(line, origin, protocol)

    async def _secure(
        self, line: asyncio.Transport, origin: Origin, protocol: asyncio.Protocol
    ) -> None:
        """Speak TLS on a connection, and hand it to its protocol."""
        loop = asyncio.get_running_loop()
        try:
            # Written at once: uvloop would wait for the end of its turn, and whatever arrived
            # until then would pass for an answer.
            line.set_write_buffer_limits(high=0)
            tls = await loop.start_tls(line, protocol, self._context(), server_hostname=origin.host)
        except BaseException:
            line.abort()
            raise
        if tls is None:
            raise ConnectionResetError("closed while the connection was secured")
        protocol.connection_made(tls)

    def _context(self) -> ssl.SSLContext:
        # Loading the system's authorities takes milliseconds: once, and only if needed.
        if self._tls is None:
            self._tls = verified_context(None)
        return self._tls
