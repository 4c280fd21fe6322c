"""An agent on the Python SDK 1.12.4, run by its own interpreter; see conversation.py.

It knows nothing of this project: `python old_client.py URL issues|whole`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from mcp import ClientSession, McpError
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientMetadata
from mcp.types import ElicitResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Use = Callable[[ClientSession], Awaitable[dict[str, Any]]]


class Memory:
    def __init__(self) -> None:
        self.tokens: Any = None
        self.client: Any = None

    async def get_tokens(self) -> Any:
        return self.tokens

    async def set_tokens(self, tokens: Any) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> Any:
        return self.client

    async def set_client_info(self, client_info: Any) -> None:
        self.client = client_info


def tell(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def visit(url: str) -> None:
    tell("visit", url)


async def come_back() -> tuple[str, str | None]:
    landed = await asyncio.to_thread(sys.stdin.readline)
    told = parse_qs(urlsplit(landed.strip()).query)
    return told["code"][0], told["state"][0]


async def answer(_: Any, _asked: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"username": "alice", "email": "a@acme.test"})


async def connected(use: Use, url: str, **how: Any) -> dict[str, Any]:
    async with (
        streamablehttp_client(url, **how) as (reading, writing, _),
        ClientSession(
            reading,
            writing,
            elicitation_callback=answer,
            read_timeout_seconds=timedelta(seconds=30),
        ) as session,
    ):
        version = (await session.initialize()).protocolVersion
        return {"version": version, **await use(session)}


async def issues(session: ClientSession) -> dict[str, Any]:
    found: dict[str, Any] = {"tools": [tool.name for tool in (await session.list_tools()).tools]}
    found["called"] = (await session.call_tool("get_issue", {"key": "T-7"})).content[0].text
    try:
        await session.call_tool("delete_issue", {"key": "T-7"})
    except McpError as refusal:
        found["refusal"] = {"code": refusal.error.code, "message": refusal.error.message}
    return found


async def whole(session: ClientSession) -> dict[str, Any]:
    seen: list[float] = []

    async def on_progress(progress: float, _total: float | None, _message: str | None) -> None:
        seen.append(progress)

    await session.call_tool("test_tool_with_progress", progress_callback=on_progress)
    asked = await session.call_tool("test_elicitation", {"message": "Who are you?"})
    resource = await session.read_resource("test://static-text")
    prompt = await session.get_prompt("test_simple_prompt")
    return {
        "progress": seen,
        "asked": asked.content[0].text,
        "resource": resource.contents[0].text,
        "prompts": len(prompt.messages),
    }


async def nothing(_: ClientSession) -> dict[str, Any]:
    return {}


async def main(url: str, what: str) -> None:
    metadata = OAuthClientMetadata.model_validate(
        {"client_name": "Old agent", "redirect_uris": ["http://localhost:3030/callback"]}
    )
    memory = Memory()
    auth = OAuthClientProvider(url, metadata, memory, visit, come_back)
    if what == "issues":
        found = await connected(issues, url, auth=auth)
    else:
        # Its OAuth client sends each request twice and reads the first answer to the end, so
        # that nothing can be asked in between: the token it got is used without it.
        await connected(nothing, url, auth=auth)
        bearer = {"Authorization": f"Bearer {memory.tokens.access_token}"}
        found = await connected(whole, url, headers=bearer)
    tell("result", json.dumps(found))


asyncio.run(main(sys.argv[1], sys.argv[2]))
