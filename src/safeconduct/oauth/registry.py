"""The table of clients: registered by an operator, by themselves, or described by a document."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Index,
    String,
    Table,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Row

from safeconduct.core.canonical import fingerprint
from safeconduct.core.model import ClientId, HostId, Value
from safeconduct.oauth import documents, names
from safeconduct.oauth.documents import Document
from safeconduct.storage import Read, UtcTime, Write, host_column, metadata

Kind = Literal["registered", "dynamic", "document"]
_USE_IS_WRITTEN_EVERY = timedelta(hours=1)

_clients = Table(
    "oauth_clients",
    metadata,
    host_column(),
    Column("id", String(2048), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(names.LONGEST), nullable=False),
    Column("redirect_uris", JSON, nullable=False),
    Column("auth_methods", JSON, nullable=False),
    Column("refreshes", Boolean, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("secret_digest", String(64)),
    Column("jwks_uri", String(512)),
    Column("jwks", JSON),
    Column("blocked", Boolean, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("fresh_until", UtcTime),
    Column("request_digest", String(64)),
    Column("created_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
    Index("ix_oauth_clients_host_kind_created_at", "host", "kind", "created_at"),
)


class Client(Value, frozen=True):
    """One client, as a person is asked about it.

    Attributes:
        auth_methods: Ways in which it may authenticate; several only for documents.
        document_host: Host that publishes its description, or None.
        digest: What it says about itself; when it changes, remembered consent ends.
        refreshes: Whether it asked for refresh tokens.
    """

    id: ClientId
    name: str
    kind: Kind
    redirect_uris: tuple[str, ...]
    auth_methods: tuple[str, ...]
    document_host: str | None
    digest: str
    blocked: bool = False
    refreshes: bool = True

    @property
    def auth_method(self) -> str:
        """The first of its ways to authenticate."""
        return self.auth_methods[0]

    @property
    def confidential(self) -> bool:
        return "none" not in self.auth_methods


class Entry(Value, frozen=True):
    """A client with what only the endpoints need.

    Attributes:
        live: Whether a document's row was fetched, not copied from a pinned one.
        fresh_until: Until when a fetched document is used without asking again.
    """

    client: Client
    secret_digest: str | None = None
    jwks_uri: str | None = None
    jwks: dict[str, Any] | None = None
    live: bool = False
    fresh_until: datetime | None = None


async def put(
    tx: Write, host: HostId, entry: Entry, *, at: datetime, request_digest: str | None = None
) -> None:
    """Create or replace a client's row; whether it is blocked stays as it was."""
    client = entry.client
    row = {
        "kind": client.kind,
        "name": client.name,
        "redirect_uris": list(client.redirect_uris),
        "auth_methods": list(client.auth_methods),
        "refreshes": client.refreshes,
        "digest": client.digest,
        "secret_digest": entry.secret_digest,
        "jwks_uri": entry.jwks_uri,
        "jwks": entry.jwks,
        "live": entry.live,
        "fresh_until": entry.fresh_until,
        "request_digest": request_digest,
    }
    if not await tx.execute(update(_clients).where(*_is(host, client.id)).values(**row)):
        await tx.execute(
            insert(_clients).values(
                host=host, id=client.id, blocked=client.blocked, created_at=at, **row
            )
        )
    tx.changed("client", host, client.id)


async def set_blocked(tx: Write, host: HostId, client: ClientId, *, blocked: bool) -> bool:
    """Block a client or let it back; returns False if there is none."""
    found = await tx.execute(update(_clients).where(*_is(host, client)).values(blocked=blocked))
    tx.changed("client", host, client)
    return bool(found)


async def remove(tx: Write, host: HostId, client: ClientId) -> None:
    """Forget a client; at its next token request it learns that it is unknown."""
    await tx.execute(delete(_clients).where(*_is(host, client)))
    tx.changed("client", host, client)


async def every(tx: Read, host: HostId) -> list[Client]:
    """Return the clients of a host, oldest first."""
    statement = select(_clients).where(_clients.c.host == host).order_by(_clients.c.created_at)
    return [_entry(row).client for row in await tx.all(statement)]


async def note_use(tx: Write, host: HostId, client: ClientId, *, at: datetime) -> None:
    """Note that a client was consented to or got a token; unused ones are forgotten."""
    await tx.execute(
        update(_clients)
        .where(
            *_is(host, client),
            or_(_clients.c.used_at.is_(None), _clients.c.used_at < at - _USE_IS_WRITTEN_EVERY),
        )
        .values(used_at=at)
    )


async def same_request(
    tx: Read, host: HostId, request_digest: str, *, since: datetime
) -> Client | None:
    """Return the client that an identical registration created a moment ago."""
    statement = (
        select(_clients)
        .where(
            _clients.c.host == host,
            _clients.c.kind == "dynamic",
            _clients.c.created_at > since,
            _clients.c.request_digest == request_digest,
            _clients.c.blocked.is_(False),
        )
        .order_by(_clients.c.created_at.desc())
        .limit(1)
    )
    row = await tx.one_or_none(statement)
    return None if row is None else _entry(row).client


async def unused(tx: Read, host: HostId) -> int:
    """Count the dynamic clients that nobody ever consented to."""
    statement = (
        select(func.count())
        .select_from(_clients)
        .where(_clients.c.host == host, _clients.c.kind == "dynamic", _clients.c.used_at.is_(None))
    )
    return int(await tx.scalar(statement))


async def forget_unused(
    tx: Write, host: HostId, *, before: datetime, kind: Kind = "dynamic", most: int | None = None
) -> int:
    """Forget clients that came before an instant and were never used, oldest first."""
    statement = (
        select(_clients.c.id)
        .where(
            _clients.c.host == host,
            _clients.c.kind == kind,
            _clients.c.used_at.is_(None),
            _clients.c.created_at < before,
            _clients.c.blocked.is_(False),
        )
        .order_by(_clients.c.created_at)
        .limit(most)
    )
    found = [row.id for row in await tx.all(statement)]
    for client in found:
        await remove(tx, host, client)
    return len(found)


async def hosts_with_unused(tx: Read, *, before: datetime, kind: Kind = "dynamic") -> list[HostId]:
    """Return the hosts whose never used clients could be forgotten."""
    statement = (
        select(_clients.c.host)
        .where(
            _clients.c.kind == kind,
            _clients.c.used_at.is_(None),
            _clients.c.created_at < before,
        )
        .distinct()
    )
    return [HostId(row.host) for row in await tx.all(statement)]


async def resting(tx: Read, *, since: datetime) -> list[tuple[HostId, ClientId]]:
    """Return dynamic clients of every host that were used, but not since an instant."""
    statement = select(_clients.c.host, _clients.c.id).where(
        _clients.c.kind == "dynamic", _clients.c.used_at < since, _clients.c.blocked.is_(False)
    )
    return [(HostId(row.host), ClientId(row.id)) for row in await tx.all(statement)]


def dynamic(
    client: ClientId,
    *,
    name: str,
    redirect_uris: tuple[str, ...],
    method: str,
    refreshes: bool,
) -> Client:
    """Describe a client that registered itself."""
    return Client(
        id=client,
        name=name,
        kind="dynamic",
        redirect_uris=redirect_uris,
        auth_methods=(method,),
        document_host=None,
        digest=self_description(name, redirect_uris, (method,)),
        refreshes=refreshes,
    )


def described(client: ClientId, document: Document) -> Client:
    return Client(
        id=client,
        name=document.name,
        kind="document",
        redirect_uris=document.redirect_uris,
        auth_methods=document.auth_methods,
        document_host=documents.host_of(client),
        digest=self_description(
            document.name,
            document.redirect_uris,
            document.auth_methods,
            document.jwks_uri,
            document.jwks,
        ),
        refreshes=document.refreshes,
    )


def self_description(name: str, redirect_uris: tuple[str, ...], *rest: object) -> str:
    return fingerprint([name, sorted(redirect_uris), *rest])


async def find(tx: Read, host: HostId, client: ClientId) -> Entry | None:
    statement = select(_clients).where(*_is(host, client))
    row = await tx.one_or_none(statement)
    return None if row is None else _entry(row)


def _is(host: HostId, client: ClientId) -> tuple[Any, ...]:
    return _clients.c.host == host, _clients.c.id == client


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        client=Client(
            id=ClientId(row.id),
            name=row.name,
            kind=row.kind,
            redirect_uris=tuple(row.redirect_uris),
            auth_methods=tuple(row.auth_methods),
            document_host=documents.host_of(row.id) if row.kind == "document" else None,
            digest=row.digest,
            blocked=row.blocked,
            refreshes=row.refreshes,
        ),
        secret_digest=row.secret_digest,
        jwks_uri=row.jwks_uri,
        jwks=row.jwks,
        live=row.live,
        fresh_until=row.fresh_until,
    )
