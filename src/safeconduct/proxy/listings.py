"""Lists as this caller may see them: each item is decided like a call of it.

A definition that differs from its pin is not shown either, and whoever watches the
catalogue is told. A list that was cut for one caller is never anybody else's to cache.
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeconduct.core.canonical import StrictJSONError, parse
from safeconduct.egress import UpstreamFailed
from safeconduct.proxy.messages import ENVELOPE, METHODS, MODERN, Era, Listing, disguised
from safeconduct.proxy.results import UNREADABLE, members
from safeconduct.upstreams import PINNED_MEMBERS, Server, pin

_LISTINGS = tuple(row.listing for row in METHODS.values() if row.listing is not None)


def names(raw: bytes, listing: Listing) -> list[str]:
    """Return the names of the items in a list answer, in order; none for an error.

    Raises:
        UpstreamFailed: If the answer is not a list of the kind that was asked for, or could
            be read as another one.
    """
    whole = members(raw)
    if "result" not in whole:
        return []
    result = members(whole["result"])
    if disguised(whole, ENVELOPE) or disguised(result, frozenset({listing.member})):
        raise UpstreamFailed("The server's list can be read in two ways.", sent=True)
    return [name for _, _, name in _items(result, listing)]


def held_in(raw: bytes) -> Listing | None:
    """Return which list an answer holds, for answers to requests nobody here remembers."""
    whole = members(raw)
    result = members(whole["result"]) if "result" in whole else {}
    return next((row for row in _LISTINGS if row.member in result), None)


def narrowed(
    raw: bytes, listing: Listing, *, era: Era, server: Server, visible: list[bool]
) -> tuple[bytes, bool]:
    """Return a list answer with only what may be shown, and whether a tool has changed.

    Args:
        raw: The server's whole answer.
        visible: For each item, in order, whether the caller may see it.
    """
    whole = members(raw)
    if "result" not in whole:
        return raw, False
    result: dict[str, Any] = members(whole["result"])
    items = _items(result, listing)
    pinned = [_as_reviewed(listing, value, name, server) for _, value, name in items]
    result[listing.member] = [
        item
        for (item, _, _), reviewed, may in zip(items, pinned, visible, strict=True)
        if reviewed and may
    ]
    if era == MODERN:
        result["cacheScope"] = "private"
    return msgspec.json.encode({**whole, "result": result}), not all(pinned)


def _items(
    result: dict[str, Any], listing: Listing
) -> list[tuple[msgspec.Raw, dict[str, Any], str]]:
    try:
        items = msgspec.json.decode(result[listing.member], type=list[msgspec.Raw])
        values = [parse(bytes(item)) for item in items]
        return [
            (item, value, str(value[listing.name]))
            for item, value in zip(items, values, strict=True)
        ]
    except (KeyError, TypeError, *UNREADABLE, StrictJSONError) as error:
        raise UpstreamFailed("The server's list is not a list.", sent=True) from error


def _as_reviewed(listing: Listing, value: dict[str, Any], name: str, server: Server) -> bool:
    if listing.kind != "tool":
        return True
    tool = server.tools.get(name)
    return tool is not None and not disguised(value, PINNED_MEMBERS) and pin(value) in tool.pins
