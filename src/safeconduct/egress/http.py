"""Fetches small JSON documents from URLs that others gave us, behind the address guard.

Client metadata, key sets, discovery documents: whoever names the URL must learn nothing from
our asking, so addresses are judged after resolution and connected to as judged, redirects are
not followed, and no error repeats anything that was fetched. No cookies, nothing from the
environment, and each document on a connection of its own. Whoever names slow documents holds up
their own: so many are fetched at a time from one origin, one site, and altogether.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.headers import media_of
from safeconduct.core.machines import is_this_machine
from safeconduct.core.model import Value
from safeconduct.egress.dial import Resolve
from safeconduct.egress.failures import AnswerTooLong, Limits, UpstreamFailed
from safeconduct.egress.forward_proxy import ForwardProxy
from safeconduct.egress.requests import Fields, Origin, parse_url
from safeconduct.egress.stream import Transport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from safeconduct.egress.reply import Reply

_PORTS = frozenset({443, 8443})
_OF_ORIGIN, _OF_SITE, _OF_ALL = 4, 16, 128  # fetches at a time
_WAITING = 16  # for a connection to one origin
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
    """Gets JSON documents."""

    def __init__(
        self,
        *,
        allow_plain_loopback: bool = False,
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        proxy: ForwardProxy | None = None,
    ) -> None:
        """Make a fetcher that has not connected anywhere.

        Args:
            allow_plain_loopback: This machine may be asked, on any port and without TLS; for
                development and tests.
            allow_private: Private networks may be asked, on any port, with TLS; for URLs that
                an operator wrote, never for URLs a client brought.
            tls: A verifying context; by default the system's authorities.
            resolve: Turns a name into addresses; by default the system's resolver.
            proxy: The way out; by default everything is asked directly.
        """
        self._plain = allow_plain_loopback
        self._transport = Transport(
            # Nothing is kept: what arrives late on a connection is then nobody's document.
            limits=Limits(connections=_OF_ORIGIN, waiting=_WAITING, pool_idle_seconds=0.0),
            allow_loopback=allow_plain_loopback,
            allow_private=allow_private,
            tls=tls,
            resolve=resolve,
            ports=_PORTS,
            proxy=proxy,
        )
        self._headers = Fields([(b"accept", b"application/json")])
        self._under_way: dict[str, int] = {}

    async def get_json(
        self, url: str, *, max_bytes: int = 5120, seconds: float = 5.0
    ) -> FetchedDocument:
        """Fetch one document.

        Args:
            url: Absolute https URL.
            max_bytes: Longest body taken.
            seconds: For everything together, name, waiting and handshake included.

        Raises:
            FetchFailed: If it is not a JSON answer with status 200 within these limits.
        """
        origin = self._check(url)
        try:
            with self._counted(origin):
                async with asyncio.timeout(seconds):
                    return await self._get(url, max_bytes)
        except TimeoutError as error:
            raise FetchFailed("the document did not arrive in time") from error
        except AnswerTooLong as error:
            raise FetchFailed("the document is longer than allowed") from error
        except UpstreamFailed as error:
            # Its words are about addresses and syntax, which is not for who named the URL.
            raise FetchFailed("the document could not be fetched", error.public) from None

    async def aclose(self) -> None:
        """Close what is open."""
        await self._transport.aclose()

    def _check(self, url: str) -> Origin:
        try:
            origin = parse_url(url).origin
        except ValueError as error:
            raise FetchFailed("the document's address is not usable") from error
        if not origin.tls and not (self._plain and is_this_machine(origin.host)):
            raise FetchFailed("documents are fetched over https only")
        return origin

    @contextmanager
    def _counted(self, origin: Origin) -> Iterator[None]:
        """Count a fetch while it lasts, among those of its site and all.

        Raises:
            FetchFailed: If there are as many as there may be.
        """
        keys = {"": _OF_ALL, _site(origin.host): _OF_SITE}
        for key, most in keys.items():
            if self._under_way.get(key, 0) >= most:
                raise FetchFailed("too many documents are being fetched there; try again later")
        for key in keys:
            self._under_way[key] = self._under_way.get(key, 0) + 1
        try:
            yield
        finally:
            for key in keys:
                self._under_way[key] -= 1
                if not self._under_way[key]:
                    del self._under_way[key]

    async def _get(self, url: str, max_bytes: int) -> FetchedDocument:
        reply = await self._transport.exchange(url, method="GET", headers=self._headers)
        try:
            _check_kind(reply)
            body = await reply.read(max_bytes)
        finally:
            await reply.aclose()
        headers = _joined(reply.headers)
        return FetchedDocument(
            body=body, headers=headers, max_age_seconds=_max_age(headers.get("cache-control"))
        )


def _check_kind(reply: Reply) -> None:
    if reply.status != 200:
        raise FetchFailed("the document was not answered with status 200")
    kind = media_of((reply.header(b"content-type") or b"").decode("latin-1")).type
    if not _JSON.fullmatch(kind):
        raise FetchFailed("the document is not declared to be JSON")


def _joined(fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw, padded in fields:
        name, value = raw.decode("latin-1"), padded.decode("latin-1").strip(" \t")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _site(host: str) -> str:
    """Return what stands for everything that one registrant may name, nearly."""
    labels = host.rstrip(".").split(".")
    return host if ":" in host or labels[-1].isdigit() else ".".join(labels[-2:])


def _max_age(cache_control: str | None) -> int | None:
    if cache_control is None:
        return None
    if _NO_CACHE.search(cache_control):
        return 0
    found = _MAX_AGE.search(cache_control)
    return min(int(found[1]), _MAX_AGE_SECONDS) if found else None
