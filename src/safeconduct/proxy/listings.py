"""Lists as this caller may see them: each item is decided like a call of it.

A definition that differs from its pin is not shown either, and is named, so that it is kept and
its calls end. An item that cannot be read is left out alone, by the rule of the import, and so is
what cannot be read beside the items. A list that was cut for one caller is never anybody else's
to cache.
"""

from __future__ import annotations

import functools
import logging
from collections import OrderedDict
from typing import Any, NamedTuple

import msgspec

from safeconduct.core.canonical import StrictJSONError, disguised, parse
from safeconduct.egress import UpstreamFailed
from safeconduct.proxy.messages import ENVELOPE, METHODS, MODERN, Era, Listing
from safeconduct.proxy.results import members
from safeconduct.proxy.server_info import introduced
from safeconduct.upstreams import (
    Item,
    NoList,
    Omission,
    Server,
    Sighting,
    illegible,
    is_pinned,
    items_of,
    named,
    pin,
    unreadable,
)

_LISTINGS = tuple(row.listing for row in METHODS.values() if row.listing is not None)
_JUDGED = frozenset({"instructions", *(row.member for row in _LISTINGS)})
_TWO_WAYS = "The server's list can be read in two ways."
_MOST_REMEMBERED = 1_000
_MOST_REMEMBERED_BYTES = 4 * 1024 * 1024  # of lists as they are spelled; read, some five times
# What the schema of the protocol allows beside a list; clients that hold to it refuse the rest.
_BESIDE: dict[str, tuple[type, str]] = {
    "nextCursor": (str, "text"),
    "_meta": (dict, "object"),
}
_READ_ALREADY = frozenset({"result", "id", "jsonrpc"})  # by whoever saw that it is an answer
_SHORT = 64
_log = logging.getLogger(__name__)


class Page(NamedTuple):
    """A list answer, read.

    Attributes:
        whole: The members of the answer as they are spelled, `result` those of its result.
        pins: Of each item, in order; none where the list is not pinned.
        omissions: What is left out of it.
    """

    whole: dict[str, Any]
    result: dict[str, Any]
    items: list[Item]
    pins: list[str]
    omissions: list[Omission]


class Pages:
    """Reads list answers, each list once for as long as its bytes come again."""

    def __init__(self) -> None:
        self._read: OrderedDict[tuple[str, bytes], _Read] = OrderedDict()
        self._bytes = 0

    def page_of(self, raw: bytes, listing: Listing) -> Page | None:
        """Read a list answer; None for an error.

        Raises:
            UpstreamFailed: If the answer is not a list of the kind that was asked for, or could
                be read as another one; or is an error that is no JSON.
        """
        whole = members(raw)
        if disguised(whole, ENVELOPE):
            raise UpstreamFailed(_TWO_WAYS, sent=True)
        if "result" not in whole:
            if illegible(raw) or not _is_utf8(raw):
                raise UpstreamFailed("The server's answer is not JSON-RPC.", sent=True)
            return None
        result = members(whole["result"])
        if disguised(result, frozenset({listing.member, "_meta"})):
            raise UpstreamFailed(_TWO_WAYS, sent=True)
        spelled = bytes(result.get(listing.member, b"null"))
        read = self._read.get((listing.member, spelled))
        if read is None:
            read = _read(spelled, listing)
            self._keep((listing.member, spelled), read)
        lost = _without_flawed(whole, _READ_ALREADY, listing)
        lost += _without_flawed(result, frozenset({listing.member}), listing)
        omissions = [*read.omissions, *lost] if lost else read.omissions
        return Page(whole, result, read.items, read.pins, omissions)

    def _keep(self, key: tuple[str, bytes], read: _Read) -> None:
        size = len(key[1])
        if size > _MOST_REMEMBERED_BYTES // 4:
            return
        self._read[key] = read
        self._bytes += size
        while self._bytes > _MOST_REMEMBERED_BYTES:
            (_, oldest), _ = self._read.popitem(last=False)
            self._bytes -= len(oldest)


class _Read(NamedTuple):
    """What the bytes of a list say, whoever sent them."""

    items: list[Item]
    pins: list[str]
    omissions: list[Omission]


def _read(spelled: bytes, listing: Listing) -> _Read:
    try:
        items, omissions = items_of(spelled, listing.member, listing.name)
    except NoList as error:
        raise UpstreamFailed("The server's list is not a list.", sent=True) from error
    return _Read(items, [pin(item.value) for item in items if listing.pinned_as], omissions)


def _without_flawed(
    spelled: dict[str, Any], judged: frozenset[str], listing: Listing
) -> list[Omission]:
    """Take out the members beside a list that readers may refuse, and the list with them.

    Args:
        spelled: The members as they are spelled; changed in place.
        judged: Those that are judged elsewhere.
    """
    lost = []
    for name in [name for name in spelled if name not in judged]:
        text = bytes(spelled[name])
        if flaw := (_flaw_of_short if len(text) <= _SHORT else _flaw)(name, text):
            del spelled[name]
            reason = f"its member {name[:_SHORT]!r} is left out: {flaw}"
            lost.append(Omission(listing=listing.member, item="", reason=reason))
    return lost


def _flaw(name: str, text: bytes) -> str:
    """Say what keeps a member of an answer from being passed on, or ""."""
    if why := illegible(text):
        return why
    try:
        value = parse(text)
    except StrictJSONError as error:
        return str(error)
    allowed, word = _BESIDE.get(name, (object, ""))
    return "" if value is None or isinstance(value, allowed) else f"it is no {word}"


# Servers send the same few words beside each list, so they are looked at once.
_flaw_of_short = functools.lru_cache(maxsize=1_000)(_flaw)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def held_in(raw: bytes) -> Listing | None:
    """Return which list an answer holds, for answers to requests nobody here remembers.

    Raises:
        UpstreamFailed: If it holds more than one thing that is judged, or could be read as another.
    """
    whole = members(raw)
    result = members(whole["result"]) if "result" in whole else {}
    if disguised(whole, ENVELOPE) or disguised(result, _JUDGED):
        raise UpstreamFailed(_TWO_WAYS, sent=True)
    if len(_JUDGED.intersection(result)) > 1:
        raise UpstreamFailed("The server's answer holds several lists.", sent=True)
    return next((row for row in _LISTINGS if row.member in result), None)


def narrowed(
    page: Page, listing: Listing, *, era: Era, server: Server, visible: list[bool]
) -> tuple[bytes, list[Sighting]]:
    """Return a list answer with only what may be shown, and what of it nobody reviewed.

    Args:
        page: The server's answer.
        visible: For each item, in order, whether the caller may see it.
    """
    unreviewed = (
        [_unreviewed(listing, *each, server) for each in zip(page.items, page.pins, strict=True)]
        if listing.pinned_as
        else [None] * len(page.items)
    )
    result = {**(introduced(page.result, server) if listing.pinned_as else page.result)}
    result[listing.member] = [
        item.raw
        for item, sighting, may in zip(page.items, unreviewed, visible, strict=True)
        if sighting is None and may
    ]
    if era == MODERN:
        result["cacheScope"] = "private"
    seen = [each for each in unreviewed if each is not None]
    seen += [unreadable(listing.pinned_as, each) for each in _lost(page, listing, server)]
    return msgspec.json.encode({**page.whole, "result": result}), seen


class OmissionLog:
    """Says once what is left out of a server's lists, however often they are asked for."""

    def __init__(self) -> None:
        self._remembered: set[tuple[str, str, str]] = set()

    def note(self, server: Server, omissions: list[Omission]) -> None:
        """Log what is left out, unless it was the same before."""
        left = named(omissions)
        key = (server.host, server.key, left)
        if key in self._remembered:
            return
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered.add(key)
        _log.warning("server %s of host %s: not taken over: %s", server.key, server.host, left)


def _unreviewed(listing: Listing, item: Item, made: str, server: Server) -> Sighting | None:
    """Return an item that is not as it was reviewed, None for one that is."""
    known = server.offer(listing.pinned_as, item.name)
    if known is not None and is_pinned(item.value, made, known.pins):
        return None
    return Sighting(listing.pinned_as, item.name, item.value, made)


def _lost(page: Page, listing: Listing, server: Server) -> list[Omission]:
    """Return what was reviewed and came in a form in which it cannot be shown."""
    if not listing.pinned_as:
        return []
    return [each for each in page.omissions if server.offer(listing.pinned_as, each.item)]
