"""The Python SDK as a client, in both eras, of an API that has never heard of MCP."""

from __future__ import annotations

import json
from pathlib import Path

import mcp_types as types
import pytest
from mcp import MCPError

from tests.e2e.agent import Agent
from tests.e2e.gateway import installation
from tests.road.api import KEY, api

pytestmark = [pytest.mark.slow, pytest.mark.requirement("P-16")]

DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/issues/{number}": {
            "parameters": [
                {"name": "number", "in": "path", "required": True, "schema": {"type": "integer"}}
            ],
            "get": {"operationId": "issues/get", "summary": "Get an issue."},
            "delete": {"operationId": "issues/delete"},
        }
    },
}


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_a_client_signs_in_lists_and_calls(tmp_path: Path, era: str) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    async with api() as plain:
        http = {
            "base": plain.url,
            "headers": {"x-api-key": {"file": "key"}},
            "openapi": "openapi.json",
        }
        host = {
            "servers": [{"key": "plain", "name": "Plain", "http": http}],
            "access": [{"person": "alice@acme.test", "server": "plain", "ceiling": "medium"}],
        }
        async with installation(tmp_path, servers={}, more=host) as site:
            agent = Agent(site, "plain", levels=("Medium",))
            async with agent.connected(era) as client:
                tools = (await client.list_tools()).tools
                issue = await client.call_tool("issues_get", {"number": 7})
                wrong = await client.call_tool("issues_get", {"number": "../7"})
                with pytest.raises(MCPError) as refusal:
                    await client.call_tool("issues_delete", {"number": 7})

    assert [tool.name for tool in tools] == ["issues_get"]
    assert tools[0].annotations is not None
    assert tools[0].annotations.read_only_hint is True
    assert issue.structured_content == {"path": ["v3", "issues", "7"], "query": [], "body": None}
    assert isinstance(issue.content[0], types.TextContent)
    assert json.loads(issue.content[0].text) == issue.structured_content
    assert wrong.is_error
    assert refusal.value.error.code == 4030
    assert [(asked.verb, asked.path) for asked in plain.seen] == [("GET", b"/v3/issues/7")]
    assert plain.last.header("x-api-key") == [KEY.encode()]
    for log in tmp_path.rglob("*.log"):
        assert KEY not in log.read_text()
