"""The one question asked of edges at every call: how much an admin lets somebody grant.

A ceiling is a tuple `server:tickets#medium@person:p_1` or `...@group:engineering#member`.
Levels include the ones below them, so the highest tuple that applies is the ceiling and
all nine cells of min(granted, ceiling) hold without writing cumulative tuples. Ceilings do not
expire: a tuple that does is none, in the base schema and here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

from sqlalchemy import select

from safeconduct.core.model import ClientId, HostId, Level, ServerKey, SubjectId
from safeconduct.relations.tuples import KIND, Tuple, stored
from safeconduct.storage import Change, Database, Feed, Read, View

_LONGEST_ID = 256
_LEVELS = {level.word: level for level in Level}


def person(subject: SubjectId) -> str:
    """Spell a person as the subject of a tuple."""
    return f"person:{subject}"


def agent(client: ClientId) -> str:
    """Spell an agent as the subject of a tuple; signs a tuple has no room for are escaped."""
    return f"agent:{escaped(client)}"


def group(name: str) -> str:
    """Spell a group as the object of a tuple; a name too long for one stands as its digest."""
    spelled = escaped(name)
    if len(spelled) > _LONGEST_ID:
        # No escaped name looks like this: a percent sign is followed by two digits there.
        spelled = f"%~{hashlib.sha256(name.encode()).hexdigest()}"
    return f"group:{spelled}"


@lru_cache(maxsize=4096)
def members(name: str) -> str:
    """Spell everybody in a group as the subject of a tuple."""
    return f"{group(name)}#member"


def ceiling_tuple(server: ServerKey, level: Level, subject: str) -> Tuple:
    return Tuple(object=f"server:{server}", relation=level.word, subject=subject)


def consent_tuples(
    subject: SubjectId, client: ClientId, granted: dict[ServerKey, Level]
) -> tuple[Tuple, ...]:
    """Return what one decision knows of a consent: never stored, never anybody else's."""
    spelled = agent(client)
    return (
        Tuple(object=person(subject), relation="delegate", subject=spelled),
        *(
            Tuple(object=f"server:{server}", relation=f"granted_{level.word}", subject=spelled)
            for server, level in granted.items()
        ),
    )


def membership_tuples(subject: SubjectId, groups: Iterable[str]) -> tuple[Tuple, ...]:
    """Return a person's groups as edges: to be stored, or for one decision."""
    return tuple(
        Tuple(object=group(name), relation="member", subject=person(subject)) for name in groups
    )


class Ceilings:
    """The highest level an admin lets somebody grant, by subject, kept in memory."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._view: View[tuple[str, str], dict[str, Level]] = View(
            database, feed, kind=KIND, load=_load, keys=_key
        )

    async def of(
        self, host: HostId, subject: SubjectId, groups: Iterable[str]
    ) -> dict[ServerKey, Level]:
        """Return the ceiling on every server the person may use at all."""
        highest: dict[ServerKey, Level] = {}
        for spelled in (person(subject), *map(members, groups)):
            for server, level in (await self._levels(host, spelled)).items():
                key = ServerKey(server)
                highest[key] = max(level, highest.get(key, level))
        return highest

    async def on(
        self, host: HostId, subject: SubjectId, groups: Iterable[str], server: ServerKey
    ) -> Level | None:
        """Return the ceiling on one server, or None: no tuple, no access."""
        highest: Level | None = None
        for spelled in (person(subject), *map(members, groups)):
            key = (host, spelled)
            levels = self._view.held(key)
            if levels is None:
                levels = await self._levels(*key)
            level = levels.get(server)
            if level is not None and (highest is None or level > highest):
                highest = level
        return highest

    async def _levels(self, host: HostId, subject: str) -> dict[str, Level]:
        return await self._view.get((host, subject)) or {}


async def _load(tx: Read, key: tuple[str, str]) -> dict[str, Level]:
    statement = select(stored.c.object, stored.c.relation).where(
        stored.c.host == key[0],
        stored.c.subject == key[1],
        stored.c.expires_at.is_(None),
        stored.c.object.startswith("server:", autoescape=True),
        stored.c.relation.in_(_LEVELS),
    )
    highest: dict[str, Level] = {}
    for row in await tx.all(statement):
        server = row.object.removeprefix("server:")
        level = _LEVELS[row.relation]
        highest[server] = max(level, highest.get(server, level))
    return highest


def _key(change: Change) -> tuple[str, str]:
    """Return whose ceilings a change may concern: `+server:x#low@person:p` is person:p's."""
    subject = change.key.partition("@")[2]
    return change.host, subject.partition("[expiration:")[0]


def escaped(name: str) -> str:
    """Write what an id has no room for as in a URL: `%20`; everything else stays."""
    return "".join(quote(sign) if sign in "#@*%[" or sign.isspace() else sign for sign in name)
