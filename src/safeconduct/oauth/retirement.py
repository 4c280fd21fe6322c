"""The revocation endpoint's judgement (RFC 7009): a client gives its own handles back."""

from __future__ import annotations

from safeconduct.audit import Event, Trail
from safeconduct.core.clock import Clock
from safeconduct.hosts import Host
from safeconduct.oauth import store
from safeconduct.oauth.parameters import Parameters
from safeconduct.oauth.refusals import OAuthRefused
from safeconduct.oauth.registry import Client
from safeconduct.oauth.revocations import end_family
from safeconduct.oauth.store import Token
from safeconduct.oauth.token import Origin
from safeconduct.oauth.verifier import token_id
from safeconduct.storage import Database, Write


class Retirement:
    """Ends the session of a refresh token, or one access token."""

    def __init__(self, database: Database, *, trail: Trail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock

    async def retire(self, host: Host, client: Client, said: Parameters, origin: Origin) -> None:
        """End what a handle of this client stands for; anything else changes nothing.

        Raises:
            OAuthRefused: If no token is named.
        """
        handle = said.get("token")
        if handle is None:
            raise OAuthRefused("invalid_request", "token is missing")
        for kind in (store.REFRESH, store.ACCESS):
            if found := store.handle_digest(handle, kind):
                await self._end(host, client, found, origin)

    async def _end(self, host: Host, client: Client, found: str, origin: Origin) -> None:
        async with self._database.write() as tx:
            token = await store.find_token(tx, host.key, found)
            if token is None or token.client != client.id:
                return
            self._trail.append(_event(host, client, token, origin))
            await self._end_token(tx, host, token)

    async def _end_token(self, tx: Write, host: Host, token: Token) -> None:
        if token.kind == store.ACCESS:
            await store.end_token(tx, host.key, token)
        else:
            await end_family(
                tx, host.key, token.session, clock=self._clock, because="client.revoked"
            )


def _event(host: Host, client: Client, token: Token, origin: Origin) -> Event:
    ends_all = token.kind == store.REFRESH
    return Event(
        kind="session.ended" if ends_all else "token.revoked",
        host=host.key,
        subject=token.subject,
        client=client.id,
        client_name=client.name,
        session=token.session,
        server=token.server,
        token_id=token_id(token.digest),
        reason="client.revoked",
        ip=origin.ip,
        user_agent=origin.user_agent,
    )
