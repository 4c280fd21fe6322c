"""From a bearer to what it stands for, in memory while nothing about it changes.

The verifier reads the handle and nothing else: whether it is late, for this audience, and
whether its session lives is asked by the caller, on every call.
"""

from __future__ import annotations

from safeconduct.core.model import ClientId, HostId, ServerKey, SessionId, SubjectId, Value
from safeconduct.oauth import store
from safeconduct.storage import Change, Database, Feed, Read, View


class Access(Value, frozen=True):
    """What an access token stands for.

    Attributes:
        resource: The one audience it may be used at, as published.
        expires_at: Unix seconds.
        scope: What its session was consented to when it was issued; decides nothing.
        token_id: Names the token in records without being it.
    """

    session: SessionId
    subject: SubjectId
    client: ClientId
    server: ServerKey
    resource: str
    expires_at: float
    scope: tuple[str, ...]
    token_id: str


class Verifier:
    """Finds access tokens by their digest."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._view: View[tuple[str, str], Access] = View(
            database, feed, kind="token", load=_load, keys=_key
        )

    def held(self, host: HostId, digest: str) -> Access | None:
        """Return what a token, given as its digest, stands for if it is in memory; never waits."""
        return self._view.held((host, digest))

    async def get(self, host: HostId, digest: str) -> Access | None:
        """Return what a token, given as its digest, stands for; read once if not in memory."""
        return await self._view.get((host, digest))

    async def find(self, host: HostId, bearer: str) -> Access | None:
        """Return what a token stands for, reading it once if it is not in memory."""
        digest = access_digest(bearer)
        return None if digest is None else await self.get(host, digest)


def access_digest(bearer: str) -> str | None:
    """Return the digest of an access token, or None if it cannot be one."""
    return store.handle_digest(bearer, store.ACCESS)


async def _load(tx: Read, key: tuple[str, str]) -> Access | None:
    token = await store.find_token(tx, HostId(key[0]), key[1])
    if token is None or token.kind != store.ACCESS:
        return None
    return Access(
        session=token.session,
        subject=token.subject,
        client=token.client,
        server=token.server,
        resource=token.resource,
        expires_at=token.expires_at.timestamp(),
        scope=token.scope,
        token_id=token_id(token.digest),
    )


def token_id(token_digest: str) -> str:
    """Name a token in records: enough of its digest to tell it apart, useless as a handle."""
    return token_digest[:16]


def _key(change: Change) -> tuple[str, str]:
    return change.host, change.key
