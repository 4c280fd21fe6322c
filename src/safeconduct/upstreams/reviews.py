"""What waits for an operator, with what was reviewed beside it; and the operator's word.

Whoever accepts or refuses names the digest of what was read. If something else is there by now,
nothing is decided: a server cannot slip in another text between the reading and the yes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import Row

from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.model import HostId, ServerKey, Value
from safeconduct.storage import Read, Write
from safeconduct.upstreams.descriptions import judgement_of, row_of, wanted_of_row
from safeconduct.upstreams.pins import pin
from safeconduct.upstreams.standing import (
    NOT_KEPT,
    Spelled,
    after_acceptance,
    digest_of_row,
    pinned,
    present,
)
from safeconduct.upstreams.tables import NEW, PINNED, TOOL, Place, offers, tools

Definition = dict[str, Any]


class NothingToDecide(GatewayError):
    """It does not wait for anybody's word."""

    code = Code.CONFLICT


class Moved(GatewayError):
    """Something else is there than what was read."""

    code = Code.CONFLICT


class Review(Value, frozen=True):
    """Something pinned of a server, as it was reviewed and as it is.

    Attributes:
        digest: Names what is present, for whoever accepts or refuses it.
        pinned: Each spelling that was reviewed; none for something new.
        present: Each spelling that is there now, as far as it is known.
        witnessed: What the road saw when it ended calls, and when; an operator alone ends that.
        refused: Whether an operator refused what is present.
        renamed_from: A reviewed thing of the same definition but for its name.
    """

    server: ServerKey
    kind: str
    name: str
    state: str
    digest: str
    pinned: tuple[Definition, ...]
    present: tuple[Definition, ...]
    witnessed: tuple[Definition, ...] = ()
    witnessed_at: datetime | None = None
    refused: bool = False
    renamed_from: str | None = None


async def find_review(
    tx: Read, host: HostId, server: ServerKey, kind: str, name: str
) -> Review | None:
    """Return one thing of a server, None if it has none of that name."""
    place = Place(host, server, kind)
    row = await tx.one_or_none(place.row(name))
    if row is None:
        return None
    others = await tx.all(place.rows()) if row.state == NEW else ()
    return _review(server, kind, row, renamed_from=_renamed_from(row, others))


async def list_reviews(
    tx: Read, host: HostId, server: ServerKey | None = None, *, everything: bool = False
) -> list[Review]:
    """Return what waits on a host, or on one server of it.

    Args:
        everything: Whether to return what does not wait, too.
    """
    found = []
    for table in (tools, offers):
        columns = table.c
        statement = select(table).where(columns.host == host)
        if server is not None:
            statement = statement.where(columns.server == server)
        if not everything:
            statement = statement.where(columns.state != PINNED)
        for row in await tx.all(statement.order_by(columns.server, columns.name)):
            kind = TOOL if table is tools else row.kind
            found.append(_review(ServerKey(row.server), kind, row))
    return found


async def decide_review(
    tx: Write,
    host: HostId,
    server: ServerKey,
    kind: str,
    name: str,
    *,
    digest: str,
    accept: bool,
) -> None:
    """Accept or refuse what waits, if it is still what was read.

    Args:
        digest: Of what was read, see `Review`.

    Raises:
        NothingToDecide: If nothing waits there.
        Moved: If something else is present.
    """
    place = Place(host, server, kind)
    row = await tx.one_or_none(place.row(name))
    about = await row_of(tx, host, server)
    if row is None or about is None or row.state == PINNED:
        raise NothingToDecide(f"{name or kind} does not wait for review; nothing was changed.")
    if digest_of_row(row) != digest:
        raise Moved(
            f"{name or kind} is no longer what was read: its digest is {digest_of_row(row)} now. "
            "Nothing was changed. Read it again, and name the new digest."
        )
    if accept and any(each.startswith(NOT_KEPT) for each in present(row).pins):
        raise NothingToDecide(
            f"The definition of {name or kind} is too large, or cannot be read, and stays out. "
            "It comes up for review once the server spells it otherwise."
        )
    if not accept and row.refused == digest:
        raise NothingToDecide(f"{name or kind} was refused already; nothing was changed.")
    columns: dict[str, Any] = after_acceptance(row) if accept else {"refused": digest}
    if accept and kind == TOOL:
        columns |= judgement_of(wanted_of_row(about), name, columns["definition"])
    await tx.execute(update(place.table).where(*place.where(name)).values(columns))
    tx.changed("server", host, server)


def _review(
    server: ServerKey, kind: str, row: Row[Any], *, renamed_from: str | None = None
) -> Review:
    seen = row.witnessed
    return Review(
        server=server,
        kind=kind,
        name=row.name,
        state=row.state,
        digest=digest_of_row(row),
        pinned=() if row.state == NEW else pinned(row).definitions,
        present=present(row).definitions,
        witnessed=() if seen is None else tuple(seen["definitions"]),
        witnessed_at=None if seen is None else datetime.fromtimestamp(seen["at"], UTC),
        refused=row.refused is not None and row.refused == digest_of_row(row),
        renamed_from=renamed_from,
    )


def _renamed_from(row: Row[Any], others: Any) -> str | None:
    wanted = _nameless(present(row))
    for other in others:
        if other.state != NEW and wanted & _nameless(pinned(other)):
            return str(other.name)
    return None


def _nameless(spelled: Spelled) -> set[str]:
    return {
        pin({member: value for member, value in each.items() if member not in {"name", "title"}})
        for each in spelled.definitions
    }
