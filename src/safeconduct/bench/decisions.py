"""What a decision costs, and that it costs the same in a host of ten people or ten thousand.

A whole installation on SQLite, with people, servers, tools, consents and relations in it; the
facts of each decision are gathered from the views and the relations as on the road, and the
question is about a ticket that an argument names. What is measured is warm: what a decision
needs has been read once. The cold start, reading a host's relations, is measured beside it.

Times are of the processor, not of the clock on the wall: on a machine that others use too, the
slowest hundredth of the latter is theirs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

from safeconduct import consent, hosts, relations, upstreams
from safeconduct.app import Installation, Judging, judges_of, open_installation
from safeconduct.core.binding import Binding, asked_of_arguments
from safeconduct.core.model import (
    AccessRequest,
    Caller,
    ClientId,
    ConsentId,
    HostId,
    Level,
    Resource,
    ServerKey,
    SessionId,
    SubjectId,
    Value,
)
from safeconduct.hosts import Host, Policies
from safeconduct.policy import ClientFacts, Device, ToolFacts
from safeconduct.sessions import Session
from safeconduct.settings import parse
from safeconduct.storage import metadata

MUST_US, AIM_US = 1000.0, 300.0
_HOST, _CLIENT = HostId("bench"), ClientId("agent")
_ASKING = 200  # people who keep asking; each of their questions is another tool and ticket
_TOOLS = 50
_BATCH = 20_000
_BINDING = Binding(path="arguments.id", object="ticket:{value}", permission="assignee")
_WHOLE = (10_000, 100, 1_000_000)
_SIZES = (
    (10, 1, 10),
    (1000, 1, 10),
    (10_000, 1, 10),
    (10, 100, 10),
    (10, 1, 1000),
    (10, 1, 1_000_000),
    _WHOLE,
)


class Point(Value, frozen=True):
    """One size, and the processor's microseconds for a decision there; loading in seconds."""

    people: int
    servers: int
    tuples: int
    p50: float
    p99: float
    allowed: int
    loading: float

    @property
    def whole(self) -> bool:
        return (self.people, self.servers, self.tuples) == _WHOLE


class Curve(Value, frozen=True):
    """All sizes that were measured, the budget's own last."""

    decisions: int
    points: tuple[Point, ...]

    @property
    def held(self) -> bool | None:
        """Whether the budget was held; None if its size was not measured."""
        whole = [point.p99 <= MUST_US for point in self.points if point.whole]
        return all(whole) if whole else None


async def measure(
    decisions: int, directory: Path, *, most: int, tell: Callable[[str], None]
) -> Curve:
    """Measure every size.

    Args:
        decisions: How many at each size.
        directory: An empty one.
        most: No size with more tuples is measured.
        tell: Hears what is being done.
    """
    points = []
    for number, (persons, servers, tuples) in enumerate(_SIZES):
        if tuples > most:
            continue
        tell(f"{persons:,} people, {servers} servers, {tuples:,} tuples")
        place = directory / str(number)
        settings = parse(f"server: {{data_dir: '{place}'}}", base=directory, environ={})
        async with open_installation(settings) as parts:
            host = _Filled(parts, persons, servers, tuples)
            await host.fill()
            points.append(await host.measured(decisions))
    return Curve(decisions=decisions, points=tuple(points))


class _Filled:
    """One installation of a size."""

    def __init__(self, parts: Installation, persons: int, servers: int, tuples: int) -> None:
        self._parts = parts
        self._servers = [ServerKey(f"server-{number}") for number in range(servers)]
        self._persons = [SubjectId(f"p_{number}") for number in range(persons)]
        self._tuples = tuples
        self._chance = random.Random(8420)  # noqa: S311  the same questions each time

    async def fill(self) -> None:
        """Write everything down."""
        parts, now = self._parts, self._parts.clock.now()
        host = Host(key=_HOST, name="Bench", origin="http://localhost", policies=Policies())
        async with parts.database.write() as tx:
            await hosts.save(tx, host)
            for key in self._servers:
                about = upstreams.Wanted(key=key, name=key, url="http://127.0.0.1/mcp")
                await upstreams.save(tx, _HOST, about)
            for edge in self._ceilings():
                await relations.write(tx, _HOST, edge, source="bench", at=now)
        await self._insert("people", self._people(now))
        await self._insert("tuples", self._assignees(now))
        for subject in self._persons[:_ASKING]:
            async with parts.database.write() as tx:
                for key in self._servers:
                    await consent.grant(tx, self._consent(subject, key, now))
        await parts.hosts.refresh()

    async def _insert(self, name: str, rows: Iterator[dict[str, Any]]) -> None:
        statement, batch = insert(metadata.tables[name]), []
        for row in rows:
            batch.append(row)
            if len(batch) == _BATCH:
                async with self._parts.database.write() as tx:
                    await tx.execute_many(statement, batch)
                batch = []
        if batch:
            async with self._parts.database.write() as tx:
                await tx.execute_many(statement, batch)

    def _ceilings(self) -> Iterator[relations.Tuple]:
        for key in self._servers:
            yield relations.ceiling_tuple(key, Level.HIGH, relations.members("everybody"))

    def _people(self, now: Any) -> Iterator[dict[str, Any]]:
        for subject in self._persons:
            yield {
                "host": _HOST,
                "id": subject,
                "email": f"{subject}@bench.test",
                "name": subject,
                "groups": ["everybody"],
                "attributes": {"region": "EU"},
                "active": True,
                "configured": False,
                "created_at": now,
            }

    def _assignees(self, now: Any) -> Iterator[dict[str, Any]]:
        for number in range(self._tuples):
            subject = self._persons[number % len(self._persons)]
            yield {
                "host": _HOST,
                "object": f"ticket:{number}",
                "relation": "assignee",
                "subject": relations.person(subject),
                "source": "bench",
                "written_at": now,
            }

    def _consent(self, subject: SubjectId, key: ServerKey, now: Any) -> consent.Consent:
        return consent.Consent(
            host=_HOST,
            subject=subject,
            client=_CLIENT,
            server=key,
            id=ConsentId(f"consent_{subject}_{key}"),
            level=Level.HIGH,
            granted_at=now,
            expires_at=now + timedelta(days=1),
            redirect_uri="http://localhost/callback",
            client_digest="",
        )

    async def measured(self, decisions: int) -> Point:
        """Decide so many questions, half of them about somebody else's ticket."""
        judges, began = judges_of(self._parts), time.perf_counter()
        await self._parts.relations.graph(_HOST)
        loading = time.perf_counter() - began
        await self._decide(judges, decisions // 10 + len(self._servers) * _ASKING)
        took, allowed = await self._decide(judges, decisions)
        centiles = quantiles(took, n=100)
        return Point(
            people=len(self._persons),
            servers=len(self._servers),
            tuples=self._tuples,
            p50=centiles[49],
            p99=centiles[98],
            allowed=allowed,
            loading=loading,
        )

    async def _decide(self, judges: Judging, times: int) -> tuple[list[float], int]:
        took, allowed = [], 0
        for number in range(times):
            request, session = self._asked(number)
            began = time.thread_time_ns()
            facts = await judges.sources.gather(
                request,
                session,
                client=ClientFacts(id=_CLIENT, name="Agent", active=True, kind="registered"),
                tool=ToolFacts(known=True, enabled=True, state="pinned", level=Level.MEDIUM),
                device=Device(ip="192.0.2.7", user_agent="bench"),
                bound=asked_of_arguments((_BINDING,), request.arguments),
            )
            decision = await judges.pdp.decide(request, facts)
            took.append((time.thread_time_ns() - began) / 1000)
            allowed += decision.allow
        return took, allowed

    def _asked(self, number: int) -> tuple[AccessRequest, Session]:
        index = number % min(_ASKING, len(self._persons), self._tuples)
        subject = self._persons[index]
        key = self._servers[(number // _ASKING) % len(self._servers)]
        turns = max(1, self._tuples // len(self._persons))
        ticket = index + len(self._persons) * self._chance.randrange(turns)
        if number % 2:
            ticket += 1  # the next person's
        session = self._session(subject, key)
        request = AccessRequest(
            caller=Caller(
                host=_HOST, subject=subject, client=_CLIENT, session=session.id, server=key
            ),
            action="tools/call",
            resource=Resource(
                kind="tool", server=key, name=f"tool_{self._chance.randrange(_TOOLS)}"
            ),
            arguments={"id": str(ticket % self._tuples), "title": "A ticket"},
        )
        return request, session

    def _session(self, subject: SubjectId, key: ServerKey) -> Session:
        now = self._parts.clock.now()
        return Session(
            host=_HOST,
            id=SessionId(f"session_{subject}_{key}"),
            subject=subject,
            client=_CLIENT,
            server=key,
            opened_at=now,
            used_at=now,
            ends_at=now + timedelta(days=1),
            idle_seconds=3600,
        )


def as_data(found: Curve) -> dict[str, Any]:
    """Return everything as JSON can carry it; times in microseconds, loading in seconds."""
    names = ("people", "servers", "tuples", "p50", "p99", "allowed", "loading")
    return {
        "decisions": found.decisions,
        "points": [{name: getattr(point, name) for name in names} for point in found.points],
        "held": found.held,
    }


def show(console: Console, found: Curve) -> None:
    """Print the curve."""
    table = Table(title=f"{found.decisions:,} decisions at each size")
    for column in ("people", "servers", "tools", "tuples", "p50 µs", "p99 µs", "load s"):
        table.add_column(column, justify="right")
    for point in found.points:
        table.add_row(
            f"{point.people:,}",
            f"{point.servers:,}",
            f"{point.servers * _TOOLS:,}",
            f"{point.tuples:,}",
            f"{point.p50:.0f}",
            f"{point.p99:.0f}",
            f"{point.loading:.2f}",
        )
    console.print(table)
    verdict = {None: "not measured", True: "held", False: "missed"}[found.held]
    console.print(f"Budget at the last size: p99 {MUST_US:.0f} µs, aim {AIM_US:.0f} µs: {verdict}")
