"""Shows the tenants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from safeconduct import people, sessions
from safeconduct.app import Installation
from safeconduct.cli.work.asking import Asked, settings_of
from safeconduct.cli.work.installations import at_desk, opened, run
from safeconduct.hosts import Host
from safeconduct.upstreams import server_keys


def list_hosts(asked: Asked) -> None:
    """Print every host with its counts."""
    asked.out.rows(
        run(lambda: _listed(asked)),
        *("key", "name", "origin", "people", "servers", "sessions"),
        nothing="There is no host yet. Create what the file says: safeconduct apply",
    )


def show(asked: Asked) -> None:
    """Print one host with its policies."""
    found = run(lambda: _shown(asked))
    if asked.as_json:
        asked.out.value(found)
        return
    for line in _lines(found, ""):
        asked.out.line(line)


def _lines(members: dict[str, Any], path: str) -> Iterator[str]:
    for name, value in members.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{path}{name}.")
        elif isinstance(value, list | tuple):
            yield f"{path}{name}: {', '.join(map(str, value)) or '-'}"
        else:
            yield f"{path}{name}: {value}"


async def _listed(asked: Asked) -> list[dict[str, Any]]:
    async with opened(settings_of(asked.config)) as parts:
        return [await _counted(parts, host) for host in parts.hosts.every()]


async def _shown(asked: Asked) -> dict[str, Any]:
    async with at_desk(asked) as desk:
        counted = await _counted(desk.parts, desk.host)
        policies: dict[str, Any] = msgspec.to_builtins(desk.host.policies)
        # Not even the digest of a secret is for a terminal.
        policies["enforcement_points"] = [each.id for each in desk.host.policies.enforcement_points]
        return counted | {"policies": policies}


async def _counted(parts: Installation, host: Host) -> dict[str, Any]:
    async with parts.database.read() as tx:
        return {
            "key": host.key,
            "name": host.name,
            "origin": host.origin,
            "people": len(await people.every(tx, host.key)),
            "operators": len(await people.operators(tx, host.key)),
            "servers": len(await server_keys(tx, host.key)),
            "sessions": len(await sessions.live(tx, host.key, at=parts.clock.now())),
        }
