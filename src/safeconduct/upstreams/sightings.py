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
from safeconduct.upstreams.observing import NAMED_BY, Waiting, add, name_of
from safeconduct.upstreams.pins import is_pinned, pin
from safeconduct.upstreams.standing import NOT_KEPT, Spelled, after_sighting
from safeconduct.upstreams.tables import NEW, PINNED, TOOL, Place

_MOST_NEW = 500  # of one kind, that wait because the road saw them
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
    changed = [
        Waiting(each.kind, each.name)
        for each in seen
        if await _stored(tx, Place(host, key, each.kind), server, each, at)
    ]
    if changed:
        tx.changed("server", host, key)
    return changed


async def _stored(tx: Write, place: Place, server: Wanted, seen: Sighting, at: datetime) -> bool:
    row = await tx.one_or_none(place.row(seen.name))
    spelled = _bounded(seen)
    columns = after_sighting(row, spelled, at=at)
    if not columns:
        return False
    if row is not None:
        await tx.execute(update(place.table).where(*place.where(seen.name)).values(columns))
        return True
    new = (*place.where(), place.table.c.state == NEW)
    count = await tx.scalar(select(func.count()).select_from(place.table).where(*new))
    if count >= _MOST_NEW:
        return False
    await add(tx, place, server, seen.name, columns)
    return True


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
