"""Approvals: calls that wait for an operator's yes, and the yes that lets one of them through.

A request is for one exact call: host, person, client, server, and a fingerprint over what the
message asks for. It is decided once and used once; both are a single compare-and-set, so that
neither two operators nor two nodes can both do it. Its window closes at `expires_at`, decided or
not. Each step is written down before it counts. Of the arguments their shape is kept, and
the call itself sealed (`core.sealed_calls`); who looks into it is on record first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy import case as sql_case
from sqlalchemy.engine import Row

from safeconduct.audit import Event, Trail
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import ClientId, HostId, Level, ServerKey, SessionId, SubjectId, Value
from safeconduct.storage import (
    Change,
    Database,
    Feed,
    Read,
    UtcTime,
    Write,
    host_column,
    metadata,
)

State = Literal["pending", "approved", "refused", "expired", "cancelled", "used"]
MOST_REASON = 500
_MOST_OF_A_SESSION, _MOST_OF_A_HOST = 10, 1000
_BATCH = 1000

_approvals = Table(
    "approvals",
    metadata,
    host_column(),
    Column("id", String(64), primary_key=True),
    Column("subject", String(64), nullable=False),
    Column("client", String(2048), nullable=False),
    Column("session", String(64), nullable=False),
    Column("server", String(63), nullable=False),
    Column("method", String(2048), nullable=False),
    Column("name", String(2048), nullable=False),
    Column("level", Integer),
    Column("role", String(20), nullable=False),
    Column("arguments", JSON, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("decision_id", String(64), nullable=False),
    Column("asked_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("state", String(20), nullable=False),
    Column("decided_by", String(200)),
    Column("decided_at", UtcTime),
    Column("reason", String(MOST_REASON)),
    Column("purpose", String(200)),
    Column("workflow", String(100)),
    Column("sealed", Text),
    Index("ix_approvals_host_fingerprint", "host", "fingerprint"),
    Index("ix_approvals_host_state", "host", "state"),
    Index("ix_approvals_state_expires_at", "state", "expires_at"),
)


class Approval(Value, frozen=True):
    """A request for a yes, and what became of it.

    Attributes:
        name: What the method is aimed at, "" for the server itself.
        level: Level the call needs, or None where levels do not apply.
        role: Who may decide: an operator of this role, or a higher one.
        arguments: Their shape, see `audit.redacted_shape`.
        fingerprint: SHA-256 over everything the call asks for.
        decision_id: The decision that obliged to ask.
        expires_at: From then on nothing can be decided, nor a yes be used.
        decided_by: The operator who said yes or no, or None.
        purpose: What the agent declared the call to be for, or None.
        workflow: The undertaking it declared the call to be a part of, or None.
        sealed: The call as it was asked about, or None if an earlier version kept none.
    """

    host: HostId
    id: str
    subject: SubjectId
    client: ClientId
    session: SessionId
    server: ServerKey
    method: str
    name: str
    level: Level | None
    role: str
    arguments: dict[str, str]
    fingerprint: str
    decision_id: str
    asked_at: datetime
    expires_at: datetime
    state: State = "pending"
    decided_by: str | None = None
    decided_at: datetime | None = None
    reason: str | None = None
    purpose: str | None = None
    workflow: str | None = None
    sealed: str | None = None


class ApprovalQueue:
    """Requests of every host: asked, decided and used, each step on record first."""

    def __init__(self, database: Database, feed: Feed, *, trail: Trail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock
        self._waiting: dict[tuple[str, str], set[asyncio.Event]] = {}
        feed.follow(self._on_change)

    @contextmanager
    def news(self, host: HostId, approval: str) -> Iterator[asyncio.Event]:
        """Hold an event that is set whenever something becomes of a request, wherever."""
        event, key = asyncio.Event(), (host, approval)
        self._waiting.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    def _on_change(self, change: Change) -> None:
        if change.kind == "approval":
            for event in self._waiting.get((change.host, change.key), ()):
                event.set()

    async def ask(self, wanted: Approval) -> Approval:
        """Return the request of this very call that is open, or open this one.

        A yes that nobody has used comes first, then a request that waits, then a no: it stands
        as long as the request would have, so that asking again does not wear anybody down.

        Raises:
            Refused: THROTTLED if the session or the host has too many that wait.
        """
        async with self._database.write() as tx:
            standing = await _same(tx, wanted, at=self._clock.now())
            if standing is not None:
                return standing
            await _check_room(tx, wanted, at=self._clock.now())
            await tx.execute(insert(_approvals).values(**_columns(wanted)))
            self._record("approval.asked", wanted)
            tx.changed("approval", wanted.host, wanted.id)
        return wanted

    async def get(self, host: HostId, approval: str) -> Approval | None:
        async with self._database.read() as tx:
            return await by_id(tx, host, approval)

    async def decide(
        self, host: HostId, approval: str, *, approve: bool, by: str, reason: str | None
    ) -> bool:
        """Say yes or no, once; returns False if it was not waiting any more."""
        now = self._clock.now()
        async with self._database.write() as tx:
            after: State = "approved" if approve else "refused"
            said = {"decided_by": by, "decided_at": now, "reason": reason}
            if not await _moved(tx, host, approval, "pending", after, open_at=now, **said):
                return False
            await self._tell(tx, host, approval, by=by)
        return True

    async def use(self, approval: Approval) -> bool:
        """Use a yes up; returns False if somebody else did or its window has closed."""
        now, host, name = self._clock.now(), approval.host, approval.id
        async with self._database.write() as tx:
            if not await _moved(tx, host, name, "approved", "used", open_at=now):
                return False
            await self._tell(tx, host, name)
        return True

    async def cancel(self, approval: Approval, *, because: str) -> bool:
        """Withdraw a request that waits for something nobody can have any more."""
        async with self._database.write() as tx:
            host, name = approval.host, approval.id
            if not await _moved(tx, host, name, "pending", "cancelled", reason=because):
                return False
            await self._tell(tx, host, name)
        return True

    async def expire(self, approval: Approval | None = None) -> int:
        """End a request that nobody decided in time, or all of them; returns how many."""
        now, ended = self._clock.now(), 0
        async with self._database.write() as tx:
            for late in await _late(tx, at=now) if approval is None else [approval]:
                if now < late.expires_at:
                    continue
                if await _moved(tx, late.host, late.id, "pending", "expired"):
                    await self._tell(tx, late.host, late.id)
                    ended += 1
        return ended

    async def forget(self, *, before: datetime) -> None:
        """Drop the rows of requests whose window closed so long ago; the trail keeps them."""
        async with self._database.write() as tx:
            await tx.execute(delete(_approvals).where(_approvals.c.expires_at < before))

    def read(self, approval: Approval, *, by: str) -> None:
        """Write down that somebody looks into the call; when this returns, they may.

        Raises:
            AuditUnavailable: If it cannot be written; then nothing may be shown.
        """
        self._record("approval.read", approval, by=by)

    async def _tell(self, tx: Write, host: HostId, approval: str, *, by: str | None = None) -> None:
        """Write down what a request has become, and wake who waits once that is so."""
        now = await by_id(tx, host, approval)
        assert now is not None
        self._record(f"approval.{now.state}", now, by=by)
        tx.changed("approval", host, approval)

    def _record(self, kind: str, approval: Approval, *, by: str | None = None) -> None:
        detail = {"role": approval.role, "expires_at": approval.expires_at.isoformat()}
        self._trail.append(
            Event(
                kind=kind,
                host=approval.host,
                subject=approval.subject,
                client=approval.client,
                session=approval.session,
                server=approval.server,
                method=approval.method,
                resource=approval.name or None,
                arguments=approval.arguments or None,
                decision_id=approval.decision_id,
                required_level=None if approval.level is None else approval.level.word,
                reason=approval.reason,
                approval=approval.id,
                detail=detail if by is None else detail | {"by": by},
            )
        )


async def by_id(tx: Read, host: HostId, approval: str) -> Approval | None:
    row = await tx.one_or_none(
        select(_approvals).where(_approvals.c.host == host, _approvals.c.id == approval)
    )
    return None if row is None else _approval(row)


async def waiting(tx: Read, host: HostId, *, at: datetime) -> list[Approval]:
    """Return the requests that can be decided, the most urgent first."""
    statement = select(_approvals).where(
        _approvals.c.host == host,
        _approvals.c.state == "pending",
        _approvals.c.expires_at > at,
    )
    rows = await tx.all(statement.order_by(_approvals.c.expires_at, _approvals.c.id))
    return [_approval(row) for row in rows]


async def every(tx: Read, host: HostId, *, most: int = 1000) -> list[Approval]:
    """Return a host's requests, decided or not, newest first."""
    statement = select(_approvals).where(_approvals.c.host == host).limit(most)
    rows = await tx.all(statement.order_by(_approvals.c.asked_at.desc(), _approvals.c.id.desc()))
    return [_approval(row) for row in rows]


async def _same(tx: Read, wanted: Approval, *, at: datetime) -> Approval | None:
    """Return what stands about the very same call, for the same role."""
    asked = ("host", "subject", "client", "server", "method", "name", "fingerprint", "role")
    order = {"approved": 0, "pending": 1, "refused": 2}
    statement = (
        select(_approvals)
        .where(
            *(_approvals.c[name] == getattr(wanted, name) for name in asked),
            _approvals.c.state.in_(order),
            _approvals.c.expires_at > at,
        )
        .order_by(sql_case(order, value=_approvals.c.state), _approvals.c.expires_at)
        .limit(1)
    )
    row = await tx.one_or_none(statement)
    return None if row is None else _approval(row)


async def _check_room(tx: Read, wanted: Approval, *, at: datetime) -> None:
    open_ones = (
        select(func.count())
        .select_from(_approvals)
        .where(
            _approvals.c.host == wanted.host,
            _approvals.c.state == "pending",
            _approvals.c.expires_at > at,
        )
    )
    of_session = open_ones.where(_approvals.c.session == wanted.session)
    for statement, most, whose in (
        (of_session, _MOST_OF_A_SESSION, "This session"),
        (open_ones, _MOST_OF_A_HOST, "This host"),
    ):
        if int(await tx.scalar(statement)) >= most:
            raise Refused(
                Code.THROTTLED,
                f"{whose} has {most} calls waiting for an approval, the most it may have. "
                "Nothing was done. Try again when some of them are decided.",
            )


async def _moved(
    tx: Write,
    host: HostId,
    approval: str,
    before: State,
    after: State,
    *,
    open_at: datetime | None = None,
    **said: Any,
) -> bool:
    """Take a request from one state to the next, unless it is not in that state any more.

    Args:
        tx: The transaction.
        host: The tenant.
        approval: The request's id.
        before: The state it has to be in.
        after: The state it comes to.
        open_at: When its window has to be open still, or None where that does not matter.
        said: Further columns to set.
    """
    statement = update(_approvals).where(
        _approvals.c.host == host, _approvals.c.id == approval, _approvals.c.state == before
    )
    if open_at is not None:
        statement = statement.where(_approvals.c.expires_at > open_at)
    return bool(await tx.execute(statement.values(state=after, **said)))


async def _late(tx: Read, *, at: datetime) -> list[Approval]:
    statement = (
        select(_approvals)
        .where(_approvals.c.state == "pending", _approvals.c.expires_at <= at)
        .limit(_BATCH)
    )
    return [_approval(row) for row in await tx.all(statement)]


def _columns(approval: Approval) -> dict[str, Any]:
    columns = {column.name: getattr(approval, column.name) for column in _approvals.columns}
    return columns | {"level": None if approval.level is None else int(approval.level)}


def _approval(row: Row[Any]) -> Approval:
    members = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's public name for it
    return Approval(**members | {"level": None if row.level is None else Level(row.level)})
