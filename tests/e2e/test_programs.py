"""Programs from the field as their users start them, with a browser that is a scripted person."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from mcp import Client, MCPError, StdioServerParameters

from tests.e2e import browser
from tests.e2e.conversation import MODULES, NODE, conversation

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.gateway import Site

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("node")]

INSPECTOR = MODULES / ".bin/mcp-inspector"
REMOTE = MODULES / ".bin/mcp-remote"
TOOL_ERROR = 5


async def inspect(
    site: Site, environ: dict[str, str], era: str, *arguments: str
) -> tuple[int, str]:
    """Run the Inspector's command line once; returns its status and what it said."""
    command = (NODE, INSPECTOR, "--cli", "--server-url", site.url("tickets"))
    how = ("--transport", "http", "--protocol-era", era, "--format", "json")
    async with conversation([*command, *how, *arguments], environ=environ) as program:
        status = await program.ended()
    return status, "\n".join(program.said)


@pytest.mark.parametrize("era", ["legacy", "auto", "modern"])
async def test_the_inspector_signs_in_lists_and_calls(site: Site, tmp_path: Path, era: str) -> None:
    environ = browser.environ(site, tmp_path / "home", server="tickets", level="Medium")
    environ |= {"MCP_INSPECTOR_SECRET_STORE": "file", "MCP_AUTO_OPEN_ENABLED": "true"}
    call = ("--method", "tools/call", "--tool-name", "get_issue")

    listed, names = await inspect(site, environ, era, "--method", "tools/list")
    called, said = await inspect(site, environ, era, *call, "--tool-args-json", '{"key":"T-7"}')

    assert listed == 0, names
    assert '"create_issue"' in names
    assert '"delete_issue"' not in names
    assert called == 0, said
    assert "T-7" in said
    assert len(browser.visits(tmp_path / "home")) == 1


async def test_mcp_remote_brings_an_agent_here_that_knows_no_oauth(
    site: Site, tmp_path: Path
) -> None:
    """Its second start needs no browser."""
    home = tmp_path / "home"
    environ = browser.environ(site, home, server="tickets", level="Medium")
    environ["MCP_REMOTE_CONFIG_DIR"] = str(home / "remote")
    command = StdioServerParameters(
        command=str(NODE), args=[str(REMOTE), site.url("tickets")], env=environ
    )

    for _ in range(2):
        async with Client(command, mode="legacy") as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            issue = await client.call_tool("get_issue", {"key": "T-7"})
            with pytest.raises(MCPError) as refusal:
                await client.call_tool("delete_issue", {"key": "T-7"})

        assert "create_issue" in names
        assert "T-7" in json.dumps(issue.model_dump(mode="json"))
        assert refusal.value.error.code == 4030
    assert len(browser.visits(home)) == 1
