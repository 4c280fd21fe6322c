"""Shows servers, and reads them again. What waits for review is in `reviewing`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from safeconduct.app import Imported, Importer, public_url
from safeconduct.audit import Event
from safeconduct.cli.failures import OURS, Failed
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import Desk, at_desk, run
from safeconduct.core.model import ServerKey
from safeconduct.settings import suggestion
from safeconduct.upstreams import PINNED, Server, Tool, server_keys


def list_servers(asked: Asked) -> None:
    """Print the servers."""
    asked.out.rows(
        run(lambda: _listed(asked)),
        *("key", "name", "url", "eras", "tools", "for_review", "problem", "left_out"),
        nothing="This host has no servers.",
    )


def show(asked: Asked, server: str) -> None:
    """Print the tools of one server."""
    rows = run(lambda: _tools(asked, server))
    asked.out.rows(
        rows,
        *("name", "level", "because", "enabled", "state", "problem", "waits"),
        nothing="No tools are known. Read the server: safeconduct servers check",
    )


def check(asked: Asked, server: str | None) -> int:
    """Read one server or all of them; returns the exit code."""
    with asked.out.progress("Reading servers") as told:
        found = run(lambda: _checked(asked, server, told))
    if asked.as_json:
        asked.out.value(msgspec.to_builtins(found))
    for imported in found if not asked.as_json else ():
        asked.out.line(str(imported))
    return OURS if any(imported.problem is not None for imported in found) else 0


async def _listed(asked: Asked) -> list[dict[str, Any]]:
    async with at_desk(asked) as desk:
        return [_row(each) for each in await desk.parts.catalogue.every(desk.host.key)]


async def _tools(asked: Asked, key: str) -> list[dict[str, Any]]:
    async with at_desk(asked) as desk:
        server = await _found(desk, key)
        known = [
            {
                "name": tool.name,
                "title": tool.title,
                "description": tool.description,
                "level": tool.level.word,
                "because": tool.because,
                "enabled": tool.enabled,
                "state": tool.state,
                "problem": tool.problem,
                "waits": _waits(tool),
            }
            for tool in server.tools.values()
        ]
        return [*known, *_left_out(server)]


def _waits(tool: Tool) -> str:
    if tool.lower is None:
        return ""
    return f"could be {tool.lower.level.word}, {tool.lower.because}: servers accept lets it"


def _left_out(server: Server) -> Iterator[dict[str, Any]]:
    """Show what of a server's lists was not taken over; a known tool says so itself."""
    for each in server.omissions:
        if each.item not in server.tools:
            yield {
                "name": each.item,
                "title": "",
                "description": "",
                "level": None,
                "because": None,
                "enabled": False,
                "state": "left out",
                "problem": f"{each.listing}: {each.reason}",
                "waits": "",
            }


async def _checked(asked: Asked, key: str | None, told: Any) -> list[Imported]:
    async with at_desk(asked) as desk:
        parts, host = desk.parts, desk.host.key
        servers = await parts.catalogue.every(host) if key is None else [await _found(desk, key)]
        importer = Importer.of(parts)
        found = []
        for server in servers:
            told(server.key)
            parts.trail.append(
                Event(kind="server.checked", host=host, server=server.key, detail={"by": desk.by})
            )
            imported = await importer.read(host, server.key)
            if imported is not None:
                found.append(imported)
        return found


async def _found(desk: Desk, key: str) -> Server:
    server = await desk.parts.catalogue.get(desk.host.key, ServerKey(key))
    if server is None:
        raise await no_server(desk, key)
    return server


def _row(server: Server) -> dict[str, Any]:
    return {
        "key": server.key,
        "name": server.name,
        "url": public_url(server.url),
        "description": server.description,
        "eras": list(server.eras),
        "tools": sum(tool.offered for tool in server.tools.values()),
        "for_review": sorted(tool.name for tool in server.tools.values() if tool.state != PINNED),
        "problem": server.problem,
        "left_out": list(map(str, server.omissions)),
    }


async def no_server(desk: Desk, key: str) -> Failed:
    """Say that a host has no server of a key, and which one may be meant."""
    async with desk.parts.database.read() as tx:
        near = suggestion(key, await server_keys(tx, desk.host.key))
    return Failed(f"Host {desk.host.key} has no server {key}{near}. See: safeconduct servers list")
