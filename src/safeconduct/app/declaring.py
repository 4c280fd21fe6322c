"""The tools of plain HTTP APIs, as a configuration declares them: by hand, by a document, by both.

Read once, when a configuration is planned or applied, and stored; no node needs the document
afterwards, and nobody asks the API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import ServerKey
from safeconduct.settings import (
    HostSettings,
    HttpSettings,
    HttpToolSettings,
    SettingsError,
    UpstreamSettings,
    read_document,
)
from safeconduct.upstreams import BadOperation, HttpApi, HttpTool, Operation, declare, operations

Declared = dict[ServerKey, HttpApi]


async def declared(said: HostSettings) -> Declared:
    """Return what the plain HTTP APIs of a host offer.

    Raises:
        Refused: If a document cannot be used.
    """
    return {
        ServerKey(each.key): await asyncio.to_thread(_api, said.key, each, each.http)
        for each in said.servers
        if each.http is not None
    }


def _api(host: str, server: UpstreamSettings, http: HttpSettings) -> HttpApi:
    tools = {tool.name: tool for tool in map(_by_hand, http.tools)}
    try:
        found = [] if http.openapi is None else operations(read_document(http.openapi))
        _check_names(server, {*tools, *(each.name for each in found)})
        for tool in _imported(found, server, http, by_hand=frozenset(tools)):
            tools[tool.name] = tool
    except SettingsError as error:
        raise _unusable(host, server, str(error)) from error
    except BadOperation as error:
        name = "" if http.openapi is None else f"{http.openapi.name}: "
        raise _unusable(host, server, f"{name}{error}") from error
    return HttpApi(tools=tools)


def _check_names(server: UpstreamSettings, declared: set[str]) -> None:
    """Refuse a name that nothing has: what was meant would go without its level or binding."""
    named = {"import": () if server.imports == "all" else server.imports, "tools": server.tools}
    for member, names in named.items():
        missing = sorted({*names} - declared)
        if missing:
            raise BadOperation(f"{member} names {missing[0]!r}, which nothing declares")


def _by_hand(said: HttpToolSettings) -> HttpTool:
    request, schema = said.declared()
    return declare(said.name, request, schema, title=said.title, about=said.description)


def _imported(
    found: list[Operation],
    server: UpstreamSettings,
    http: HttpSettings,
    *,
    by_hand: frozenset[str],
) -> Iterator[HttpTool]:
    """Read the operations that are imported; what is switched off need not be readable."""
    for operation in found:
        if server.imports != "all" and operation.name not in server.imports:
            continue
        if operation.name in by_hand:
            raise BadOperation(f"it has {operation.name!r}, which is declared by hand too")
        tool = _readable(operation, server, sent=frozenset(map(str.lower, http.headers)))
        if tool is not None:
            yield tool


def _readable(
    operation: Operation, server: UpstreamSettings, *, sent: frozenset[str]
) -> HttpTool | None:
    try:
        return operation.tool(sent)
    except BadOperation:
        said = server.tools.get(operation.name)
        if said is not None and not said.enabled:
            return None
        raise


def _unusable(host: str, server: UpstreamSettings, why: str) -> Refused:
    return Refused(Code.CONFLICT, f"Server {server.key} of host {host} cannot be used: {why}.")
