"""An agent on the Python SDK 1.12.4, run by its own interpreter; see conversation.py.

It knows nothing of this project: `python old_client.py URL`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mcp import ClientSession, McpError
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientMetadata
from mcp.types import ElicitResult


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


async def visit(url: str) -> None:
    print("visit", url, flush=True)


async def come_back() -> tuple[str, str | None]:
    landed = await asyncio.to_thread(sys.stdin.readline)
    told = parse_qs(urlsplit(landed.strip()).query)
    return told["code"][0], told["state"][0]


async def answer(_: Any, asked: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"username": "alice", "email": "a@acme.test"})


async def main(url: str) -> None:
    metadata = OAuthClientMetadata.model_validate(
        {"client_name": "Old agent", "redirect_uris": ["http://localhost:3030/callback"]}
    )
    auth = OAuthClientProvider(url, metadata, Memory(), visit, come_back)
    seen: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    found: dict[str, Any] = {}
    async with (
        streamablehttp_client(url, auth=auth) as (reading, writing, _),
        ClientSession(
            reading,
            writing,
            elicitation_callback=answer,
            read_timeout_seconds=timedelta(seconds=30),
        ) as session,
    ):
        found["version"] = (await session.initialize()).protocolVersion
        found["tools"] = [tool.name for tool in (await session.list_tools()).tools]
        if "test_simple_text" in found["tools"]:
            await session.call_tool("test_tool_with_progress", progress_callback=on_progress)
            found["progress"] = seen
            asked = await session.call_tool("test_elicitation", {"message": "Who are you?"})
            found["asked"] = asked.content[0].text
            resource = await session.read_resource("test://static-text")
            found["resource"] = resource.contents[0].text
            prompt = await session.get_prompt("test_simple_prompt")
            found["prompt"] = len(prompt.messages)
        else:
            found["called"] = (await session.call_tool("get_issue", {"key": "T-7"})).content[0].text
            try:
                await session.call_tool("delete_issue", {"key": "T-7"})
            except McpError as refusal:
                found["refusal"] = {"code": refusal.error.code, "message": refusal.error.message}
    print("result", json.dumps(found), flush=True)


asyncio.run(main(sys.argv[1]))
