"""The Python SDK as a client, in both protocol eras, signing in by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import mcp_types as types
import pytest
from mcp import MCPError
from mcp.client.subscriptions import ResourceUpdated, SubscriptionLost

from tests.e2e.agent import Agent

if TYPE_CHECKING:
    from tests.e2e.gateway import Site

pytestmark = pytest.mark.slow

DENIED = 4030
WATCHED = "test://watched-resource"
WAIT_SECONDS = 10


@pytest.fixture(params=["legacy", "2026-07-28"])
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
async def at_home(site: Site) -> Agent:
    """Somebody who signed in before, for what needs no session of its own, in either era."""
    agent = Agent(site, "everything", levels=("High",))
    async with agent.connected("auto"):
        return agent


async def answer(_: Any, asked: types.ElicitRequestParams) -> types.ElicitResult:
    assert asked.message
    return types.ElicitResult(action="accept", content={"username": "alice", "name": "Alice"})


def text_of(result: types.CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


@pytest.mark.requirement("P-01", "P-02", "K-08")
async def test_it_registers_signs_in_and_calls(site: Site, era: str) -> None:
    agent = Agent(site, "tickets", levels=("Medium",))

    async with agent.connected(era) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        issue = await client.call_tool("get_issue", {"key": "T-7"})

    assert {"get_issue", "create_issue"} <= names
    assert "T-7" in text_of(issue)
    assert len(agent.visits) == 1


@pytest.mark.requirement("K-06", "K-11", "K-13", "P-11", "Z-12")
async def test_what_the_ceiling_forbids_is_refused_with_words_and_not_listed(
    site: Site, era: str
) -> None:
    """No new sign-in is begun for it: that could not help."""
    agent = Agent(site, "tickets", levels=("Medium",))

    async with agent.connected(era) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        with pytest.raises(MCPError) as refusal:
            await client.call_tool("delete_issue", {"key": "T-7"})
        still = await client.call_tool("get_issue", {"key": "T-7"})

    assert "delete_issue" not in names
    assert refusal.value.error.code == DENIED
    assert refusal.value.error.data["required_level"] == "high"
    assert refusal.value.error.data["effective_level"] == "medium"
    assert "T-7" in text_of(still)
    assert len(agent.visits) == 1


async def test_a_tool_nobody_offers_is_unknown(site: Site, era: str) -> None:
    agent = Agent(site, "tickets", levels=("Low",))

    async with agent.connected(era) as client:
        with pytest.raises(MCPError) as refusal:
            await client.call_tool("read_minds", {})

    assert refusal.value.error.code == types.INVALID_PARAMS


@pytest.mark.requirement("K-13", "RS-05", "RS-15")
async def test_consenting_to_more_is_asked_for_where_it_helps(site: Site, era: str) -> None:
    agent = Agent(site, "tickets", levels=("Low", "Medium"))

    async with agent.connected(era) as client:
        await client.call_tool("get_issue", {"key": "T-7"})
        assert len(agent.visits) == 1
        made = await client.call_tool("create_issue", {"title": "Stepped up", "project": "arm"})

    assert "Stepped up" in text_of(made)
    assert len(agent.visits) == 2
    asked = parse_qs(urlsplit(agent.visits[1]).query)
    assert "mcp:medium" in asked["scope"][0].split()


@pytest.mark.requirement("P-19")
async def test_progress_arrives_while_the_tool_works(at_home: Agent, era: str) -> None:
    seen: list[float] = []

    async def on_progress(progress: float, _total: float | None, _message: str | None) -> None:
        seen.append(progress)

    async with at_home.connected(era, elicitation_callback=answer) as client:
        await client.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)

    assert len(seen) == 3
    assert seen == sorted(seen)


async def test_a_tool_may_ask_the_person_something(at_home: Agent, era: str) -> None:
    """The older era asks through the open stream, the newer one by `input_required`."""
    async with at_home.connected(era, elicitation_callback=answer) as client:
        greeted = await client.call_tool("test_input_required_result_elicitation", {})
        asked = await client.call_tool("test_elicitation", {"message": "Who are you?"})

    assert text_of(greeted) == "Hello, Alice!"
    assert "alice" in text_of(asked)


async def test_the_state_of_a_question_comes_back_with_its_answer(at_home: Agent, era: str) -> None:
    async with at_home.connected(era, elicitation_callback=answer) as client:
        confirmed = await client.call_tool("test_input_required_result_request_state", {})

    assert text_of(confirmed).startswith("state-ok")


async def test_contents_of_all_kinds_pass(at_home: Agent, era: str) -> None:
    async with at_home.connected(era, elicitation_callback=answer) as client:
        mixed = await client.call_tool("test_multiple_content_types", {})
        failed = await client.call_tool("test_error_handling", {})

    assert {block.type for block in mixed.content} == {"text", "image", "resource"}
    assert failed.is_error


async def test_resources_are_listed_and_read(at_home: Agent, era: str) -> None:
    async with at_home.connected(era, elicitation_callback=answer) as client:
        listed = {resource.uri for resource in (await client.list_resources()).resources}
        templates = (await client.list_resource_templates()).resource_templates
        read = await client.read_resource("test://template/42/data")

    assert WATCHED in listed
    assert [template.name for template in templates] == ["template"]
    assert isinstance(read.contents[0], types.TextResourceContents)
    assert "42" in read.contents[0].text


async def test_prompts_are_listed_fetched_and_completed(at_home: Agent, era: str) -> None:
    async with at_home.connected(era, elicitation_callback=answer) as client:
        listed = {prompt.name for prompt in (await client.list_prompts()).prompts}
        prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
        reference = types.PromptReference(name="test_prompt_with_arguments")
        completed = await client.complete(reference, {"name": "arg1", "value": "p"})

    assert "test_simple_prompt" in listed
    assert prompt.messages
    assert completed.completion.values is not None


@pytest.mark.requirement("P-19")
async def test_changes_are_told_to_whoever_listens(site: Site) -> None:
    agent = Agent(site, "everything", levels=("High",))

    async with (
        agent.connected("2026-07-28") as client,
        client.listen(resource_subscriptions=[WATCHED], tools_list_changed=True) as changes,
        asyncio.timeout(WAIT_SECONDS),
    ):
        await client.call_tool("test_trigger_resource_change", {})
        async for change in changes:
            assert isinstance(change, ResourceUpdated)
            assert change.uri == WATCHED
            break


@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")
async def test_changes_are_told_to_a_subscriber_of_the_older_era(site: Site) -> None:
    agent = Agent(site, "everything", levels=("High",))
    updated = asyncio.Event()

    async def on_message(message: object) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            updated.set()

    async with agent.connected("legacy", message_handler=on_message) as client:
        await client.subscribe_resource(WATCHED)
        await client.call_tool("test_trigger_resource_change", {})
        async with asyncio.timeout(WAIT_SECONDS):
            await updated.wait()


@pytest.mark.requirement("C-26", "Z-24")
async def test_what_a_person_ends_is_asked_for_anew_at_the_next_call(site: Site, era: str) -> None:
    agent = Agent(site, "tickets", levels=("Low",), name=f"Ended in {era}")

    async with agent.connected(era) as client:
        await client.call_tool("get_issue", {"key": "T-7"})
        before = agent.memory.tokens
        await asyncio.to_thread(site.person().end, f"Tickets for {agent.name}")
        issue = await client.call_tool("get_issue", {"key": "T-7"})

    assert "T-7" in text_of(issue)
    assert len(agent.visits) == 2
    assert before is not None
    assert agent.memory.tokens is not None
    assert before.access_token != agent.memory.tokens.access_token


async def test_ending_it_cuts_an_open_stream(site: Site) -> None:
    agent = Agent(site, "everything", levels=("High",), name="Listener")

    async with (
        agent.connected("2026-07-28") as client,
        asyncio.timeout(WAIT_SECONDS),
        client.listen(tools_list_changed=True) as changes,
    ):
        await asyncio.to_thread(site.person().end, "Everything for Listener")
        with pytest.raises(SubscriptionLost):
            await anext(aiter(changes))


@pytest.mark.requirement("RS-08")
async def test_a_token_opens_one_server_only(site: Site, era: str) -> None:
    """RFC 8707: the audience is the endpoint, so elsewhere the agent has to ask again."""
    tickets = Agent(site, "tickets", levels=("Low",))
    async with tickets.connected(era) as client:
        await client.list_tools()

    elsewhere = Agent(site, "everything", levels=("Low",))
    elsewhere.memory = tickets.memory
    async with elsewhere.connected(era) as client:
        await client.list_tools()

    assert len(elsewhere.visits) == 1


@pytest.mark.requirement("K-03", "Z-11", "T-29")
async def test_two_people_share_a_client_and_nothing_else(site: Site, era: str) -> None:
    alice = Agent(site, "tickets", levels=("Medium",))
    async with alice.connected(era) as client:
        await client.call_tool("get_issue", {"key": "T-7"})
    bob = Agent(site, "tickets", levels=("Low",), who="bob")
    bob.memory.client = alice.memory.client

    async with bob.connected(era) as client:
        await client.call_tool("get_issue", {"key": "T-7"})
        with pytest.raises(MCPError) as refusal:
            await client.call_tool("create_issue", {"title": "Not his", "project": "arm"})

    assert refusal.value.error.code == DENIED
    assert refusal.value.error.data["effective_level"] == "low"
