"""Reads a server's list to its last page, and keeps what could be read of it.

A cursor that was given before ends the list, and so does a page that cannot be read after one
that could: what was read stays, and somebody is told that it may not be all. A list that goes on
under ever new cursors is no list, and nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from safeconduct.core.errors import Code, GatewayError
from safeconduct.upstreams.items import Item, NoList, Omission, items_of, unambiguous

_MAX_PAGES = 200
_MAX_ITEMS = 10_000
_MAX_BYTES = 32 * 1024 * 1024
_PERHAPS = ", so the list may be incomplete"
# Returns the members of a page's result, each as it is spelled, for the request's parameters.
AskPage = Callable[[dict[str, Any]], Awaitable[dict[str, msgspec.Raw]]]


class CrawlFailed(GatewayError):
    """The upstream could not be read. The sentence is for operators and people choosing.

    Attributes:
        fix: What to do about it, where that is known; "" where nothing answers as it should.
        passing: Whether it may be over the next time, as far as its answer tells.
    """

    code = Code.UPSTREAM_FAILED

    def __init__(self, public: str, *, fix: str = "", passing: bool = False) -> None:
        super().__init__(public)
        self.fix = fix
        self.passing = passing


class Listed(NamedTuple):
    """A list as far as it could be read, and what was left out of it."""

    items: list[dict[str, Any]]
    omissions: list[Omission]


class _Page(NamedTuple):
    items: list[Item]
    omissions: list[Omission]
    cursor: str | None
    ends_badly: bool


async def read_list(ask: AskPage, listing: str, name: str = "name") -> Listed:
    """Read all pages of a list.

    Args:
        ask: Asks for one page.
        listing: The member that holds the items, such as `tools`.
        name: The member of an item that names it.

    Raises:
        CrawlFailed: If its first page cannot be read, or it does not end.
    """
    found = _Found(listing)
    given: set[str] = set()
    params: dict[str, Any] = {}
    for number in range(1, _MAX_PAGES + 1):
        try:
            page = _page(await ask(params), listing, name)
        except CrawlFailed as error:
            if number == 1:
                raise
            return found.cut(f"its page {number} cannot be read ({error.public})")
        found.add(page)
        if page.ends_badly:
            return found.cut(f"the cursor after its page {number} is no text")
        if page.cursor is None:
            return found.listed()
        if page.cursor in given:
            return found.cut(f"the cursor after its page {number} was given before")
        if found.count > _MAX_ITEMS or found.size > _MAX_BYTES:
            break
        given.add(page.cursor)
        params = {"cursor": page.cursor}
    raise CrawlFailed(f"its list of {listing} does not end")


class _Found:
    """What was read so far; a server that gives a page twice has its items once.

    A name is judged over all pages: one that stands for something else on each is ambiguous.
    """

    def __init__(self, listing: str) -> None:
        self._listing = listing
        self._items: dict[bytes, Item] = {}
        self._omissions: dict[Omission, None] = {}
        self.count = 0
        self.size = 0

    def add(self, page: _Page) -> None:
        for item in page.items:
            raw = bytes(item.raw)
            self._items[raw] = item
            self.size += len(raw)
        self._omissions |= dict.fromkeys(page.omissions)
        self.count += len(page.items) + len(page.omissions)

    def listed(self) -> Listed:
        items, omissions = unambiguous(self._items.values(), self._omissions, self._listing)
        return Listed([item.value for item in items], omissions)

    def cut(self, why: str) -> Listed:
        note = Omission(listing=self._listing, item="", reason=f"{why}{_PERHAPS}")
        self._omissions[note] = None
        return self.listed()


def _page(result: dict[str, msgspec.Raw], listing: str, name: str) -> _Page:
    try:
        items, omissions = items_of(result.get(listing, b"null"), listing, name)
    except NoList as error:
        raise CrawlFailed(f"its list of {listing} is no list of {listing}") from error
    try:
        cursor = msgspec.json.decode(result.get("nextCursor", b"null"), type=str | None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Page(items, omissions, None, ends_badly=True)
    return _Page(items, omissions, cursor, ends_badly=False)
