"""A world whose `get_issue` is for those who may edit the ticket it names, and who edits tuples."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from safeconduct.core.binding import Binding
from safeconduct.upstreams import Override
from tests.api.asking import points
from tests.road.world import ACME, Tokens, World, world_at

READER, WRITER, NOBODY, FOREIGN = "r" * 20, "w" * 20, "n" * 20, "f" * 20
PATH = "/api/v1/relations"
SCHEMA = """
use expiration

definition ticket {
    relation assignee: person | person with expiration
    relation watcher: person | group#member | person:*
    permission edit = assignee
    permission view = edit + watcher
}
"""
_MAY = {"reader": "read", "writer": "write", "foreign": "write"}


@asynccontextmanager
async def relating(
    directory: Path, *, rules: dict[str, str] | None = None, **server: Any
) -> AsyncIterator[World]:
    """Start a world with relations; `server` is what the file says there.

    Args:
        rules: More files beside the definitions.
    """
    (directory / "rules").mkdir(exist_ok=True)
    for name, text in {"tickets.zed": SCHEMA, **(rules or {})}.items():
        (directory / "rules" / name).write_text(text)
    acme = points(directory, relations=_MAY, reader=READER, writer=WRITER, nobody=NOBODY)
    acme["policy"] = {"directory": "rules"}
    acme["relations"] = ["ticket:T-1#assignee@user:bob@acme.test"]
    other = points(directory, relations=_MAY, foreign=FOREIGN)
    async with world_at(directory, asgi=True, acme=acme, other=other, server=server) as world:
        binding = Binding(path="arguments.id", object="ticket:{value}", permission="edit")
        await world.override("get_issue", Override(bindings=(binding,)))
        yield world


class Desk:
    """Edits and lists tuples over HTTP."""

    def __init__(self, world: World, secret: str = WRITER, origin: str = ACME) -> None:
        self.world = world
        self._url = f"{origin}{PATH}"
        self._headers = {"authorization": f"Bearer {secret}"}

    async def post(self, body: Any = None, **more: Any) -> httpx2.Response:
        headers = self._headers | more.pop("headers", {})
        if "content" in more:
            return await self.world.http.post(self._url, headers=headers, **more)
        return await self.world.http.post(self._url, json=body, headers=headers, **more)

    async def get(self, **query: Any) -> httpx2.Response:
        return await self.world.http.get(self._url, params=query, headers=self._headers)

    async def edits(self, **body: Any) -> dict[str, list[str]]:
        """Edit, and have it done."""
        answer = await self.post(body)
        assert answer.status_code == 200, answer.text
        said: dict[str, list[str]] = answer.json()
        return said

    async def listed(self, **query: Any) -> list[str]:
        """List everything, page by page."""
        found, token = [], ""
        while True:
            answer = await self.get(**query, **({"token": token} if token else {}))
            assert answer.status_code == 200, answer.text
            said = answer.json()
            assert said["page"]["count"] == len(said["relations"])
            found += [each["tuple"] for each in said["relations"]]
            token = said["page"]["next_token"]
            if not token:
                return found


async def may(world: World, tokens: Tokens, ticket: str = "T-7") -> bool:
    """Say whether the agent's call goes through; a no has to be the relations'."""
    said = (await world.call(tokens.access, arguments={"id": ticket})).json()
    if "error" in said:
        assert said["error"]["data"]["reason"] == "relation.denied", said
    return "result" in said
