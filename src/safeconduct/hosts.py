"""Tenants: which host a request is for, and how that host is configured.

A host is one public origin, which is also its OAuth issuer. Nothing of one host is
anything to another. The Host header chooses; X-Forwarded-Host and the scheme of the
request never do, so a proxy in front cannot be talked into another tenant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from sqlalchemy import JSON, Column, String, Table, delete, insert, select, update
from sqlalchemy.engine import Row

from safeconduct.core.model import HostId, Level, Value
from safeconduct.storage import Change, Database, Feed, Read, Write, host_column, metadata

_hosts = Table(
    "hosts",
    metadata,
    host_column(),
    Column("name", String(200), nullable=False),
    Column("origin", String(300), nullable=False, unique=True),
    Column("policies", JSON, nullable=False),
)


class SignInPolicy(Value, frozen=True):
    """How people get in."""

    password: bool = True
    sign_up: bool = False
    minimum_length: int = 10


class SessionPolicy(Value, frozen=True):
    """How long a session may live without use, and at all."""

    idle_days: int = 30
    absolute_days: int = 90


class TokenPolicy(Value, frozen=True):
    """Lives of access tokens, and the window in which a rotated refresh token still works."""

    access_seconds: int = 900
    refresh_grace_seconds: int = 30


class ConsentPolicy(Value, frozen=True):
    """What people may choose when they consent."""

    until_revoked: bool = False
    longest_days: int = 90
    start: Level = Level.LOW


class PinnedDocument(Value, frozen=True):
    """A client-id metadata document an operator vouches for."""

    url: str
    document: dict[str, object]


class ClientPolicy(Value, frozen=True):
    """Which clients may come, and how they make themselves known."""

    registration: bool = True
    fetch_documents: bool = True
    pinned_documents: bool = True
    added_documents: tuple[PinnedDocument, ...] = ()
    dropped_documents: tuple[str, ...] = ()
    document_hosts: tuple[str, ...] = ()
    private_schemes: bool = True

    @property
    def documents(self) -> bool:
        """Whether any metadata document can be resolved; only then may we advertise them."""
        return self.fetch_documents or self.pinned_documents or bool(self.added_documents)


May = Literal["none", "read", "write"]


class EnforcementPoint(Value, frozen=True):
    """Something outside that enforces this host's decisions, known by its secret's digest.

    Attributes:
        relations: What it may do with the host's relations; `write` includes reading.
        policy: What it may do with the host's rules, likewise.
        tools: What it may do with the review of what servers offer, likewise.
    """

    id: str
    secret_digest: str
    relations: May = "none"
    policy: May = "none"
    tools: May = "none"


class Policies(Value, frozen=True):
    """Everything an admin sets for a whole host.

    Attributes:
        policy_bundle: Name of the host's own rules in force; "" is none beside the built-in.
        policy_by: Who brings them: files that the configuration names, or requests.
        policy_keys: Public keys in PEM, where rules that come by request have to be signed.
    """

    sign_in: SignInPolicy = SignInPolicy()
    sessions: SessionPolicy = SessionPolicy()
    tokens: TokenPolicy = TokenPolicy()
    consent: ConsentPolicy = ConsentPolicy()
    clients: ClientPolicy = ClientPolicy()
    lists_everything: bool = False
    enforcement_points: tuple[EnforcementPoint, ...] = ()
    policy_bundle: str = ""
    policy_shadow: str = ""
    policy_engine: Literal["embedded", "opa"] = "embedded"
    policy_by: Literal["files", "api"] = "files"
    policy_keys: tuple[str, ...] = ()


class Host(Value, frozen=True):
    """One tenant."""

    key: HostId
    name: str
    origin: str
    policies: Policies

    @property
    def authority(self) -> str:
        """Host name and port as a Host header carries them (RFC 9110 section 7.2)."""
        return self.origin.partition("://")[2]

    @property
    def secure(self) -> bool:
        return self.origin.startswith("https://")

    def url(self, path: str) -> str:
        """Return the public address of a path, which begins with a slash."""
        return self.origin + path


Beside = Callable[[Read, list[Host]], Awaitable[None]]


class Hosts:
    """Finds the tenant of a request without asking the database."""

    def __init__(self, database: Database, feed: Feed, *, beside: Beside | None = None) -> None:
        """Start empty.

        Args:
            database: Where the hosts are stored.
            feed: Says when they change.
            beside: Reads what belongs to the hosts, in the same transaction and before they
                count.
        """
        self._database = database
        self._beside = beside
        self._by_authority: dict[str, Host] = {}
        self._by_key: dict[HostId, Host] = {}
        self._changes = 1
        self._known = 0  # the number of changes the hosts in memory take account of
        self._refreshing = asyncio.Lock()
        feed.follow(self._on_change)

    def at(self, authority: str) -> Host | None:
        """Return the host a Host header names, or None. Call `refresh` when `stale`."""
        return self._by_authority.get(authority) or self._by_authority.get(authority.lower())

    @property
    def only(self) -> Host | None:
        """The one host, which requests mean that can name none (HTTP/1.0); None if not one."""
        return next(iter(self._by_key.values())) if len(self._by_key) == 1 else None

    def get(self, key: HostId) -> Host | None:
        return self._by_key.get(key)

    def every(self) -> tuple[Host, ...]:
        return tuple(self._by_key.values())

    @property
    def stale(self) -> bool:
        return self._known != self._changes

    async def refresh(self) -> None:
        """Read the hosts again; there are few, and they change rarely."""
        async with self._refreshing:  # or a slow reader would overwrite what a later one read
            upto = self._changes
            async with self._database.read() as tx:
                hosts = await every(tx)
                if self._beside is not None:
                    await self._beside(tx, hosts)
            self._by_key = {host.key: host for host in hosts}
            self._by_authority = {host.authority: host for host in hosts}
            self._known = upto

    def _on_change(self, change: Change) -> None:
        if change.kind == "host":
            self._changes += 1


async def every(tx: Read) -> list[Host]:
    """Return all hosts of the installation; for start-up and operators only."""
    return [_host(row) for row in await tx.all(select(_hosts).order_by(_hosts.c.host))]


async def save(tx: Write, host: Host) -> None:
    """Create or replace a host."""
    row = {
        "name": host.name,
        "origin": host.origin,
        "policies": msgspec.to_builtins(host.policies),
    }
    if not await tx.execute(update(_hosts).where(_hosts.c.host == host.key).values(**row)):
        await tx.execute(insert(_hosts).values(host=host.key, **row))
    tx.changed("host", host.key, host.key)


async def find(tx: Read, key: HostId) -> Host | None:
    """Return one host as the transaction sees it."""
    row = await tx.one_or_none(select(_hosts).where(_hosts.c.host == key))
    return None if row is None else _host(row)


async def remove(tx: Write, key: HostId) -> None:
    """Take a host out of service; its rows elsewhere become unreachable with it."""
    await tx.execute(delete(_hosts).where(_hosts.c.host == key))
    tx.changed("host", key, key)


def _host(row: Row[Any]) -> Host:
    return Host(
        key=HostId(row.host),
        name=row.name,
        origin=row.origin,
        policies=msgspec.convert(row.policies, Policies),
    )
