"""Step 1 of the road: from a bearer token to a caller, on every request.

Nothing else identifies: no cookie, no transport session, no address. A token is accepted
only for the exact endpoint it was issued for (RFC 8707; MCP basic/authorization).
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.core.model import Caller
from safeconduct.oauth import Access, Clients, Verifier
from safeconduct.policy import ClientFacts
from safeconduct.proxy.exchange import Exchange
from safeconduct.sessions import Session, Sessions
from safeconduct.upstreams import Catalogue, Server


class Unauthenticated(GatewayError):
    """There is no usable token. `presented` says whether one was sent (RFC 6750 section 3.1)."""

    code = Code.UNAUTHENTICATED

    def __init__(self, public: str, *, presented: bool) -> None:
        super().__init__(public)
        self.presented = presented


class Admitted(NamedTuple):
    """Who is at the door: the caller, the live session, the client, the one server."""

    caller: Caller
    session: Session
    client: ClientFacts
    server: Server


class Gate:
    """Authenticates exchanges."""

    def __init__(
        self,
        *,
        verifier: Verifier,
        clients: Clients,
        sessions: Sessions,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._verifier = verifier
        self._clients = clients
        self._sessions = sessions
        self._catalogue = catalogue
        self._clock = clock

    async def admit(self, exchange: Exchange) -> Admitted:
        """Return who is calling.

        Raises:
            Refused: BAD_ORIGIN for a page of another site.
            Unauthenticated: For everything that is not a live token for this endpoint.
        """
        _check_origin(exchange)
        access = await self._access(exchange)
        host, seconds = exchange.host.key, self._clock.seconds()
        session = self._sessions.held(host, access.session) or await self._sessions.get(
            host, access.session
        )
        if session is None or not session.live_at(seconds) or session.server != access.server:
            raise Unauthenticated("The session has ended; sign in again.", presented=True)
        server = self._catalogue.held(host, access.server) or await self._catalogue.get(
            host, access.server
        )
        if server is None:
            raise Unauthenticated("The server is no longer offered here.", presented=True)
        self._sessions.touch(session, seconds)
        caller = Caller(
            host=host,
            subject=session.subject,
            client=session.client,
            session=session.id,
            server=session.server,
        )
        return Admitted(caller, session, await self._client(exchange, session), server)

    async def _access(self, exchange: Exchange) -> Access:
        header = exchange.headers.get(b"authorization")
        if exchange.headers.repeats(b"authorization"):
            raise Unauthenticated("The Authorization header is there twice.", presented=True)
        if header is None:
            raise Unauthenticated("Sign in first: this server needs a token.", presented=False)
        scheme, _, bearer = header.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not bearer:
            raise Unauthenticated(
                "The Authorization header holds no bearer token.", presented=False
            )
        host = exchange.host.key
        access = self._verifier.held(host, bearer) or await self._verifier.find(host, bearer)
        if access is None or access.expires_at <= self._clock.seconds():
            raise Unauthenticated("The token is not valid or has expired.", presented=True)
        if access.resource != resource_of(exchange):
            raise Unauthenticated("The token was issued for another address.", presented=True)
        return access

    async def _client(self, exchange: Exchange, session: Session) -> ClientFacts:
        client = self._clients.held(exchange.host, session.client)
        if client is None:  # our copy does: nobody outside is asked in the middle of a call
            entry = await self._clients.known(exchange.host, session.client)
            client = None if entry is None else entry.client
        if client is None:
            return ClientFacts(id=session.client, name="", active=False)
        return ClientFacts(
            id=client.id, name=client.name, active=not client.blocked, kind=client.kind
        )


def resource_of(exchange: Exchange) -> str:
    """Return the audience of this endpoint, in the form that is published."""
    path = "/mcp" if exchange.server is None else f"/mcp/{exchange.server}"
    return exchange.host.url(path)


def challenge(error: GatewayError, exchange: Exchange, *, scope: str = "mcp") -> bytes:
    """Write `WWW-Authenticate` (RFC 6750 section 3, RFC 9728 section 5.1)."""
    typed = quote(exchange.typed, safe="/")  # a path may hold quotes and line ends
    path = f"/.well-known/oauth-protected-resource{typed}{exchange.suggestion}"
    metadata = exchange.host.url(path)
    parts = [f'resource_metadata="{metadata}"', f'scope="{scope}"']
    if error.code is Code.INSUFFICIENT_LEVEL:
        parts = ['error="insufficient_scope"', *parts]
    elif getattr(error, "presented", True):
        parts = ['error="invalid_token"', *parts]
    return f"Bearer {', '.join(parts)}".encode("latin-1")


def _check_origin(exchange: Exchange) -> None:
    origin = exchange.headers.text(b"origin")
    if exchange.headers.repeats(b"origin") or origin not in {None, exchange.host.origin}:
        raise Refused(Code.BAD_ORIGIN, "Requests from pages of other sites are not accepted.")
