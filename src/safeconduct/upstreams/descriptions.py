"""A server as an admin describes it, and what that makes of the tools it turns out to have.

Nobody has talked to it yet: this is what the configuration says, kept beside what was read.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import select
from sqlalchemy.engine import Row

from safeconduct.core.binding import Binding, UriBinding
from safeconduct.core.model import HostId, Level, ServerKey, Value
from safeconduct.storage import Read
from safeconduct.upstreams.classify import Classification, classify
from safeconduct.upstreams.definitions import header_params
from safeconduct.upstreams.http_tools import HttpApi
from safeconduct.upstreams.tables import servers

BY_AN_ADMIN = "an admin set it"
Strictness = Literal["refuse", "note", "off"]


class Override(Value, frozen=True):
    """What an admin says about a tool, whatever its name says."""

    level: Level | None = None
    enabled: bool = True
    bindings: tuple[Binding, ...] = ()


class Wanted(Value, frozen=True):
    """A server as an admin describes it, before anybody has talked to it.

    Attributes:
        tools: Names to import, or None for all.
        overrides: Levels, switches and bindings by tool name.
        resources: What the URIs of its resources name.
        http: What a plain HTTP API at the URL offers; None for an MCP server.
        arguments: What becomes of arguments that do not fit a tool's schema: `refuse`, `note` or
            `off`; None for `refuse` where a binding or rule reads them, and `note` elsewhere.
        results: The same for structured results; None for `note`.
    """

    key: ServerKey
    name: str
    url: str
    description: str = ""
    tools: tuple[str, ...] | None = None
    overrides: dict[str, Override] = {}
    resources: tuple[UriBinding, ...] = ()
    http: HttpApi | None = None
    arguments: Strictness | None = None
    results: Strictness | None = None


async def row_of(tx: Read, host: HostId, key: ServerKey) -> Row[Any] | None:
    return await tx.one_or_none(select(servers).where(servers.c.host == host, servers.c.key == key))


def wanted_of_row(row: Row[Any]) -> Wanted:
    """Return what an admin wrote about a server."""
    return Wanted(
        key=ServerKey(row.key),
        name=row.name,
        url=row.url,
        description=row.description,
        tools=None if row.wanted is None else tuple(row.wanted),
        overrides=overrides_of(row),
        resources=msgspec.convert(row.resources, tuple[UriBinding, ...]),
        http=msgspec.convert(row.http, HttpApi | None),
        arguments=msgspec.convert(row.arguments, Strictness | None),
        results=msgspec.convert(row.results, Strictness | None),
    )


def overrides_of(row: Row[Any]) -> dict[str, Override]:
    """Return what an admin says about single tools."""
    return msgspec.convert(row.overrides, dict[str, Override])


def judgement_of(
    server: Wanted, name: str, definition: dict[str, Any], before: Row[Any] | None = None
) -> dict[str, Any]:
    """Return the columns that say what may be done with a tool of this definition.

    Args:
        before: The tool as it is stored, where its definition stays: then a level that words
            alone would lower stays as well, until somebody has looked at it.
    """
    said = server.overrides.get(name, Override())
    if said.level is not None:
        judged = Classification(level=said.level, because=BY_AN_ADMIN)
    else:
        judged = guess_of(name, definition, is_http=server.http is not None)
        if before is not None and before.because != BY_AN_ADMIN and before.level > judged.level:
            judged = Classification(level=Level(before.level), because=before.because)
    imported = server.tools is None or name in server.tools
    # An API does not say itself that a tool has gone.
    there = server.http is None or name in server.http.tools
    return {
        "level": int(judged.level),
        "because": judged.because,
        "enabled": said.enabled and imported and there and not ill_formed(definition),
    }


def guess_of(name: str, definition: dict[str, Any], *, is_http: bool) -> Classification:
    """Return the level that a tool's name and annotations speak for."""
    annotations = definition.get("annotations")
    claimed = annotations if isinstance(annotations, dict) else {}
    if is_http:  # declared here: the method says all there is to say, and DELETE says so itself
        claimed = {"destructiveHint": False, **claimed}
    return classify(name, claimed)


def ill_formed(definition: dict[str, Any]) -> str:
    """Return why a definition cannot be offered, or ""."""
    try:
        header_params(definition)
    except ValueError as error:
        return str(error)
    return ""
