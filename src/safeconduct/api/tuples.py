"""Tuples as programs send and get them: read strictly, spelled in one way.

A tuple is sent as text, `ticket:T-7#assignee@person:p_1`, or as an object with `object`,
`relation`, `subject` and `expires_at`. A subject `user:` and an address is the person of that
address, where there is one, as it is in the configuration file.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from safeconduct.api.managing import read_limit, read_query, refuse_unknown
from safeconduct.api.questions import JSON
from safeconduct.api.refusals import bad
from safeconduct.core.canonical import fingerprint
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId, Value
from safeconduct.people import People
from safeconduct.relations import (
    ACCESS,
    API,
    CONFIGURATION,
    DIRECTORY,
    Edit,
    Filter,
    Stored,
    Tuple,
    person,
)

MOST_LISTED = 100
_USER = "user:"
_LISTS = ("writes", "deletes")
_CONDITIONS = ("must_exist", "must_not_exist")
_MEMBERS = ("object", "relation", "subject", "expires_at")
_SOURCES = (API, DIRECTORY, CONFIGURATION, ACCESS)
_FILTERS = ("object", "relation", "subject", "source")


class Listing(Value, frozen=True):
    """Which tuples to list, how many at once, and where the page before ended, as we said it."""

    which: Filter
    limit: int = MOST_LISTED
    token: str = ""

    @property
    def digest(self) -> str:
        """Tells this listing from every other one, whatever its page."""
        which = self.which
        return fingerprint([which.object, which.relation, which.subject, which.source])


def read_edit(body: JSON) -> Edit:
    """Read what is to be changed.

    Raises:
        Refused: If a member is unknown or has another type than it must have.
    """
    refuse_unknown(body, (*_LISTS, "preconditions"), "the body")
    conditions = body.get("preconditions", {})
    if not isinstance(conditions, dict):
        raise bad("preconditions must be an object.")
    refuse_unknown(conditions, _CONDITIONS, "preconditions")
    return Edit(
        **{name: _tuples(body, name) for name in _LISTS},
        **{name: _tuples(conditions, name) for name in _CONDITIONS},
    )


def read_listing(query: Iterable[tuple[str, str]]) -> Listing:
    """Read what is to be listed.

    Raises:
        Refused: If a parameter is unknown, given twice, or none of its kind.
    """
    said = read_query(query, (*_FILTERS, "limit", "token"))
    if said.get("source", API) not in _SOURCES:
        raise bad(f"source must be one of: {', '.join(_SOURCES)}.")
    return Listing(
        which=Filter(**{name: said[name] for name in _FILTERS if name in said}),
        limit=read_limit(said, most=MOST_LISTED),
        token=said.get("token", ""),
    )


def shown(found: Stored) -> JSON:
    """Spell a stored tuple."""
    edge = found.edge
    expires = edge.expires_at
    return {
        "tuple": str(edge),
        "object": edge.object,
        "relation": edge.relation,
        "subject": edge.subject,
        "expires_at": None if expires is None else instant(expires),
        "source": found.source,
        "written_at": instant(found.written_at),
    }


def instant(moment: datetime) -> str:
    """Spell a moment in RFC 3339."""
    return moment.isoformat().replace("+00:00", "Z")


async def resolved(people: People, host: HostId, edit: Edit) -> Edit:
    """Return the same edit with people for the addresses in it.

    Raises:
        Refused: If a tuple is to be written of an address that nobody has: it would count for
            nothing, also once somebody has it.
    """

    async def each(edges: tuple[Tuple, ...]) -> tuple[Tuple, ...]:
        return tuple(
            [replace(one, subject=await subject_of(people, host, one.subject)) for one in edges]
        )

    writes = await each(edit.writes)
    for edge in writes:
        if _address(edge.subject):
            raise Refused(
                Code.INVALID_PARAMS,
                f"{edge}: this host knows nobody by that address, so nothing was written; "
                "name the person once there is one",
            )
    return Edit(
        writes=writes,
        deletes=await each(edit.deletes),
        must_exist=await each(edit.must_exist),
        must_not_exist=await each(edit.must_not_exist),
    )


async def subject_of(people: People, host: HostId, said: str) -> str:
    """Return the person of an address as tuples name them; anything else as it is."""
    address = _address(said)
    found = await people.at(host, address) if address else None
    return said if found is None else person(found.id)


def _address(subject: str) -> str:
    """Return the address that a subject is called by, or ""."""
    address = subject.removeprefix(_USER)
    named = subject.startswith(_USER) and "@" in address and "#" not in address
    return address if named else ""


def _tuples(source: JSON, name: str) -> tuple[Tuple, ...]:
    items = source.get(name, [])
    if not isinstance(items, list):
        raise bad(f"{name} must be a list.")
    return tuple(_tuple(item, f"{name}[{index}]") for index, item in enumerate(items))


def _tuple(item: Any, where: str) -> Tuple:
    text = _text(item, where) if isinstance(item, dict) else item
    if not isinstance(text, str):
        raise bad(f"{where} must be a tuple: a text, or an object.")
    try:
        edge = Tuple.parse(text)
    except ValueError as error:
        raise bad(f"{where} is not object#relation@subject.") from error
    if isinstance(item, dict) and any(item[each] != getattr(edge, each) for each in _MEMBERS[:3]):
        raise bad(f"{where} is not object#relation@subject.")  # its parts ran into each other
    return edge


def _text(item: JSON, where: str) -> str:
    refuse_unknown(item, _MEMBERS, where)
    for name in _MEMBERS[:3]:
        if not isinstance(item.get(name), str):
            raise bad(f"{where}.{name} is missing or no text.")
    text = f"{item['object']}#{item['relation']}@{item['subject']}"
    expires = item.get("expires_at")
    if expires is None:
        return text
    if not isinstance(expires, str):
        raise bad(f"{where}.expires_at must be a time in RFC 3339.")
    return f"{text}[expiration:{expires}]"
