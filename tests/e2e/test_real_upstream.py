"""A server nobody here wrote, behind the gateway: the reference server, older era only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mcp import MCPError

from safeconduct.rehearsal import free_port
from tests.e2e.agent import Agent
from tests.e2e.conversation import MODULES, NODE, conversation, script
from tests.e2e.gateway import Site, installation, node_tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.slow

SERVER = MODULES / ".bin/mcp-server-everything"


@pytest.fixture(scope="module")
async def reference(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    problem = await node_tools()
    if problem:
        pytest.skip(f"the reference server cannot be installed here: {problem}")
    port = free_port()
    environ = {"PORT": str(port), "PATH": str(NODE.parent)}
    async with conversation([NODE, SERVER, "streamableHttp"], environ=environ) as server:
        await server.line("MCP Streamable HTTP Server listening")
        servers = {"reference": f"http://127.0.0.1:{port}/mcp"}
        directory = tmp_path_factory.mktemp("reference")
        async with installation(directory, servers=servers) as site:
            yield site


@pytest.mark.requirement("P-04", "P-08")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_its_tools_are_imported_and_called(reference: Site, mode: str) -> None:
    """A client that would rather speak the newer era falls back, as it would without us."""
    agent = Agent(reference, "reference", levels=("High",))

    async with agent.connected(mode) as client:
        version = client.protocol_version
        tools = {tool.name for tool in (await client.list_tools()).tools}
        echoed = await client.call_tool("echo", {"message": "here and back"})
        resources = (await client.list_resources()).resources
        prompts = (await client.list_prompts()).prompts
        with pytest.raises(MCPError):
            await client.call_tool("no-such-tool", {})

    assert version == "2025-11-25"
    assert {"echo", "get-sum"} <= tools
    assert "here and back" in echoed.model_dump_json()
    assert resources
    assert prompts


async def test_whoever_insists_on_the_newer_era_is_told_what_it_speaks(reference: Site) -> None:
    agent = Agent(reference, "reference", levels=("Low",))

    with pytest.raises(ExceptionGroup) as refusal:
        async with agent.connected("2026-07-28") as client:
            await client.list_tools()

    assert refusal.group_contains(MCPError, match="2025-11-25", depth=None)


async def test_the_other_sdk_falls_back_too(reference: Site) -> None:
    command = script("probe", reference.url("reference"), "auto")
    async with conversation(command) as talk:
        found = await talk.result(
            lambda url: reference.allow(url, server="reference", level="High")
        )

    assert found["version"] == "2025-11-25"
    assert "hello" in found["echoed"]
