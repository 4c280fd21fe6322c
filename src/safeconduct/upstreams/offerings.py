"""Reads what a server offers, by kind: tools, and beside them prompts, templates, instructions.

Only the tools have to be readable. Another list that cannot be read is empty, and what callers
are shown of it comes up for review then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from safeconduct.upstreams.items import Omission
from safeconduct.upstreams.pages import CrawlFailed, Listed, read_list
from safeconduct.upstreams.tables import INSTRUCTIONS, PROMPT, TEMPLATE, TOOL

# By kind: the method that lists it, the member that holds it, what names an item, and the
# capability that announces it.
_LISTS = {
    TOOL: ("tools/list", "tools", "name", "tools"),
    PROMPT: ("prompts/list", "prompts", "name", "prompts"),
    TEMPLATE: ("resources/templates/list", "resourceTemplates", "uriTemplate", "resources"),
}
_NUMBER = msgspec.json.Decoder(float)
Page = dict[str, msgspec.Raw]
# Asks one method with some parameters, and returns the members of its result.
Ask = Callable[[str, dict[str, Any]], Awaitable[Page]]


class Offered(NamedTuple):
    """What a server offers in one era.

    Attributes:
        lists: Its lists by kind; instructions are a list of one.
        holds_seconds: How long its lists hold, as they say; None if none of them does.
    """

    lists: dict[str, list[dict[str, Any]]]
    omissions: list[Omission]
    holds_seconds: float | None


async def read_offered(ask: Ask, hello: dict[str, Any]) -> Offered:
    """Read everything a server offers.

    Args:
        ask: Asks the server.
        hello: What it said when it was greeted.

    Raises:
        CrawlFailed: If its tools cannot be read.
        GatewayError: If it is gone.
    """
    pages: list[Page] = []
    said = hello.get("instructions")
    lists = {INSTRUCTIONS: [] if said in (None, "") else [{"instructions": said}]}
    omissions: list[Omission] = []
    for kind in _LISTS:
        try:
            found = await _read(kind, ask, hello, pages)
        except CrawlFailed:
            if kind == TOOL:
                raise
            found = Listed([], [])
        lists[kind] = found.items
        omissions += found.omissions
    return Offered(lists, omissions, min(_holds(pages), default=None))


async def _read(kind: str, ask: Ask, hello: dict[str, Any], pages: list[Page]) -> Listed:
    method, member, name, capability = _LISTS[kind]
    announced = hello.get("capabilities")
    if isinstance(announced, dict) and announced.get(capability) is None:
        return Listed([], [])

    async def page(params: dict[str, Any]) -> Page:
        pages.append(await ask(method, params))
        return pages[-1]

    return await read_list(page, member, name)


def _holds(pages: list[Page]) -> Iterator[float]:
    for page in pages:
        try:
            milliseconds = _NUMBER.decode(page.get("ttlMs", b"null"))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if milliseconds >= 0:
            yield milliseconds / 1000
