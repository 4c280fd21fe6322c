"""What a server showed a caller and nobody reviewed: stored before the caller sees the answer.

So the very next call of it, in whichever process, finds that it waits. What is stored is
bounded: a server that shows something else each time fills neither the tables nor the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import func, select, update

from safeconduct.core.model import HostId, ServerKey
from safeconduct.storage import Write
from safeconduct.upstreams.catalogue import Offer, Server, Tool
from safeconduct.upstreams.descriptions import Wanted, row_of, wanted_of_row
from safeconduct.upstreams.items import Omission
from safeconduct.upstreams.observing import MOST_NEW, NAMED_BY, Waiting, add, name_of
from safeconduct.upstreams.pins import is_pinned, pin
from safeconduct.upstreams.standing import NOT_KEPT, Spelled, after_sighting
from safeconduct.upstreams.tables import NEW, PINNED, PROMPT, TEMPLATE, TOOL, Place

_MOST_BYTES = 256 * 1024


class Sighting(NamedTuple):
    """A definition that is about to go to a caller, with its pin."""

    kind: str
    name: str
    definition: dict[str, Any]
    pin: str


def unreadable(kind: str, omission: Omission) -> Sighting:
    """Return what stands for something that was reviewed and cannot be read any more."""
    words = f"This definition cannot be read: {omission.reason}."
    definition = {NAMED_BY[kind]: omission.item, "description": words}
    return Sighting(kind, omission.item, definition, NOT_KEPT + pin(definition))


def within_room(server: Server, seen: Iterable[Sighting]) -> list[Sighting]:
    """Return what is known, and of what is not as much as may wait."""
    rooms: dict[str, int] = {}
    kept = []
    for each in seen:
        if server.offer(each.kind, each.name) is None:
            room = rooms.get(each.kind)
            if room is None:
                room = MOST_NEW - _waiting_new(server, each.kind)
            if room <= 0:
                rooms[each.kind] = 0
                continue
            rooms[each.kind] = room - 1
        kept.append(each)
    return kept


def _waiting_new(server: Server, kind: str) -> int:
    known: Iterable[Tool | Offer] = ()
    if kind == TOOL:
        known = server.tools.values()
    elif kind in {PROMPT, TEMPLATE}:
        known = (server.prompts if kind == PROMPT else server.templates).values()
    return sum(each.state == NEW for each in known)


def is_news(server: Server, seen: Sighting) -> bool:
    """Say whether a definition is neither reviewed nor known to wait already.

    What an admin did not import is nobody's to call, whatever it says.
    """
    if name_of(seen.kind, seen.definition) != seen.name:
        return False
    known = server.offer(seen.kind, seen.name)
    if known is None:
        wants = seen.kind != TOOL or server.imports is None or seen.name in server.imports
        return wants and seen.kind in server.kinds
    return not is_pinned(seen.definition, seen.pin, known.pins) and not _waits(known, seen)


async def sight(
    tx: Write, host: HostId, key: ServerKey, seen: Iterable[Sighting], *, at: datetime
) -> list[Waiting]:
    """Store what a server shows that was not reviewed; returns what waits from now on."""
    about = await row_of(tx, host, key)
    if about is None:
        return []
    server = wanted_of_row(about)
    rooms: dict[str, int] = {}
    changed = []
    for each in seen:
        place = Place(host, key, each.kind)
        if each.kind not in rooms:
            rooms[each.kind] = MOST_NEW - await _count_new(tx, place)
        stored = await _stored(tx, place, server, each, at, room=rooms[each.kind])
        rooms[each.kind] -= stored == NEW
        if stored:
            changed.append(Waiting(each.kind, each.name))
    if changed:
        tx.changed("server", host, key)
    return changed


async def _count_new(tx: Write, place: Place) -> int:
    new = (*place.where(), place.table.c.state == NEW)
    count: int = await tx.scalar(select(func.count()).select_from(place.table).where(*new))
    return count


async def _stored(
    tx: Write, place: Place, server: Wanted, seen: Sighting, at: datetime, *, room: int
) -> str:
    """Store one; returns `new` for what was not known, `pinned` for what was, "" for nothing."""
    row = await tx.one_or_none(place.row(seen.name))
    spelled = _bounded(seen)
    columns = after_sighting(row, spelled, at=at)
    if not columns:
        return ""
    if row is not None:
        await tx.execute(update(place.table).where(*place.where(seen.name)).values(columns))
        return PINNED  # known before, so it takes no room
    if room <= 0:
        return ""
    await add(tx, place, server, seen.name, columns)
    return NEW


def _waits(known: Tool | Offer, seen: Sighting) -> bool:
    if known.state == PINNED or {seen.pin, NOT_KEPT + seen.pin}.isdisjoint(known.waiting):
        return False
    return known.state == NEW or known.witnessed


def _bounded(seen: Sighting) -> Spelled:
    """Return what is stored of a sighting; a definition beyond all measure is only named."""
    size = len(msgspec.json.encode(seen.definition))
    if size <= _MOST_BYTES or seen.pin.startswith(NOT_KEPT):
        return Spelled((seen.definition,), (seen.pin,))
    words = f"This definition has {size} bytes, which is more than is kept for review."
    return Spelled(({"name": seen.name, "description": words},), (NOT_KEPT + seen.pin,))
