"""Servers of a host and their tools: imported, classified, pinned, enabled.

Only what was imported can be called. A definition that differs from its pin waits in
quarantine (`changed`, or `new` when it appeared later) until an operator accepts it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Integer,
    Select,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row

from safeconduct.core.binding import Binding, UriBinding
from safeconduct.core.model import HostId, Level, ServerKey, Value
from safeconduct.storage import (
    Change,
    Database,
    Feed,
    Read,
    UtcTime,
    View,
    Write,
    host_column,
    metadata,
)
from safeconduct.upstreams.classify import classify
from safeconduct.upstreams.definitions import HeaderParam, header_params, pin
from safeconduct.upstreams.http_tools import HttpApi, HttpTool, kept

PINNED, CHANGED, NEW = "pinned", "changed", "new"
_LONGEST_NAME = 256

_servers = Table(
    "servers",
    metadata,
    host_column(),
    Column("key", String(63), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("description", Text, nullable=False),
    Column("eras", JSON, nullable=False),
    Column("wanted", JSON),
    Column("overrides", JSON, nullable=False),
    Column("resources", JSON, nullable=False),
    Column("http", JSON),
    Column("checked_at", UtcTime),
    Column("problem", Text),
)
_tools = Table(
    "tools",
    metadata,
    host_column(),
    Column("server", String(63), primary_key=True),
    Column("name", String(_LONGEST_NAME), primary_key=True),
    Column("definition", JSON, nullable=False),
    Column("pins", JSON, nullable=False),
    Column("seen", JSON),
    Column("seen_pins", JSON),
    Column("state", String(16), nullable=False),
    Column("level", Integer, nullable=False),
    Column("because", String(200), nullable=False),
    Column("enabled", Boolean, nullable=False),
)


class Override(Value, frozen=True):
    """What an admin says about a tool, whatever its name says."""

    level: Level | None = None
    enabled: bool = True
    bindings: tuple[Binding, ...] = ()


class Tool(Value, frozen=True):
    """One tool as it was reviewed.

    Attributes:
        because: Why it has its level, as a clause: "of the word “delete”".
        state: `pinned`, or `changed` or `new` while it waits for review.
        pins: Hashes of the accepted definition, one for each spelling its server uses.
        header_params: Arguments that must agree with `Mcp-Param-*` headers.
        bindings: What its arguments name, and the permission needed on it.
        http: For a tool of a plain HTTP API, what it is there.
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

    @property
    def offered(self) -> bool:
        return self.enabled and self.state == PINNED


class Server(Value, frozen=True):
    """One upstream server. `eras` holds `legacy`, `modern` or both.

    Attributes:
        resources: What the URIs of its resources name.
        api: For a plain HTTP API the sealed values of the headers it wants; None for a server
            that speaks MCP itself.
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
    problem: str | None = None


class Wanted(Value, frozen=True):
    """A server as an admin describes it, before anybody has talked to it.

    Attributes:
        tools: Names to import, or None for all.
        overrides: Levels, switches and bindings by tool name.
        resources: What the URIs of its resources name.
        http: What a plain HTTP API at the URL offers; None for an MCP server.
    """

    key: ServerKey
    name: str
    url: str
    description: str = ""
    tools: tuple[str, ...] | None = None
    overrides: dict[str, Override] = {}
    resources: tuple[UriBinding, ...] = ()
    http: HttpApi | None = None


class Catalogue:
    """Servers with their tools, kept in memory."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._database = database
        self._view: View[tuple[str, str], Server] = View(
            database, feed, kind="server", load=_load, keys=_key
        )

    def held(self, host: HostId, key: ServerKey) -> Server | None:
        return self._view.held((host, key))

    async def get(self, host: HostId, key: ServerKey) -> Server | None:
        return await self._view.get((host, key))

    async def every(self, host: HostId) -> list[Server]:
        """Return the servers of a host by key."""
        async with self._database.read() as tx:
            keys = await server_keys(tx, host)
        found = [await self._view.get((host, key)) for key in keys]
        return [server for server in found if server is not None]


async def server_keys(tx: Read, host: HostId) -> list[ServerKey]:
    statement = select(_servers.c.key).where(_servers.c.host == host).order_by(_servers.c.key)
    return [ServerKey(row.key) for row in await tx.all(statement)]


async def wanted(tx: Read, host: HostId, key: ServerKey) -> Wanted | None:
    """Return what an admin wrote about a server."""
    row = await _row(tx, host, key)
    return None if row is None else _wanted(row)


async def _row(tx: Read, host: HostId, key: ServerKey) -> Row[Any] | None:
    return await tx.one_or_none(
        select(_servers).where(_servers.c.host == host, _servers.c.key == key)
    )


def _wanted(row: Row[Any]) -> Wanted:
    return Wanted(
        key=ServerKey(row.key),
        name=row.name,
        url=row.url,
        description=row.description,
        tools=None if row.wanted is None else tuple(row.wanted),
        overrides=_overrides(row),
        resources=msgspec.convert(row.resources, tuple[UriBinding, ...]),
        http=msgspec.convert(row.http, HttpApi | None),
    )


def _overrides(row: Row[Any]) -> dict[str, Override]:
    return msgspec.convert(row.overrides, dict[str, Override])


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
    }
    mine = (_servers.c.host == host, _servers.c.key == server.key)
    if not await tx.execute(update(_servers).where(*mine).values(**row)):
        await tx.execute(insert(_servers).values(host=host, key=server.key, eras=[], **row))
    for stored in await tx.all(_tools_of(host, server.key)):
        await tx.execute(
            update(_tools)
            .where(*_is_tool(host, server.key, stored.name))
            .values(**_judged(server, stored.name, stored.definition))
        )
    tx.changed("server", host, server.key)


async def remove(tx: Write, host: HostId, key: ServerKey) -> None:
    """Forget a server and its tools."""
    await tx.execute(delete(_tools).where(_tools.c.host == host, _tools.c.server == key))
    await tx.execute(delete(_servers).where(_servers.c.host == host, _servers.c.key == key))
    tx.changed("server", host, key)


async def unreachable(
    tx: Write, host: HostId, key: ServerKey, *, problem: str, at: datetime
) -> None:
    """Note why a server could not be read; what was imported before stays."""
    await tx.execute(
        update(_servers)
        .where(_servers.c.host == host, _servers.c.key == key)
        .values(problem=problem, checked_at=at)
    )
    tx.changed("server", host, key)


async def observe(
    tx: Write,
    host: HostId,
    server: Wanted,
    *,
    eras: tuple[str, ...],
    spellings: list[list[dict[str, Any]]],
    at: datetime,
) -> list[str]:
    """Compare what a server offers now with what was reviewed.

    Reading a server takes a while. What an admin has said meanwhile counts; findings of an
    address that is no longer the server's are dropped.

    Args:
        server: As it was when the server was asked.
        eras: The eras it spoke.
        spellings: Its complete tool list, once for each era.

    Returns:
        Names that are now in quarantine and were not before.
    """
    about = await _row(tx, host, server.key)
    if about is None or about.url != server.url:
        return []
    server = _wanted(about)
    first_time = not about.eras  # it may have been unreachable before, which is no review
    stored = {row.name: row for row in await tx.all(_tools_of(host, server.key))}
    quarantined = []
    for name, definitions in _by_name(spellings).items():
        if server.tools is not None and name not in server.tools:
            continue
        pins = sorted({pin(definition) for definition in definitions})
        row = stored.get(name)
        if row is None:
            # An admin who named the tool has asked for it, whenever it appears.
            state = PINNED if first_time or server.tools is not None else NEW
            values = {"definition": definitions[0], "pins": pins, "state": state}
            await _add(tx, host, server, name, values)
            quarantined += [name] if state == NEW else []
        elif changes := _difference(row, definitions[0], pins):
            await tx.execute(
                update(_tools).where(*_is_tool(host, server.key, name)).values(changes)
            )
            quarantined += [name] if row.state == PINNED else []
    await tx.execute(
        update(_servers)
        .where(_servers.c.host == host, _servers.c.key == server.key)
        .values(eras=list(eras), checked_at=at, problem=None)
    )
    tx.changed("server", host, server.key)
    return quarantined


async def accept(tx: Write, host: HostId, key: ServerKey, name: str) -> bool:
    """Accept a quarantined definition as it was last seen; returns False if none waits."""
    row = await tx.one_or_none(select(_tools).where(*_is_tool(host, key, name)))
    if row is None or row.state == PINNED:
        return False
    about = await wanted(tx, host, key)
    if about is None:
        return False
    definition = row.seen or row.definition
    await tx.execute(
        update(_tools)
        .where(*_is_tool(host, key, name))
        .values(
            definition=definition,
            pins=row.seen_pins or row.pins,
            seen=None,
            seen_pins=None,
            state=PINNED,
            **_judged(about, name, definition),
        )
    )
    tx.changed("server", host, key)
    return True


async def _add(tx: Write, host: HostId, server: Wanted, name: str, values: dict[str, Any]) -> None:
    judged = _judged(server, name, values["definition"])
    await tx.execute(
        insert(_tools).values(host=host, server=server.key, name=name, **values, **judged)
    )


def _difference(row: Row[Any], definition: dict[str, Any], pins: list[str]) -> dict[str, Any]:
    """Return what to store: quarantine for a change, release when it is as it was reviewed."""
    if set(pins) <= set(row.pins):
        if row.seen is None:
            return {}
        state = PINNED if row.state == CHANGED else row.state
        return {"state": state, "seen": None, "seen_pins": None}
    if row.seen_pins == pins:
        return {}
    state = CHANGED if row.state == PINNED else row.state
    return {"state": state, "seen": definition, "seen_pins": pins}


def _judged(server: Wanted, name: str, definition: dict[str, Any]) -> dict[str, Any]:
    said = server.overrides.get(name, Override())
    if said.level is not None:
        level, because = said.level, "an admin set it"
    else:
        annotations = definition.get("annotations")
        guess = classify(name, annotations if isinstance(annotations, dict) else None)
        level, because = guess.level, guess.because
    imported = server.tools is None or name in server.tools
    # An API does not say itself that a tool has gone.
    there = server.http is None or name in server.http.tools
    return {
        "level": int(level),
        "because": because,
        "enabled": said.enabled and imported and there and _well_formed(definition),
    }


def _well_formed(definition: dict[str, Any]) -> bool:
    try:
        header_params(definition)
    except ValueError:
        return False
    return True


def _by_name(spellings: list[list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for tools in spellings:
        for definition in tools:
            name = definition.get("name")
            if isinstance(name, str) and _usable(name):
                found.setdefault(name, []).append(definition)
    return found


def _usable(name: str) -> bool:
    """Say whether a name can be stored, shown and put into a header line."""
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable()


def _tools_of(host: HostId, key: ServerKey) -> Select[Any]:
    return (
        select(_tools).where(_tools.c.host == host, _tools.c.server == key).order_by(_tools.c.name)
    )


def _is_tool(host: HostId, key: ServerKey, name: str) -> tuple[Any, ...]:
    return _tools.c.host == host, _tools.c.server == key, _tools.c.name == name


async def _load(tx: Read, key: tuple[str, str]) -> Server | None:
    host, server = HostId(key[0]), ServerKey(key[1])
    row = await _row(tx, host, server)
    if row is None:
        return None
    overrides = _overrides(row)
    api = None if row.http is None else row.http["credentials"]
    tools = [
        _tool(found, overrides, is_http=api is not None)
        for found in await tx.all(_tools_of(host, server))
    ]
    return Server(
        host=host,
        key=server,
        name=row.name,
        url=row.url,
        description=row.description,
        eras=tuple(row.eras),
        tools={tool.name: tool for tool in tools},
        resources=msgspec.convert(row.resources, tuple[UriBinding, ...]),
        api=api,
        problem=row.problem,
    )


def _tool(row: Row[Any], overrides: dict[str, Override], *, is_http: bool) -> Tool:
    definition, said = row.definition, overrides.get(row.name)
    return Tool(
        name=row.name,
        title=str(definition.get("title") or ""),
        description=str(definition.get("description") or ""),
        level=Level(row.level),
        because=row.because,
        enabled=row.enabled,
        state=row.state,
        pins=tuple(row.pins),
        header_params=header_params(definition) if row.enabled else (),
        bindings=() if said is None else said.bindings,
        http=kept(definition) if is_http else None,
    )


def _key(change: Change) -> tuple[str, str]:
    return change.host, change.key
