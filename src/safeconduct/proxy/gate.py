"""Step 1 of the road: from a bearer token to a caller, on every request.

Nothing else identifies: no cookie, no transport session, no address. A token is accepted
only for the exact endpoint it was issued for (RFC 8707; MCP basic/authorization).
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from safeconduct.core.clock import Clock
from safeconduct.core.derived import Derived
from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.core.model import Caller
from safeconduct.hosts import Host, Hosts
from safeconduct.oauth import Access, Client, Clients, Verifier
from safeconduct.policy import ClientFacts
from safeconduct.proxy.claims import Claim
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
        hosts: Hosts,
        verifier: Verifier,
        clients: Clients,
        sessions: Sessions,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._hosts = hosts
        self._verifier = verifier
        self._clients = clients
        self._sessions = sessions
        self._catalogue = catalogue
        self._clock = clock
        self._caller = Derived(_caller)
        self._described = Derived(_described)

    async def admit(self, exchange: Exchange) -> Admitted:
        """Return who is calling.

        Raises:
            Refused: BAD_ORIGIN for a page of another site.
            Unauthenticated: For everything that is not a live token for this endpoint.
        """
        claim, seconds = exchange.claim, self._clock.seconds()
        host = self._hosts.get(exchange.host.key)  # as it is now: the exchange may have waited
        if host is None:
            raise Unauthenticated("This host is no longer served here.", presented=True)
        _check_origin(claim, host)
        access = await self._access(claim, host)
        if access is None or access.expires_at <= seconds:
            raise Unauthenticated("The token is not valid or has expired.", presented=True)
        if access.resource != host.origin + exchange.published:
            raise Unauthenticated("The token was issued for another address.", presented=True)
        key = host.key
        session = self._sessions.held(key, access.session) or await self._sessions.get(
            key, access.session
        )
        if session is None or not session.live_at(seconds) or session.server != access.server:
            raise Unauthenticated("The session has ended; sign in again.", presented=True)
        server = self._catalogue.held(key, access.server) or await self._catalogue.get(
            key, access.server
        )
        if server is None:
            raise Unauthenticated("The server is no longer offered here.", presented=True)
        self._sessions.touch(session, seconds)
        client = await self._client(host, session)
        return Admitted(self._caller(session), session, client, server)

    async def _access(self, claim: Claim, host: Host) -> Access | None:
        if claim.fault:
            raise Unauthenticated(claim.fault, presented=claim.presented)
        if claim.token is None:
            return None
        return self._verifier.held(host.key, claim.token) or await self._verifier.get(
            host.key, claim.token
        )

    async def _client(self, host: Host, session: Session) -> ClientFacts:
        client = self._clients.held(host, session.client)
        if client is None:  # our copy does: nobody outside is asked in the middle of a call
            entry = await self._clients.known(host, session.client)
            client = None if entry is None else entry.client
        if client is None:
            return ClientFacts(id=session.client, name="", active=False)
        return self._described(client)


def _caller(session: Session) -> Caller:
    return Caller(
        host=session.host,
        subject=session.subject,
        client=session.client,
        session=session.id,
        server=session.server,
    )


def _described(client: Client) -> ClientFacts:
    return ClientFacts(id=client.id, name=client.name, active=not client.blocked, kind=client.kind)


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


def _check_origin(claim: Claim, host: Host) -> None:
    if not claim.one_origin or claim.origin not in {None, host.origin}:
        raise Refused(Code.BAD_ORIGIN, "Requests from pages of other sites are not accepted.")
