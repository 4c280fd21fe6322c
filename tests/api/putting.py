"""Two hosts whose rules are put by request, and the programs that put them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.api.asking import points
from tests.road.world import ACME, Tokens, World, world_at

READER, WRITER, NOBODY, FOREIGN = "r" * 20, "w" * 20, "n" * 20, "f" * 20
PATH = "/api/v1/policy"
RULES = """\
package safeconduct.host

import rego.v1

deny contains {{"reason": "{0}", "message": "No."}} if input.resource.name == "{0}"
"""
TEST = """\
package safeconduct.host_test

import rego.v1

test_it if {0}
"""
_MAY = {"reader": "read", "writer": "write", "foreign": "write"}
Files = dict[str, str]


def refusing(name: str) -> Files:
    """Write rules that refuse a tool."""
    return {"x.rego": RULES.format(name)}


@asynccontextmanager
async def putting(
    directory: Path, *, policy: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[World]:
    """Start a world; `policy` is what the file says for acme, and the other's are always put."""
    acme = points(directory, policy=_MAY, reader=READER, writer=WRITER, nobody=NOBODY) | more
    acme["policy"] = {"by": "api"} if policy is None else policy
    other = points(directory, policy=_MAY, foreign=FOREIGN) | {"policy": {"by": "api"}}
    async with world_at(directory, asgi=True, acme=acme, other=other) as world:
        yield world


class Program:
    """Reads and puts rules over HTTP."""

    def __init__(self, world: World, secret: str = WRITER, origin: str = ACME) -> None:
        self.world = world
        self._origin = origin
        self._headers = {"authorization": f"Bearer {secret}"}
        self.start = ""  # what decided when a test began

    async def send(self, verb: str, path: str = "", **more: Any) -> httpx2.Response:
        headers = self._headers | more.pop("headers", {})
        url = f"{self._origin}{PATH}{path}"
        return await self.world.http.request(verb, url, headers=headers, **more)

    async def put(
        self, files: Files, *, only_if: str | None = None, **more: Any
    ) -> httpx2.Response:
        headers = {} if only_if is None else {"if-match": f'"{only_if}"'}
        params = {name: more.pop(name) for name in ("check",) if name in more}
        body = {"files": files, **more}
        return await self.send("PUT", json=body, headers=headers, params=params)

    async def puts(self, files: Files, **more: Any) -> dict[str, Any]:
        """Put files, and have it done."""
        return _done(await self.put(files, **more))

    async def patch(
        self, member: str, value: Any, *, only_if: str | None = None, **more: Any
    ) -> httpx2.Response:
        headers = {} if only_if is None else {"if-match": f'"{only_if}"'}
        body = {"value": value, **more}
        return await self.send("PATCH", f"/data/{member}", json=body, headers=headers)

    async def patches(self, member: str, value: Any, **more: Any) -> dict[str, Any]:
        return _done(await self.patch(member, value, **more))

    async def back(self, bundle: str, **more: Any) -> httpx2.Response:
        return await self.send("POST", "/rollback", json={"bundle": bundle}, **more)

    async def says(self, path: str = "", **query: Any) -> dict[str, Any]:
        return _done(await self.send("GET", path, params=query))


def _done(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


async def reason(world: World, tokens: Tokens, name: str = "get_issue", **more: Any) -> str:
    """Say why the agent's call is refused, or `allowed`."""
    said = (await world.call(tokens.access, name, **more)).json()
    return str(said["error"]["data"]["reason"]) if "error" in said else "allowed"
