"""Fetches small JSON documents from URLs that others gave us, behind the address guard.

Client metadata, key sets, discovery documents: whoever names the URL must learn nothing from
our asking, so addresses are judged after resolution and connected to as judged, redirects are
not followed, and no error repeats anything that was fetched. No proxy, no cookies, nothing
from the environment.
"""

from __future__ import annotations

import asyncio
import re
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

import httpcore2
import httpx2

from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.headers import media_of
from safeconduct.core.machines import is_this_machine
from safeconduct.core.model import Value
from safeconduct.egress.addresses import Reach
from safeconduct.egress.dial import Dialer, Resolve, verified_context
from safeconduct.egress.failures import Limits, UpstreamFailed
from safeconduct.egress.requests import Origin, parse_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

_PORTS = frozenset({443, 8443})
_MAX_CONNECTIONS = 20
_MAX_AGE_SECONDS = 86_400
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,12})(?!\d)", re.IGNORECASE)
_NO_CACHE = re.compile(r"(?:^|[,\s])no-(?:store|cache)(?:$|[,\s=])", re.IGNORECASE)
_JSON = re.compile(r"application/(?:[a-z0-9!#$&^_.-]+\+)?json", re.IGNORECASE)


class FetchFailed(GatewayError):
    """The document could not be had. Says which rule was broken, never what was found."""

    code = Code.UPSTREAM_FAILED


class FetchedDocument(Value, frozen=True):
    """What was fetched.

    Attributes:
        body: The document as received; parsing it is the caller's business.
        headers: Names in lower case; repeated fields are joined with commas.
        max_age_seconds: How long the server lets it be kept (RFC 9111 section 5.2.2.1), 0 to
            86,400; 0 for `no-store` and `no-cache`; None where the server does not say.
    """

    body: bytes
    headers: dict[str, str]
    max_age_seconds: int | None = None


class Fetcher:
    """Gets JSON documents; one client, opened when first needed."""

    def __init__(
        self,
        *,
        allow_plain_loopback: bool = False,
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        """Make a fetcher that has not connected anywhere.

        Args:
            allow_plain_loopback: This machine may be asked, on any port and without TLS; for
                development and tests.
            allow_private: Private networks may be asked, on any port, with TLS; for URLs that
                an operator wrote, never for URLs a client brought.
            tls: A verifying context; by default the system's authorities.
            resolve: Turns a name into addresses; by default the system's resolver.
        """
        self._reach = Reach(allow_loopback=allow_plain_loopback, allow_private=allow_private)
        self._plain = allow_plain_loopback
        self._tls = verified_context(tls) if tls is not None else None
        self._resolve = resolve
        self._client: httpx2.AsyncClient | None = None

    async def get_json(
        self, url: str, *, max_bytes: int = 5120, seconds: float = 5.0
    ) -> FetchedDocument:
        """Fetch one document.

        Args:
            url: Absolute https URL.
            max_bytes: Longest body taken.
            seconds: For everything together, name and handshake included.

        Raises:
            FetchFailed: If it is not a JSON answer with status 200 within these limits.
        """
        self._check(url)
        try:
            async with asyncio.timeout(seconds):
                return await self._get(url, max_bytes)
        except TimeoutError as error:
            raise FetchFailed("the document did not arrive in time") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            # The cause may quote the other side, so it stays out of the text.
            raise FetchFailed("the document could not be fetched", type(error).__name__) from None

    async def aclose(self) -> None:
        """Close the client, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _check(self, url: str) -> None:
        try:
            origin = parse_url(url).origin
        except ValueError as error:
            raise FetchFailed("the document's address is not usable") from error
        if not origin.tls and not (self._plain and is_this_machine(origin.host)):
            raise FetchFailed("documents are fetched over https only")

    async def _get(self, url: str, max_bytes: int) -> FetchedDocument:
        async with self._opened().stream("GET", url) as response:
            if response.status_code != 200:
                raise FetchFailed("the document was not answered with status 200")
            media = media_of(response.headers.get("content-type", ""))
            if not _JSON.fullmatch(media.type):
                raise FetchFailed("the document is not declared to be JSON")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchFailed("the document is compressed although nobody asked for it")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > max_bytes:
                    raise FetchFailed("the document is longer than allowed")
            return FetchedDocument(
                body=bytes(body),
                headers={name.lower(): value for name, value in response.headers.items()},
                max_age_seconds=_max_age(response.headers.get("cache-control")),
            )

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            context = self._tls or verified_context(None)
            guard = _Guard(reach=self._reach, resolve=self._resolve)
            self._client = httpx2.AsyncClient(
                transport=_GuardedTransport(guard, context),
                follow_redirects=False,
                trust_env=False,
                timeout=None,  # one deadline stands around each whole fetch
                cookies=_no_cookies(),
                headers={
                    "accept": "application/json",
                    "accept-encoding": "identity",
                    "user-agent": "safeconduct",
                },
            )
        return self._client


def _max_age(cache_control: str | None) -> int | None:
    if cache_control is None:
        return None
    if _NO_CACHE.search(cache_control):
        return 0
    found = _MAX_AGE.search(cache_control)
    return min(int(found[1]), _MAX_AGE_SECONDS) if found else None


def _no_cookies() -> CookieJar:
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


class _GuardedTransport(httpx2.AsyncHTTPTransport):
    """The usual transport on a pool whose every connection is made by the guard."""

    def __init__(self, guard: _Guard, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            network_backend=guard,
            max_connections=_MAX_CONNECTIONS,
            http1=True,
        )


class _Guard(httpcore2.AsyncNetworkBackend):
    """Connects to judged addresses; TLS above it still verifies the name."""

    def __init__(self, *, reach: Reach, resolve: Resolve | None) -> None:
        self._reach = reach
        # Fetches have one deadline of their own, so the dialer is asked for addresses only.
        self._dialer = Dialer(reach=reach, limits=Limits(), tls=None, resolve=resolve)
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the interface says so
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            addresses = await self._dialer.addresses(Origin(tls=True, host=host, port=port))
        except UpstreamFailed as error:
            raise httpcore2.ConnectError("the address is not allowed") from error
        local = all(self._reach.is_local(address) for address in addresses)
        if port not in _PORTS and not local:
            raise httpcore2.ConnectError("the port is not allowed")
        return await self._backend.connect_tcp(
            addresses[0], port, timeout, local_address, socket_options
        )

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  the interface says so
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("there are no unix sockets here")

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)
