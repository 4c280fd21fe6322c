"""Codes and tokens: handles whose digests stand here and say which session they belong to.

A handle means nothing without its session; ending the session ends them all. One atomic
`UPDATE ... WHERE used_at IS NULL` decides who of many wins (RFC 6749 section 4.1.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Column, Index, Integer, String, Table, delete, insert, select, update
from sqlalchemy.engine import Row

from safeconduct.core.model import ClientId, HostId, Level, ServerKey, SessionId, SubjectId, Value
from safeconduct.core.secrets import Secret, digest
from safeconduct.oauth import scopes
from safeconduct.storage import Read, UtcTime, Write, host_column, metadata

ACCESS, REFRESH, CODE = "sc_at", "sc_rt", "sc_ac"
LONGEST_HANDLE = 128

_codes = Table(
    "oauth_codes",
    metadata,
    host_column(),
    Column("digest", String(64), primary_key=True),
    Column("session", String(64), nullable=False),
    Column("client", String(2048), nullable=False),
    Column("redirect_uri", String(2048), nullable=False),
    Column("redirect_sent", Integer, nullable=False),
    Column("challenge", String(64), nullable=False),
    Column("resource", String(512), nullable=False),
    Column("level", Integer, nullable=False),
    Column("expires_at", UtcTime, nullable=False, index=True),
    Column("used_at", UtcTime),
)
_tokens = Table(
    "oauth_tokens",
    metadata,
    host_column(),
    Column("digest", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("session", String(64), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("client", String(2048), nullable=False),
    Column("server", String(63), nullable=False),
    Column("resource", String(512), nullable=False),
    Column("scope", JSON, nullable=False),
    Column("expires_at", UtcTime, nullable=False, index=True),
    Column("used_at", UtcTime),
    Column("again", Integer, nullable=False),
    Index("ix_oauth_tokens_host_session", "host", "session"),
)


class AuthorizationCode(Value, frozen=True):
    """What a code was issued for. Its digest names it.

    Attributes:
        level: Highest level among the scopes the client asked for.
    """

    digest: str
    session: SessionId
    client: ClientId
    redirect_uri: str
    redirect_sent: bool
    challenge: str
    resource: str
    level: Level
    expires_at: datetime


class Token(Value, frozen=True):
    """An access or refresh token's row.

    Attributes:
        kind: ACCESS or REFRESH.
        used_at: When a refresh token was rotated, or None.
        again: How often it was presented again within the grace period.
    """

    digest: str
    kind: str
    session: SessionId
    subject: SubjectId
    client: ClientId
    server: ServerKey
    resource: str
    scope: tuple[str, ...]
    expires_at: datetime
    used_at: datetime | None = None
    again: int = 0

    @property
    def level(self) -> Level:
        """Highest level among its scopes."""
        return scopes.asked(" ".join(self.scope))


def handle_digest(handle: str, kind: str) -> str | None:
    """Return the digest of a handle of this kind, or None if it cannot be one."""
    if len(handle) > LONGEST_HANDLE or not handle.startswith(f"{kind}_"):
        return None
    return digest(handle)


async def add_code(tx: Write, host: HostId, code: AuthorizationCode) -> None:
    await tx.execute(
        insert(_codes).values(
            host=host,
            digest=code.digest,
            session=code.session,
            client=code.client,
            redirect_uri=code.redirect_uri,
            redirect_sent=int(code.redirect_sent),
            challenge=code.challenge,
            resource=code.resource,
            level=int(code.level),
            expires_at=code.expires_at,
        )
    )


async def find_code(tx: Read, host: HostId, code_digest: str) -> AuthorizationCode | None:
    row = await tx.one_or_none(
        select(_codes).where(_codes.c.host == host, _codes.c.digest == code_digest)
    )
    return None if row is None else _code(row)


async def burn_code(tx: Write, host: HostId, code: AuthorizationCode, *, at: datetime) -> bool:
    """Use a code up; False if it was used before."""
    statement = (
        update(_codes)
        .where(_codes.c.host == host, _codes.c.digest == code.digest, _codes.c.used_at.is_(None))
        .values(used_at=at)
    )
    return bool(await tx.execute(statement))


async def late_codes(tx: Read, *, at: datetime) -> Sequence[tuple[HostId, SessionId]]:
    """Return the sessions of codes that nobody redeemed in time, on every host."""
    statement = select(_codes.c.host, _codes.c.session).where(
        _codes.c.expires_at <= at, _codes.c.used_at.is_(None)
    )
    return [(HostId(row.host), SessionId(row.session)) for row in await tx.all(statement)]


async def add_token(tx: Write, host: HostId, token: Token) -> None:
    await tx.execute(
        insert(_tokens).values(
            host=host,
            digest=token.digest,
            kind=token.kind,
            session=token.session,
            subject=token.subject,
            client=token.client,
            server=token.server,
            resource=token.resource,
            scope=list(token.scope),
            expires_at=token.expires_at,
            again=0,
        )
    )


async def find_token(tx: Read, host: HostId, token_digest: str) -> Token | None:
    row = await tx.one_or_none(
        select(_tokens).where(_tokens.c.host == host, _tokens.c.digest == token_digest)
    )
    return None if row is None else _token(row)


async def rotate(tx: Write, host: HostId, token: Token, *, at: datetime) -> bool:
    """Use a refresh token; False if it was used before."""
    statement = (
        update(_tokens)
        .where(*_is(host, token.digest), _tokens.c.used_at.is_(None))
        .values(used_at=at)
    )
    return bool(await tx.execute(statement))


async def rotate_again(tx: Write, host: HostId, token: Token, *, most: int) -> bool:
    """Count one more use of a rotated token; False once `most` were counted."""
    statement = (
        update(_tokens)
        .where(*_is(host, token.digest), _tokens.c.again < most)
        .values(again=_tokens.c.again + 1)
    )
    return bool(await tx.execute(statement))


async def end_token(tx: Write, host: HostId, token: Token) -> None:
    await tx.execute(delete(_tokens).where(*_is(host, token.digest)))
    tx.changed("token", host, token.digest)


async def end_tokens(tx: Write, host: HostId, session: SessionId) -> None:
    """Delete every token of a session; codes stay, so that a replay is still noticed."""
    mine = (_tokens.c.host == host, _tokens.c.session == session)
    for row in await tx.all(select(_tokens.c.digest).where(*mine, _tokens.c.kind == ACCESS)):
        tx.changed("token", host, row.digest)
    await tx.execute(delete(_tokens).where(*mine))


async def forget_late(tx: Write, *, before: datetime) -> None:
    """Delete codes and tokens that expired before an instant, on every host."""
    await tx.execute(delete(_codes).where(_codes.c.expires_at < before))
    await tx.execute(delete(_tokens).where(_tokens.c.expires_at < before))


def handle_of(secret: Secret) -> str:
    """Return the digest under which a new handle is stored."""
    return digest(secret.reveal())


def _is(host: HostId, token_digest: str) -> tuple[Any, ...]:
    return _tokens.c.host == host, _tokens.c.digest == token_digest


def _code(row: Row[Any]) -> AuthorizationCode:
    return AuthorizationCode(
        digest=row.digest,
        session=SessionId(row.session),
        client=ClientId(row.client),
        redirect_uri=row.redirect_uri,
        redirect_sent=bool(row.redirect_sent),
        challenge=row.challenge,
        resource=row.resource,
        level=Level(row.level),
        expires_at=row.expires_at,
    )


def _token(row: Row[Any]) -> Token:
    return Token(
        digest=row.digest,
        kind=row.kind,
        session=SessionId(row.session),
        subject=SubjectId(row.subject),
        client=ClientId(row.client),
        server=ServerKey(row.server),
        resource=row.resource,
        scope=tuple(row.scope),
        expires_at=row.expires_at,
        used_at=row.used_at,
        again=row.again,
    )
