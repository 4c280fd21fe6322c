"""The demo servers as their clients see them: over HTTP, in both protocol eras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from safeconduct.demo import ExecutedCall, executed_calls
from tests.fixtures.programs import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.fixtures.programs import Program

pytestmark = pytest.mark.slow  # programs
ERAS = ["legacy", "2026-07-28"]
TOOLS = {
    "documents": [
        *("list_documents", "read_document", "search_documents"),
        *("write_document", "share_document", "delete_document"),
    ],
    "tickets": [
        *("list_issues", "get_issue", "search_issues", "create_issue", "update_issue"),
        *("add_comment", "delete_issue"),
    ],
    "chat": [
        *("list_channels", "read_messages", "search_messages", "post_message", "delete_channel"),
    ],
}


@pytest.fixture(params=sorted(TOOLS), scope="module")
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[str, str]]:
    """Each server in turn: its name and its URL."""
    data = tmp_path_factory.mktemp(request.param)
    async with running(f"safeconduct.demo.{request.param}", "--data", str(data)) as program:
        yield request.param, program.url


@pytest.fixture
async def tickets(tmp_path: Path) -> AsyncIterator[Program]:
    """A freshly seeded issue tracker; its database is `tmp_path / "tickets.sqlite"`."""
    async with running("safeconduct.demo.tickets", "--data", str(tmp_path)) as program:
        yield program


@pytest.mark.requirement("E-01")
@pytest.mark.parametrize("era", ERAS)
async def test_every_tool_says_what_it_does_and_how_dangerous_it_is(
    server: tuple[str, str], era: str
) -> None:
    name, url = server

    async with Client(url, mode=era) as client:
        tools = (await client.list_tools()).tools

    assert [tool.name for tool in tools] == TOOLS[name]
    for tool in tools:
        assert tool.description
        assert tool.annotations is not None
        verb = tool.name.partition("_")[0]
        assert tool.annotations.read_only_hint is (verb in {"list", "get", "read", "search"})
        assert bool(tool.annotations.destructive_hint) is (verb == "delete")


@pytest.mark.parametrize("era", ERAS)
async def test_every_server_has_a_resource_and_a_prompt(server: tuple[str, str], era: str) -> None:
    name, url = server
    uri, word, argument = {
        "documents": ("documents://files/security/incident-plan.md", "spare keys", "path"),
        "tickets": ("tickets://issues/T-7", "signing key", "project"),
        "chat": ("chat://channels/incidents", "glass door", "name"),
    }[name]

    async with Client(url, mode=era) as client:
        templates = (await client.list_resource_templates()).resource_templates
        contents = (await client.read_resource(uri)).contents[0]
        with pytest.raises(MCPError, match="There is no"):
            await client.read_resource(uri + "0")
        prompt = (await client.list_prompts()).prompts[0]
        filled = await client.get_prompt(prompt.name, {argument: "lyon"})

    assert len(templates) == 1
    assert word in getattr(contents, "text", "")
    assert "lyon" in getattr(filled.messages[0].content, "text", "")


@pytest.mark.parametrize("era", ERAS)
async def test_an_issue_can_be_read_changed_and_deleted(tickets: Program, era: str) -> None:
    async with Client(tickets.url, mode=era) as client:
        seeded = await _answer(client, "get_issue", key="T-7")
        changed = await _answer(client, "update_issue", key="T-7", status="closed")
        commented = await _answer(client, "add_comment", key="T-7", body="Done.")
        made = await _answer(client, "create_issue", title="Wheels squeak", project="arm")
        found = await _answer(client, "search_issues", query="SQUEAK")
        await _answer(client, "delete_issue", key="T-7")
        gone = await client.call_tool("get_issue", {"key": "T-7"})

    assert seeded["title"] == "Rotate the fleet's signing key"
    assert (changed["status"], changed["title"]) == ("closed", seeded["title"])
    assert commented["comments"] == [*seeded["comments"], "Done."]
    assert made["key"] == "T-13"
    assert [issue["key"] for issue in found["result"]] == ["T-13"]
    assert gone.is_error


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("get_issue", {"key": "T-99"}, "There is no issue T-99."),
        ("add_comment", {"key": "T-99", "body": "?"}, "There is no issue T-99."),
        ("get_issue", {"key": "7; DROP TABLE issues"}, "pattern"),
        ("update_issue", {"key": "T-7", "status": "lost"}, "status"),
    ],
    ids=["unknown", "comment-on-unknown", "not-a-key", "not-a-status"],
)
async def test_a_mistake_is_a_tool_error_the_model_can_read(
    tickets: Program, tool: str, arguments: dict[str, Any], says: str
) -> None:
    async with Client(tickets.url) as client:
        answer = await client.call_tool(tool, arguments)
        issues = await _answer(client, "list_issues")

    assert answer.is_error
    assert says in getattr(answer.content[0], "text", "")
    assert len(issues["result"]) == 12


async def test_only_calls_that_arrived_are_written_down(tickets: Program, tmp_path: Path) -> None:
    database = tmp_path / "tickets.sqlite"

    async with Client(tickets.url) as client:
        await client.list_tools()
        before = executed_calls(database)
        await client.call_tool("get_issue", {"key": "T-7"})
        await client.call_tool("delete_issue", {"key": "T-99"})

    assert before == []
    assert [(call.tool, call.arguments) for call in executed_calls(database)] == [
        ("get_issue", {"key": "T-7"}),
        ("delete_issue", {"key": "T-99"}),
    ]


def test_a_server_that_never_ran_executed_nothing(tmp_path: Path) -> None:
    nothing: list[ExecutedCall] = []

    assert executed_calls(tmp_path / "tickets.sqlite") == nothing


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    arguments = {"path": "handbook/pets.md", "text": "Dogs on Fridays."}

    async with (
        running("safeconduct.demo.documents", "--data", str(tmp_path)) as program,
        Client(program.url) as client,
    ):
        await _answer(client, "write_document", **arguments)
    async with (
        running("safeconduct.demo.documents", "--data", str(tmp_path)) as program,
        Client(program.url) as client,
    ):
        document = await _answer(client, "read_document", path="handbook/pets.md")
        entries = await _answer(client, "list_documents", folder="handbook")

    assert document["text"] == "Dogs on Fridays."
    assert len(entries["result"]) == 3


async def test_a_deleted_channel_takes_its_messages_along(tmp_path: Path) -> None:
    async with (
        running("safeconduct.demo.chat", "--data", str(tmp_path)) as program,
        Client(program.url) as client,
    ):
        posted = await _answer(client, "post_message", channel="#random", text="Hello, robots")
        await _answer(client, "delete_channel", channel="random")
        found = await _answer(client, "search_messages", query="hello, robots")
        others = await _answer(client, "search_messages", query="T-7")

    assert posted["channel"] == "random"
    assert found["result"] == []
    assert len(others["result"]) == 1


async def test_it_ends_well_on_sigterm_even_with_a_stream_open(tickets: Program) -> None:
    async with Client(tickets.url, mode="legacy") as client:
        await client.list_tools()

        status, printed = await tickets.stopped()

    assert (status, printed) == (0, b"")


async def _answer(client: Client, tool: str, **arguments: object) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    content = answer.structured_content
    assert isinstance(content, dict)
    return content
