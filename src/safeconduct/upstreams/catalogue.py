"""Servers of a host and what they offer: imported, classified, pinned, enabled.

Only what was imported can be called. A definition that differs from its pin waits in
quarantine (`changed`, or `new` when it appeared later) until an operator accepts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Row

from safeconduct.core.binding import Binding, UriBinding
from safeconduct.core.model import HostId, Level, ServerKey, Value
from safeconduct.storage import Change, Database, Feed, Read, View, Write
from safeconduct.upstreams.classify import Classification
from safeconduct.upstreams.definitions import HeaderParam, header_params
from safeconduct.upstreams.descriptions import (
    BY_AN_ADMIN,
    Override,
    Strictness,
    Wanted,
    guess_of,
    ill_formed,
    judgement_of,
    overrides_of,
    row_of,
    wanted_of_row,
)
from safeconduct.upstreams.http_tools import HttpTool, kept
from safeconduct.upstreams.items import Omission
from safeconduct.upstreams.tables import (
    CHANGED,
    INSTRUCTIONS,
    NEW,
    PINNED,
    PROMPT,
    TEMPLATE,
    TOOL,
    UNKNOWN,
    Place,
    offers,
    servers,
    tools,
)
from safeconduct.upstreams.templates import fits
from safeconduct.upstreams.tool_schemas import ToolSchemas, schemas_by_era


class Offer(Value, frozen=True):
    """Something of a server that is pinned and is no tool: a prompt, a template, instructions.

    Attributes:
        state: `pinned`, or `changed` or `new` while it waits for review.
        pins: Hashes of what was reviewed, one for each spelling its server uses.
        waiting: Those of what waits.
        witnessed: Whether the road saw what waits, so that only an operator ends the wait.
    """

    name: str
    state: str
    pins: tuple[str, ...]
    waiting: tuple[str, ...] = ()
    witnessed: bool = False


class Tool(Value, frozen=True):
    """One tool as it was reviewed.

    Attributes:
        because: Why it has its level, as a clause: "of the word “delete”".
        state: `pinned`, or `changed` or `new` while it waits for review.
        pins: Hashes of the accepted definition, one for each spelling its server uses.
        header_params: Arguments that must agree with `Mcp-Param-*` headers.
        bindings: What its arguments name, and the permission needed on it.
        http: For a tool of a plain HTTP API, what it is there.
        schemas: Those it was reviewed with, by era; under "" for any other.
        waiting: Hashes of what waits for review.
        witnessed: Whether the road saw what waits, so that only an operator ends the wait.
        problem: Why it cannot be offered whatever an admin says, or "".
        lower: A lower level that its words speak for and that waits for an operator's word.
    """

    name: str
    title: str
    description: str
    level: Level
    because: str
    enabled: bool
    state: str
    pins: tuple[str, ...]
    header_params: tuple[HeaderParam, ...] = ()
    bindings: tuple[Binding, ...] = ()
    http: HttpTool | None = None
    schemas: dict[str, ToolSchemas] = {}
    waiting: tuple[str, ...] = ()
    witnessed: bool = False
    problem: str = ""
    lower: Classification | None = None

    @property
    def offered(self) -> bool:
        return self.enabled and self.state == PINNED


class Server(Value, frozen=True):
    """One upstream server. `eras` holds `legacy`, `modern` or both.

    Attributes:
        resources: What the URIs of its resources name.
        arguments: What becomes of arguments that do not fit, see `Wanted`.
        results: The same for structured results.
        api: For a plain HTTP API the sealed values of the headers it wants; None for a server
            that speaks MCP itself.
        imports: Names of the tools an admin wants of it, or None for all.
        kinds: What was read of it at least once: from then on, new things of the kind wait.
        prompts: Its prompts by name.
        templates: Its resource templates, by the URI with its variables.
        unsettled: Those of them that wait for review.
        instructions: What it tells models of itself, once it was seen to say something.
        omissions: What of its lists was not taken over when it was last read.
    """

    host: HostId
    key: ServerKey
    name: str
    url: str
    description: str
    eras: tuple[str, ...]
    tools: dict[str, Tool]
    resources: tuple[UriBinding, ...] = ()
    api: dict[str, str] | None = None
    arguments: Strictness | None = None
    results: Strictness | None = None
    problem: str | None = None
    imports: tuple[str, ...] | None = None
    kinds: tuple[str, ...] = ()
    prompts: dict[str, Offer] = {}
    templates: dict[str, Offer] = {}
    unsettled: tuple[Offer, ...] = ()
    instructions: Offer | None = None
    omissions: tuple[Omission, ...] = ()

    def offer(self, kind: str, name: str) -> Tool | Offer | None:
        """Return what is known of something that is pinned."""
        match kind:
            case "tool":
                return self.tools.get(name)
            case "prompt":
                return self.prompts.get(name)
            case "template":
                return self.templates.get(name)
            case _:
                return self.instructions

    def offers_as(self, before: Server, kind: str, name: str) -> bool:
        """Say whether something is still what it was when somebody asked for it.

        What was changed and accepted meanwhile is not: the question was about the other.
        """
        was, found = before.offer(kind, name), self.offer(kind, name)
        if was is None or found is None:
            return was is found
        return found.state == PINNED and set(was.pins) == set(found.pins)

    def review_state(self, kind: str, name: str) -> str:
        """Say whether a prompt, a template or a resource may be used, as far as that is reviewed.

        A server that lists prompts has no others, however alike their names. A resource is pinned
        by its template alone; a list of resources is nobody's to review.
        """
        if kind == PROMPT:
            prompt = self.prompts.get(name)
            if prompt is None:
                return UNKNOWN if self.prompts else PINNED
            return prompt.state
        return self._state_of_resource(name) if kind == "resource" and self.unsettled else PINNED

    def _state_of_resource(self, name: str) -> str:
        states = {
            template.state
            for template in self.unsettled
            if template.name == name or fits(template.name, name)
        }
        if CHANGED in states:
            return CHANGED
        if NEW not in states or (name not in self.templates and self._is_reviewed(name)):
            return PINNED
        return NEW

    def _is_reviewed(self, uri: str) -> bool:
        """Say whether a URI is of a template that was reviewed, whichever new one it fits too."""
        return any(
            each.state == PINNED and fits(each.name, uri) for each in self.templates.values()
        )


class Catalogue:
    """Servers with their tools, kept in memory."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._database = database
        self._view: View[tuple[str, str], Server] = View(
            database, feed, kind="server", load=_load, keys=_key
        )
        self._watchers: dict[tuple[str, str], set[Callable[[], None]]] = {}
        feed.follow(self._on_change)  # after the view, which has dropped it by then

    def held(self, host: HostId, key: ServerKey) -> Server | None:
        return self._view.held((host, key))

    async def get(self, host: HostId, key: ServerKey) -> Server | None:
        return await self._view.get((host, key))

    @contextmanager
    def watching(self, host: HostId, key: ServerKey, ring: Callable[[], None]) -> Iterator[None]:
        """Call `ring` for every change of a server meanwhile; it must not wait or raise."""
        watchers = self._watchers.setdefault((host, key), set())
        watchers.add(ring)
        try:
            yield
        finally:
            watchers.discard(ring)
            if not watchers:
                self._watchers.pop((host, key), None)

    def _on_change(self, change: Change) -> None:
        if change.kind == "server":
            for ring in tuple(self._watchers.get(_key(change), ())):
                ring()

    async def every(self, host: HostId) -> list[Server]:
        """Return the servers of a host by key."""
        async with self._database.read() as tx:
            keys = await server_keys(tx, host)
        found = [await self._view.get((host, key)) for key in keys]
        return [server for server in found if server is not None]


async def server_keys(tx: Read, host: HostId) -> list[ServerKey]:
    statement = select(servers.c.key).where(servers.c.host == host).order_by(servers.c.key)
    return [ServerKey(row.key) for row in await tx.all(statement)]


async def every_server(tx: Read) -> list[tuple[HostId, ServerKey]]:
    """Return the servers of all hosts that speak MCP themselves."""
    statement = select(servers.c.host, servers.c.key, servers.c.http)
    return [
        (HostId(row.host), ServerKey(row.key))
        for row in await tx.all(statement.order_by(servers.c.host, servers.c.key))
        if row.http is None
    ]


async def unreadable_servers(tx: Read) -> dict[str, str]:
    """Return why servers could not be read when last asked, by host and key."""
    statement = select(servers.c.host, servers.c.key, servers.c.problem)
    rows = await tx.all(statement.where(servers.c.problem.is_not(None)))
    return {f"{row.host}/{row.key}": row.problem for row in rows}


async def wanted(tx: Read, host: HostId, key: ServerKey) -> Wanted | None:
    """Return what an admin wrote about a server."""
    row = await row_of(tx, host, key)
    return None if row is None else wanted_of_row(row)


async def save(tx: Write, host: HostId, server: Wanted) -> None:
    """Create or change a server; levels and switches of known tools follow at once."""
    row = {
        "name": server.name,
        "url": server.url,
        "description": server.description,
        "wanted": None if server.tools is None else list(server.tools),
        "overrides": msgspec.to_builtins(server.overrides),
        "resources": msgspec.to_builtins(server.resources),
        "http": msgspec.to_builtins(server.http),
        "arguments": server.arguments,
        "results": server.results,
    }
    mine = (servers.c.host == host, servers.c.key == server.key)
    if not await tx.execute(update(servers).where(*mine).values(**row)):
        await tx.execute(insert(servers).values(host=host, key=server.key, eras=[], **row))
    place = Place(host, server.key, TOOL)
    for stored in await tx.all(place.rows()):
        judged = judgement_of(server, stored.name, stored.definition, stored)
        await tx.execute(update(tools).where(*place.where(stored.name)).values(judged))
    tx.changed("server", host, server.key)


async def lower_level(tx: Write, host: HostId, key: ServerKey, name: str) -> bool:
    """Let a tool have the lower level that its words speak for; returns False if none waits."""
    place = Place(host, key, TOOL)
    row, about = await tx.one_or_none(place.row(name)), await row_of(tx, host, key)
    if row is None or about is None or row.because == BY_AN_ADMIN:
        return False
    guess = guess_of(name, row.definition, is_http=about.http is not None)
    if guess.level >= row.level:
        return False
    columns = {"level": int(guess.level), "because": guess.because}
    await tx.execute(update(tools).where(*place.where(name)).values(columns))
    tx.changed("server", host, key)
    return True


async def remove(tx: Write, host: HostId, key: ServerKey) -> None:
    """Forget a server and what it offers."""
    await tx.execute(delete(tools).where(tools.c.host == host, tools.c.server == key))
    await tx.execute(delete(offers).where(offers.c.host == host, offers.c.server == key))
    await tx.execute(delete(servers).where(servers.c.host == host, servers.c.key == key))
    tx.changed("server", host, key)


async def unreachable(
    tx: Write, host: HostId, key: ServerKey, *, problem: str, at: datetime
) -> bool:
    """Note why a server could not be read; what was imported before stays.

    Returns:
        Whether that is news.
    """
    mine = (servers.c.host == host, servers.c.key == key)
    row = await row_of(tx, host, key)
    await tx.execute(update(servers).where(*mine).values(problem=problem, checked_at=at))
    is_news = row is not None and row.problem != problem
    if is_news:
        tx.changed("server", host, key)
    return is_news


async def _load(tx: Read, key: tuple[str, str]) -> Server | None:
    host, server = HostId(key[0]), ServerKey(key[1])
    row = await row_of(tx, host, server)
    if row is None:
        return None
    overrides = overrides_of(row)
    api = None if row.http is None else row.http["credentials"]
    found = await tx.all(Place(host, server, TOOL).rows())
    omissions = msgspec.convert(row.omissions or [], tuple[Omission, ...])
    lost = {each.item: each.reason for each in omissions if each.listing == "tools"}
    known = [
        _tool(each, overrides, is_http=api is not None, problem=lost.get(each.name, ""))
        for each in found
    ]
    others = await _offers(tx, host, server)
    templates = others.get(TEMPLATE, {})
    return Server(
        host=host,
        key=server,
        name=row.name,
        url=row.url,
        description=row.description,
        eras=tuple(row.eras),
        tools={tool.name: tool for tool in known},
        resources=msgspec.convert(row.resources, tuple[UriBinding, ...]),
        api=api,
        arguments=msgspec.convert(row.arguments, Strictness | None),
        results=msgspec.convert(row.results, Strictness | None),
        problem=row.problem,
        imports=None if row.wanted is None else tuple(row.wanted),
        kinds=tuple(row.kinds or ()),
        prompts=others.get(PROMPT, {}),
        templates=templates,
        unsettled=tuple(each for each in templates.values() if each.state != PINNED),
        instructions=others.get(INSTRUCTIONS, {}).get(""),
        omissions=omissions,
    )


async def _offers(tx: Read, host: HostId, server: ServerKey) -> dict[str, dict[str, Offer]]:
    found: dict[str, dict[str, Offer]] = {}
    statement = select(offers).where(offers.c.host == host, offers.c.server == server)
    for row in await tx.all(statement):
        found.setdefault(row.kind, {})[row.name] = Offer(
            name=row.name,
            state=row.state,
            pins=tuple(row.pins),
            waiting=_waiting(row),
            witnessed=row.witnessed is not None,
        )
    return found


def _waiting(row: Row[Any]) -> tuple[str, ...]:
    if row.seen_pins is not None:
        return tuple(row.seen_pins)
    return tuple(row.pins) if row.state == NEW else ()


def _tool(
    row: Row[Any], overrides: dict[str, Override], *, is_http: bool, problem: str = ""
) -> Tool:
    definition, said = row.definition, overrides.get(row.name)
    problem = problem or ill_formed(definition)
    stored = Classification(level=Level(row.level), because=row.because)
    guess = guess_of(row.name, definition, is_http=is_http)
    if row.because == BY_AN_ADMIN:
        guess = stored
    # What words speak for now may be more than what was stored, and counts at once; less waits.
    judged = max(stored, guess, key=lambda each: each.level)
    return Tool(
        name=row.name,
        title=str(definition.get("title") or ""),
        description=str(definition.get("description") or ""),
        level=judged.level,
        because=judged.because,
        lower=guess if guess.level < judged.level else None,
        enabled=row.enabled and not problem,
        state=row.state,
        pins=tuple(row.pins),
        header_params=() if problem else header_params(definition),
        bindings=() if said is None else said.bindings,
        http=kept(definition) if is_http else None,
        schemas=schemas_by_era(row.spellings or [definition], row.pins, row.spoken),
        waiting=_waiting(row),
        witnessed=row.witnessed is not None,
        problem=problem,
    )


def _key(change: Change) -> tuple[str, str]:
    return change.host, change.key
