"""A plain HTTP API: it keeps what arrived, byte for byte, and answers as it is told.

It knows nothing of MCP. Without being told otherwise it says in JSON what it understood.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tests.road.upstream import PATIENCE_SECONDS

SECRET = "Bearer s3cret-of-the-api-in-the-file"
KEY = "key-of-the-api-0123456789"


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    verb: str
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def segments(self) -> list[str]:
        """What a server takes the path for."""
        return [
            unquote(each.decode("ascii"), errors="strict") for each in self.path.split(b"/")[1:]
        ]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query.decode("ascii"), keep_blank_values=True, strict_parsing=True)

    def header(self, name: str) -> list[bytes]:
        return [value for key, value in self.headers if key == name.encode()]


Script = Callable[[Asked], Response | Awaitable[Response]]


def echo(asked: Asked) -> Response:
    body = msgspec.json.decode(asked.body) if asked.body else None
    query = asked.pairs if asked.query else []
    return JSONResponse({"path": asked.segments, "query": query, "body": body})


@dataclass
class Api:
    """The API: what it was asked, and what it answers."""

    url: str = ""
    script: Script = echo
    seen: list[Asked] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        asked = Asked(
            verb=scope["method"],
            path=scope["raw_path"],
            query=scope["query_string"],
            headers=[(bytes(name), bytes(value)) for name, value in scope["headers"]],
            body=await Request(scope, receive).body(),
        )
        self.seen.append(asked)
        response = self.script(asked)
        if not isinstance(response, Response):
            response = await response
        await response(scope, receive, send)

    def always(self, response: Response) -> None:
        """Answer everything with this."""
        self.script = lambda _: response

    @property
    def last(self) -> Asked:
        return self.seen[-1]


@asynccontextmanager
async def api() -> AsyncIterator[Api]:
    """Run one on a free port."""
    running = Api()
    config = uvicorn.Config(running, lifespan="off", log_config=None, ws="none", loop="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v3"
        task = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not server.started:
                await asyncio.sleep(0.01)  # uvicorn offers nothing to wait for
        try:
            yield running
        finally:
            server.should_exit = True
            await task


_TEXT = {"type": "string"}
TOOLS: list[dict[str, Any]] = [
    {
        "name": "list_issues",
        "description": "List issues of a repository.",
        "request": "GET /repos/{owner}/{repo}/issues",
        "query": ["state", "labels", "page"],
        "input": {
            "type": "object",
            "properties": {
                "owner": _TEXT,
                "repo": _TEXT,
                "state": {"enum": ["open", "closed"]},
                "labels": {"type": "array", "items": _TEXT},
                "page": {"type": "integer"},
            },
            "required": ["owner", "repo"],
        },
    },
    {"name": "get_issue", "request": "GET /issues/{issue_id}"},
    {
        "name": "create_issue",
        "request": "POST /issues",
        "query": ["notify"],
        "body": "all",
        "input": {
            "type": "object",
            "properties": {"title": _TEXT, "text": _TEXT, "notify": {"type": "boolean"}},
            "required": ["title"],
        },
    },
    {"name": "replace_issue", "request": "PUT /issues/{issue_id}.json", "body": ["title"]},
    {"name": "delete_issue", "request": "DELETE /issues/{issue_id}"},
    {"name": "get_pair", "request": "GET /pairs/{left}{right}/end"},
]


def api_settings(url: str, key: str = "tickets", **more: Any) -> dict[str, Any]:
    """Describe the API as a server."""
    return {
        "key": key,
        "name": key.title(),
        "http": {
            "base": url,
            "headers": {"Authorization": {"file": "secret"}, "x-api-key": {"file": "key"}},
            "tools": TOOLS,
        },
    } | more
