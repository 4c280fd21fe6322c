"""Sessions: a live connection under a consent, bound to (host, client, person, server).

A session outlives restarts of the client, ends by itself after idle or absolute limits,
and can be ended by anybody entitled to; streams opened under it are cut at that moment.
Tokens name their session and say nothing themselves.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    String,
    Table,
    insert,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.engine import Row

from safeconduct.core.clock import Clock
from safeconduct.core.model import ClientId, HostId, ServerKey, SessionId, SubjectId, Value
from safeconduct.storage import (
    Change,
    Database,
    Feed,
    Read,
    UtcTime,
    View,
    Write,
    host_column,
    metadata,
)

_sessions = Table(
    "sessions",
    metadata,
    host_column(),
    Column("id", String(64), primary_key=True),
    Column("subject", String(64), nullable=False),
    Column("client", String(2048), nullable=False),
    Column("server", String(63), nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("used_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
    Column("idle_seconds", BigInteger, nullable=False),
    Column("ended_at", UtcTime),
    Column("ended_because", String(200)),
    Index("ix_sessions_host_subject", "host", "subject"),
    Index("ix_sessions_host_client", "host", "client"),
)
_MOST_PAIRS = 50_000
_USE_IS_WRITTEN_EVERY_SECONDS = 300.0


class Session(Value, frozen=True, dict=True):
    """One connection of one agent, for one person, to one server.

    Attributes:
        used_at: Last use as stored; up to five minutes behind the truth.
        ends_at: The absolute limit.
        idle_seconds: How long it may rest before it ends.
    """

    host: HostId
    id: SessionId
    subject: SubjectId
    client: ClientId
    server: ServerKey
    opened_at: datetime
    used_at: datetime
    ends_at: datetime
    idle_seconds: int
    ended_at: datetime | None = None
    ended_because: str | None = None

    @cached_property
    def used(self) -> float:
        """When it was last used, as Unix time."""
        return self.used_at.timestamp()

    @cached_property
    def ends(self) -> float:
        """When it ends by itself, as Unix time: at its limit, or having rested for too long."""
        return min(self.ends_at.timestamp(), self.used + self.idle_seconds)

    def live_at(self, seconds: float) -> bool:
        """Say whether it is live at a Unix time, by its row alone."""
        return self.ended_at is None and seconds < self.ends


class Sessions:
    """Sessions by id, kept in memory, with the moment of last use written behind."""

    def __init__(self, database: Database, feed: Feed, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._view: View[tuple[str, str], Session] = View(
            database, feed, kind="session", load=_load, keys=_key
        )
        self._between: OrderedDict[tuple[str, str, str, str], SessionId] = OrderedDict()
        self._used: dict[tuple[HostId, SessionId], float] = {}
        self._streams: dict[tuple[str, str], set[Callable[[], None]]] = {}
        feed.follow(self._on_change)

    def held(self, host: HostId, session: SessionId) -> Session | None:
        return self._view.held((host, session))

    async def get(self, host: HostId, session: SessionId) -> Session | None:
        return await self._view.get((host, session))

    async def between(
        self, host: HostId, subject: SubjectId, client: ClientId, server: ServerKey
    ) -> Session | None:
        """Return a live session of a person's agent on a server; ids found are remembered."""
        key, now = (host, subject, client, server), self._clock.now()
        known = self._between.get(key)
        session = None if known is None else await self.get(host, known)
        if session is not None and session.live_at(now.timestamp()):
            return session
        async with self._database.read() as tx:
            found = await live(tx, host, at=now, subject=subject, client=client, server=server)
        if not found:
            return None
        self._between[key] = found[0].id
        if len(self._between) > _MOST_PAIRS:
            self._between.popitem(last=False)
        return await self.get(host, found[0].id)

    def touch(self, session: Session, seconds: float) -> None:
        """Note a use; it reaches the row with the next `flush`."""
        if seconds - session.used > _USE_IS_WRITTEN_EVERY_SECONDS:
            self._used[session.host, session.id] = seconds

    async def flush(self) -> None:
        """Write the noted uses down."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._write_uses(used)
        except BaseException:
            self._used = used | self._used  # a later flush may have more luck
            raise

    async def _write_uses(self, used: dict[tuple[HostId, SessionId], float]) -> None:
        async with self._database.write() as tx:
            for (host, session), seconds in used.items():
                at = datetime.fromtimestamp(seconds, tz=self._clock.now().tzinfo)
                await tx.execute(
                    update(_sessions)
                    .where(
                        _sessions.c.host == host,
                        _sessions.c.id == session,
                        _sessions.c.used_at < at,
                        _sessions.c.ended_at.is_(None),
                    )
                    .values(used_at=at)
                )
                tx.changed("session", host, session)

    def watch(self, host: HostId, session: SessionId, cut: Callable[[], None]) -> None:
        """Call `cut` as soon as anything about the session changes; for open streams."""
        self._streams.setdefault((host, session), set()).add(cut)

    def doubt(self) -> None:
        """Call every `cut`: nothing is known to hold any more, so each stream asks again."""
        for cuts in tuple(self._streams.values()):
            for cut in tuple(cuts):
                cut()

    def unwatch(self, host: HostId, session: SessionId, cut: Callable[[], None]) -> None:
        held = self._streams.get((host, session))
        if held is not None:
            held.discard(cut)
            if not held:
                del self._streams[host, session]

    def _on_change(self, change: Change) -> None:
        if change.kind == "session":
            for cut in tuple(self._streams.get((change.host, change.key), ())):
                asyncio.get_running_loop().call_soon(cut)


async def open_session(tx: Write, session: Session) -> None:
    await tx.execute(
        insert(_sessions).values(
            host=session.host,
            id=session.id,
            subject=session.subject,
            client=session.client,
            server=session.server,
            opened_at=session.opened_at,
            used_at=session.used_at,
            ends_at=session.ends_at,
            idle_seconds=session.idle_seconds,
        )
    )
    tx.changed("session", session.host, session.id)


async def end(tx: Write, host: HostId, session: SessionId, *, at: datetime, because: str) -> bool:
    """End one session now; returns False if it was not live."""
    ended = await tx.execute(
        update(_sessions)
        .where(_sessions.c.host == host, _sessions.c.id == session, _sessions.c.ended_at.is_(None))
        .values(ended_at=at, ended_because=because)
    )
    tx.changed("session", host, session)
    return bool(ended)


async def live(
    tx: Read,
    host: HostId,
    *,
    at: datetime,
    subject: SubjectId | None = None,
    client: ClientId | None = None,
    server: ServerKey | None = None,
) -> list[Session]:
    """Return the live sessions of a host, newest first, narrowed as asked."""
    statement = select(_sessions).where(
        _sessions.c.host == host,
        _sessions.c.ended_at.is_(None),
        _sessions.c.ends_at > at,
    )
    for column, value in (
        (_sessions.c.subject, subject),
        (_sessions.c.client, client),
        (_sessions.c.server, server),
    ):
        if value is not None:
            statement = statement.where(column == value)
    rows = await tx.all(statement.order_by(_sessions.c.opened_at.desc()))
    return [found for found in map(_session, rows) if found.live_at(at.timestamp())]


async def by_id(tx: Read, host: HostId, session: SessionId) -> Session | None:
    """Return a session, live or not."""
    return await _load(tx, (host, session))


async def run_out(tx: Read, *, at: datetime, most: int = 1000) -> list[Session]:
    """Return sessions of any host that passed a limit and were not ended yet."""
    idle_since = _sessions.c.used_at + _sessions.c.idle_seconds * 1_000_000
    statement = (
        select(_sessions)
        .where(
            _sessions.c.ended_at.is_(None),
            or_(_sessions.c.ends_at <= at, type_coerce(idle_since, UtcTime) <= at),
        )
        .limit(most)
    )
    return [_session(row) for row in await tx.all(statement)]


async def _load(tx: Read, key: tuple[str, str]) -> Session | None:
    row = await tx.one_or_none(
        select(_sessions).where(_sessions.c.host == key[0], _sessions.c.id == key[1])
    )
    return None if row is None else _session(row)


def _key(change: Change) -> tuple[str, str]:
    return change.host, change.key


def _session(row: Row[Any]) -> Session:
    return Session(
        host=HostId(row.host),
        id=SessionId(row.id),
        subject=SubjectId(row.subject),
        client=ClientId(row.client),
        server=ServerKey(row.server),
        opened_at=row.opened_at,
        used_at=row.used_at,
        ends_at=row.ends_at,
        idle_seconds=row.idle_seconds,
        ended_at=row.ended_at,
        ended_because=row.ended_because,
    )
