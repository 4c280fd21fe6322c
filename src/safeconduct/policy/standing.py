"""How each host stands with the repository its rules come from; all processes share it.

A row is claimed for one look at a time, so that one of many workers and nodes looks, and what
was said about a commit is said once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import Column, String, Table, Text, insert, or_, select, update

from safeconduct.core.model import HostId, Value
from safeconduct.storage import Read, UtcTime, Write, host_column, metadata

State = Literal["waiting", "current", "held", "rejected", "unreachable"]

_sources = Table(
    "policy_sources",
    metadata,
    host_column(),
    Column("state", String(16), nullable=False),
    Column("commit", String(64), nullable=False),
    Column("judged", String(64), nullable=False),
    Column("offered", String(64), nullable=False),
    Column("problem", Text, nullable=False),
    Column("tried_at", UtcTime, nullable=True),
    Column("current_at", UtcTime, nullable=True),
)


class Standing(Value, frozen=True):
    """What came of the last look.

    Attributes:
        state: `waiting` before the first one; `held` when an operator went back from what the
            repository still has.
        commit: The last commit that was judged.
        judged: Names the question that was judged: repository, commit, keys, built-in rules.
        offered: The bundle that commit makes; "" when it makes none, or the built-in rules.
        problem: Why the rules could not be had or taken.
        tried_at: When somebody last looked.
        current_at: When the repository was last known to say what decides.
    """

    state: State = "waiting"
    commit: str = ""
    judged: str = ""
    offered: str = ""
    problem: str = ""
    tried_at: datetime | None = None
    current_at: datetime | None = None


async def standing_of(tx: Read, host: HostId) -> Standing:
    """Return how a host stands."""
    row = await tx.one_or_none(select(_sources).where(_sources.c.host == host))
    if row is None:
        return Standing()
    return Standing(
        state=row.state,
        commit=row.commit,
        judged=row.judged,
        offered=row.offered,
        problem=row.problem,
        tried_at=row.tried_at,
        current_at=row.current_at,
    )


async def claim(tx: Write, host: HostId, *, at: datetime, before: datetime) -> bool:
    """Take the next look, unless somebody has looked since `before`."""
    mine = update(_sources).where(
        _sources.c.host == host,
        or_(_sources.c.tried_at.is_(None), _sources.c.tried_at <= before),
    )
    if await tx.execute(mine.values(tried_at=at)):
        return True
    if await tx.scalar(select(_sources.c.host).where(_sources.c.host == host)) is not None:
        return False
    await _insert(tx, host, Standing(tried_at=at))
    return True


async def settle(tx: Write, host: HostId, found: Standing) -> None:
    """Write down what came of a look."""
    if not await tx.execute(
        update(_sources).where(_sources.c.host == host).values(**_columns(found))
    ):
        await _insert(tx, host, found)


async def _insert(tx: Write, host: HostId, found: Standing) -> None:
    await tx.execute(insert(_sources).values(host=host, **_columns(found)))


def _columns(found: Standing) -> dict[str, object]:
    return {
        "state": found.state,
        "commit": found.commit,
        "judged": found.judged,
        "offered": found.offered,
        "problem": found.problem,
        "tried_at": found.tried_at,
        "current_at": found.current_at,
    }
