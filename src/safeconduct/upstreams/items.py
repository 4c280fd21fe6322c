"""The items of a server's list: one rule for who imports a list and for who passes one on.

An item that cannot be read, has no name that can be used and is its own, or is nothing that the
protocol's schema allows, is left out alone and named with its reason; the others stay. Leaving out
never lets anything through: what is not taken over is neither shown nor callable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from safeconduct.core.canonical import StrictJSONError, disguised, parse
from safeconduct.core.model import Value
from safeconduct.upstreams.definitions import PINNED_MEMBERS
from safeconduct.upstreams.item_shapes import misshape
from safeconduct.upstreams.legibility import illegible
from safeconduct.upstreams.pins import pin
from safeconduct.upstreams.tables import LONGEST_NAME

MOST_REVIEWED = 2_000  # of one kind at one server; nobody reviews more
_REVIEWED = frozenset({"tools", "prompts", "resourceTemplates"})
_LONGEST_URI = 2048
_LONGEST_SHOWN = 100
_MOST_OMISSIONS = 100
_MOST_NAMED = 10
_AGAIN = "its name stands there more than once, and not for the same"
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}
# The second is for what is not UTF-8, the last for what is nested without end.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)


class Omission(Value, frozen=True):
    """Something of a server's list that was not taken over.

    Attributes:
        listing: The member that holds the list, such as `tools`.
        item: Its name, or which one it is where it has none; "" for the list as a whole.
        reason: Why, as a sentence without its first capital and its full stop.
    """

    listing: str
    item: str
    reason: str

    def __str__(self) -> str:
        return f"{self.listing}: {self.item}{': ' if self.item else ''}{self.reason}"


class Item(NamedTuple):
    """One item: as it was spelled, what it says, and its name."""

    raw: msgspec.Raw
    value: dict[str, Any]
    name: str


class NoList(ValueError):
    """What should be a list is none."""


def named(omissions: Sequence[Omission]) -> str:
    """Return omissions as a part of a sentence, the first ones by their names."""
    rest = len(omissions) - _MOST_NAMED
    shown = "; ".join(map(str, omissions[:_MOST_NAMED]))
    return f"{shown}; and {rest} more" if rest > 0 else shown


class _LeftOut(ValueError):
    """An item that is not taken over; says why."""


def items_of(
    raw: bytes | msgspec.Raw, listing: str, name: str = "name"
) -> tuple[list[Item], list[Omission]]:
    """Read a list's items, and say which of them are left out.

    Args:
        raw: The list as it is spelled, made legible where it was not.
        listing: The member that holds it, such as `tools`.
        name: The member of an item that names it.

    Raises:
        NoList: If it is none.
    """
    try:
        spelled = _LIST.decode(raw)
    except _UNREADABLE as error:
        raise NoList(f"{listing} is no list") from error
    found: list[Item] = []
    omitted: list[Omission] = []
    if listing in _REVIEWED and len(spelled) > MOST_REVIEWED:
        reason = f"only the first {MOST_REVIEWED} of {len(spelled)} are read"
        omitted.append(Omission(listing=listing, item="", reason=reason))
        spelled = spelled[:MOST_REVIEWED]
    for position, each in enumerate(spelled, 1):
        try:
            found.append(_item(each, listing, name))
        except (_LeftOut, StrictJSONError) as error:
            which = _name_of(each, name) or f"the {position}{_ordinal(position)} item"
            omitted.append(Omission(listing=listing, item=which, reason=str(error)))
    return unambiguous(found, omitted, listing)


def unambiguous(
    items: Iterable[Item], omissions: Iterable[Omission], listing: str
) -> tuple[list[Item], list[Omission]]:
    """Return each item once, and leave out whatever a name stands for in several ways.

    Which of them a reader would take is anybody's guess, so none of them is.

    Args:
        omissions: What was left out before; it has its name as well.
    """
    once: dict[str, Item] = {}
    ambiguous: set[str] = {each.item for each in omissions}
    for item in items:
        known = once.setdefault(item.name, item)
        if known is not item and pin(known.value) != pin(item.value):
            ambiguous.add(item.name)
    if ambiguous.isdisjoint(once):
        return [*once.values()], [*omissions]
    lost = [
        Omission(listing=listing, item=name, reason=_AGAIN) for name in once if name in ambiguous
    ]
    kept = [item for name, item in once.items() if name not in ambiguous]
    return kept, [*dict.fromkeys((*omissions, *lost))]


def is_usable(name: str) -> bool:
    """Say whether a name can be stored, shown and put into a header line."""
    return 0 < len(name) <= LONGEST_NAME and name.isprintable()


def bounded(omissions: Iterable[Omission]) -> tuple[Omission, ...]:
    """Return each omission once, and no more than anybody would read."""
    once = tuple(dict.fromkeys(omissions))
    if len(once) <= _MOST_OMISSIONS:
        return once
    more = len(once) - _MOST_OMISSIONS
    rest = Omission(listing=once[-1].listing, item="", reason=f"{more} more are left out")
    return (*once[:_MOST_OMISSIONS], rest)


def _item(raw: msgspec.Raw, listing: str, member: str) -> Item:
    """Read one item.

    Raises:
        _LeftOut, StrictJSONError: If it is left out; says why.
    """
    text = bytes(raw)
    if why := illegible(text):
        raise _LeftOut(why)
    value = parse(text)
    if not isinstance(value, dict):
        raise _LeftOut("it is no object")
    name = value.get(member)
    if not isinstance(name, str) or not name:
        raise _LeftOut(f"it has no {member}")
    if member != "name":
        if len(name) > _LONGEST_URI:
            raise _LeftOut(f"its {member} is longer than {_LONGEST_URI} characters")
    elif not is_usable(name):
        raise _LeftOut(
            f"its name is longer than {LONGEST_NAME} characters, or holds one that is not printable"
        )
    if listing == "tools" and disguised(value, PINNED_MEMBERS):
        raise _LeftOut("a member is spelled like one of MCP's but for its capitals")
    if why := misshape(value, listing):
        raise _LeftOut(why)
    return Item(raw, value, name)


def _name_of(raw: msgspec.Raw, member: str) -> str:
    """Return the name of an item that is left out, or "" if it has none that can be shown."""
    try:
        name = _TEXT.decode(_MEMBERS.decode(raw)[member])
    except (KeyError, *_UNREADABLE):
        return ""
    if not name.isprintable():
        return ""
    longest = LONGEST_NAME if member == "name" else _LONGEST_URI
    return name if len(name) <= longest else name[:_LONGEST_SHOWN]


def _ordinal(number: int) -> str:
    return "th" if number // 10 % 10 == 1 else _ORDINALS.get(number % 10, "th")
