"""Compares what a reading found with what was reviewed, and stores what follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import delete, insert, update
from sqlalchemy.engine import Row

from safeconduct.core.model import HostId
from safeconduct.storage import Write
from safeconduct.upstreams.descriptions import Wanted, judgement_of, row_of, wanted_of_row
from safeconduct.upstreams.http_tools import public_definition
from safeconduct.upstreams.items import MOST_REVIEWED, Omission
from safeconduct.upstreams.pins import pin
from safeconduct.upstreams.revisions import LEGACY, MODERN
from safeconduct.upstreams.standing import (
    Spelled,
    after_reading,
    first,
    is_withdrawn,
    was_extended,
)
from safeconduct.upstreams.tables import (
    INSTRUCTIONS,
    LONGEST_NAME,
    LONGEST_URI,
    NEW,
    PINNED,
    PROMPT,
    TEMPLATE,
    TOOL,
    Place,
    servers,
    tools,
)
from safeconduct.upstreams.tool_schemas import spoken_in

# The member of an item that names it. Instructions are one item, and have no name.
MOST_NEW = 500  # of one kind at one server, that wait; more would be nobody's to review
NAMED_BY = {TOOL: "name", PROMPT: "name", TEMPLATE: "uriTemplate", INSTRUCTIONS: ""}
REVIEW, _GONE = "review", "it waits, and the server does not show it here any more"
_MOST_GONE = 20
_LISTINGS = {TOOL: "tools", PROMPT: "prompts", TEMPLATE: "resourceTemplates"}
Lists = list[list[dict[str, Any]]]


class Waiting(NamedTuple):
    """Something of a server that waits for review."""

    kind: str
    name: str


class Observed(NamedTuple):
    """What a reading changed.

    Attributes:
        waits: What waits now and did not before.
        extended: What an older version had pinned and is pinned anew.
        recovered: Whether the server could not be read before.
    """

    waits: tuple[Waiting, ...] = ()
    extended: tuple[Waiting, ...] = ()
    recovered: bool = False

    @property
    def quarantined(self) -> list[str]:
        """The names of the tools that wait now."""
        return [each.name for each in self.waits if each.kind == TOOL]


async def observe(
    tx: Write,
    host: HostId,
    server: Wanted,
    *,
    eras: tuple[str, ...],
    spellings: Lists,
    at: datetime,
    others: dict[str, Lists] | None = None,
    omissions: tuple[Omission, ...] = (),
    unread: dict[str, str] | None = None,
) -> Observed:
    """Compare what a server offers now with what was reviewed.

    Reading a server takes a while. What an admin has said meanwhile counts; findings of an
    address that is no longer the server's are dropped.

    Args:
        server: As it was when the server was asked.
        eras: The eras it spoke.
        spellings: Its complete tool list, once for each era.
        at: When it was asked.
        others: The same for the other kinds that were read; None for none of them.
        omissions: What of its lists was left out.
        unread: Eras whose lists could not be read this time, and why. What was read of them
            before stays: nothing of it was seen to change, and nothing is released.
    """
    about = await row_of(tx, host, server.key)
    if about is None or about.url != server.url:
        return Observed()
    server = wanted_of_row(about)
    kept = [era for era in unread or () if era in about.eras]
    omissions = (*omissions, *(_unread(era, (unread or {})[era]) for era in kept))
    known = set(about.kinds or ())
    fresh = {TOOL: not about.eras}  # it may have been unreachable before, which is no review
    fresh |= {kind: kind not in known for kind in others or ()}
    found, changed, gone = Observed(), False, list[Omission]()
    for kind, lists in {TOOL: spellings, **(others or {})}.items():
        place = Place(host, server.key, kind)
        reading = _Reading(tx, place, server, eras=eras, first_time=fresh[kind], in_part=bool(kept))
        whole = not kept and not any(each.listing == _LISTINGS.get(kind) for each in omissions)
        each = await reading.compared(lists, whole=whole)
        found = Observed(found.waits + each.waits, found.extended + each.extended)
        changed = changed or reading.changed
        if reading.left_out:
            omissions = (*omissions, _too_many(kind, reading.left_out))
        gone += [Omission(listing=REVIEW, item=name, reason=_GONE) for name in reading.gone]
    now = {
        "eras": [era for era in (MODERN, LEGACY) if era in {*eras, *kept}],
        "kinds": sorted(known | {*fresh}),
        "problem": None,
        "omissions": [*msgspec.to_builtins((*omissions, *gone[:_MOST_GONE]))],
    }
    await tx.execute(
        update(servers)
        .where(servers.c.host == host, servers.c.key == server.key)
        .values(checked_at=at, **now)
    )
    if changed or any(getattr(about, name) != value for name, value in now.items()):
        tx.changed("server", host, server.key)
    return found._replace(recovered=about.problem is not None)


class _Reading:
    """The comparison of one kind."""

    def __init__(
        self,
        tx: Write,
        place: Place,
        server: Wanted,
        *,
        eras: tuple[str, ...],
        first_time: bool,
        in_part: bool,
    ) -> None:
        self._tx = tx
        self._eras = eras
        self._place = place
        self._server = server
        self._first_time = first_time
        self._in_part = in_part
        self._room = MOST_NEW
        self.changed = False
        self.left_out = 0
        self.gone: list[str] = []

    async def compared(self, lists: Lists, *, whole: bool) -> Observed:
        """Compare the lists; `whole` says that nothing of them was left out."""
        stored = {row.name: row for row in await self._tx.all(self._place.rows())}
        self._room -= sum(row.state == NEW for row in stored.values())
        waits: list[Waiting] = []
        extended: list[Waiting] = []
        for name, found in self._by_name(lists):
            row = stored.pop(name, None)
            if row is None:
                if await self._added(name, found) == NEW:
                    waits.append(Waiting(self._place.kind, name))
                continue
            columns = after_reading(row, found)
            if self._in_part and row.state != PINNED and columns.get("state") == PINNED:
                columns = {}  # the era that was not read may be the one that differs
            if columns:
                self.changed = True
                await self._tx.execute(
                    update(self._place.table).where(*self._place.where(name)).values(columns)
                )
            if row.state == PINNED and columns.get("state", PINNED) != PINNED:
                waits.append(Waiting(self._place.kind, name))
            if was_extended(row, columns):
                extended.append(Waiting(self._place.kind, name))
        if whole and not self.left_out:
            missing = [row for row in stored.values() if row.state != PINNED]
            await self._forget([row for row in missing if is_withdrawn(row)])
            self.gone = [row.name for row in missing if not is_withdrawn(row) and not row.refused]
        if self._place.kind == TOOL and not self._in_part:
            await self._note_eras(lists)
        return Observed(tuple(waits), tuple(extended))

    async def _forget(self, rows: list[Row[Any]]) -> None:
        """Forget what came and went before anybody reviewed it; if it comes again, it is new."""
        for row in rows:
            self.changed = True
            where = self._place.where(row.name)
            await self._tx.execute(delete(self._place.table).where(*where))

    async def _note_eras(self, lists: Lists) -> None:
        """Note which era spells a tool how, where they differ: each is called by its own."""
        made: dict[str, dict[str, str]] = {}
        for era, definitions in zip(self._eras, lists, strict=False):
            for definition in definitions if len(lists) > 1 else ():
                name = name_of(TOOL, definition)
                if name is not None:
                    made.setdefault(name, {})[era] = pin(self._as_shown(definition))
        for row in await self._tx.all(self._place.rows()):
            each = made.get(row.name, {})
            spoken = spoken_in([*each], [*each.values()])
            if row.spoken != spoken:
                where = self._place.where(row.name)
                await self._tx.execute(update(tools).where(*where).values(spoken=spoken))

    async def _added(self, name: str, found: Spelled) -> str:
        """Store what was not known, and return its state; "" where too much waits already."""
        # An admin who named a tool has asked for it, whenever it appears.
        named = self._place.kind == TOOL and self._server.tools is not None
        state = PINNED if self._first_time or named else NEW
        if state == NEW:
            if self._room <= 0:
                self.left_out += 1
                return ""
            self._room -= 1
        self.changed = True
        await add(self._tx, self._place, self._server, name, first(found, state=state))
        return state

    def _by_name(self, lists: Lists) -> Iterator[tuple[str, Spelled]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for definition in (each for definitions in lists for each in definitions):
            name = name_of(self._place.kind, definition)
            if name is not None and self._is_wanted(name):
                found.setdefault(name, []).append(definition)
        self.left_out += max(0, len(found) - MOST_REVIEWED)
        for name, definitions in islice(found.items(), MOST_REVIEWED):
            made = [pin(self._as_shown(each)) for each in definitions]
            yield name, Spelled.of(definitions, made)

    def _is_wanted(self, name: str) -> bool:
        tools = self._server.tools
        return self._place.kind != TOOL or tools is None or name in tools

    def _as_shown(self, definition: dict[str, Any]) -> dict[str, Any]:
        return definition if self._server.http is None else public_definition(definition)


def _unread(era: str, why: str) -> Omission:
    reason = f"the {era} era could not be read ({why}); what was read of it before counts"
    return Omission(listing=_LISTINGS[TOOL], item="", reason=reason)


def _too_many(kind: str, count: int) -> Omission:
    reason = f"{count} more are not kept: review or refuse what waits first"
    return Omission(listing=f"{kind}s", item="", reason=reason)


async def add(tx: Write, place: Place, server: Wanted, name: str, columns: dict[str, Any]) -> None:
    """Store something of a server that was not known before."""
    if place.kind == TOOL:
        columns = {**columns, **judgement_of(server, name, columns["definition"])}
    await tx.execute(insert(place.table).values(**place.key(name), **columns))


def name_of(kind: str, definition: dict[str, Any]) -> str | None:
    """Return an item's name if it can be stored, shown and put into a header line."""
    if kind == INSTRUCTIONS:
        return ""
    name = definition.get(NAMED_BY[kind])
    longest = LONGEST_URI if kind == TEMPLATE else LONGEST_NAME
    usable = isinstance(name, str) and 0 < len(name) <= longest and name.isprintable()
    return name if usable else None
