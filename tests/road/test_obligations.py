"""Obligations on the real road: what an allow depends on, before the call and on its result."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from safeconduct.core.canonical import MAX_VALUES
from safeconduct.core.model import Level
from tests.road.upstream import Seen, Wire
from tests.road.world import LEGACY, MODERN, Tokens, World, eventually, line, world_at

pytestmark = pytest.mark.requirement("Z-34", "Z-44")
# The rule obliges to whatever the call asks for, so that each test says what it is about.
RULES = """package safeconduct.host

import rego.v1

obligations contains each if some each in input.arguments.oblige
"""
RELATIONS = [
    "ticket:T-1#viewer@user:alice@acme.test",
    "ticket:T-2#viewer@group:engineering#member",
    "ticket:T-3#viewer@user:bob@acme.test",
]
ISSUE = {"id": "T-1", "email": "alice@acme.test", "card": "4111111111111111"}
TEXT = "Alice's address is alice@acme.test."


@pytest.fixture(scope="module")
async def obliging(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("obliging")
    (directory / "rules").mkdir()
    (directory / "rules" / "host.rego").write_text(RULES)
    acme = {"policy": {"directory": "rules"}, "relations": RELATIONS}
    async with world_at(directory, acme=acme) as world:
        yield world


@pytest.fixture
async def ruled(obliging: World) -> AsyncIterator[World]:
    obliging.upstream.reset()
    yield obliging
    assert obliging.upstream.failures == []


@pytest.fixture(scope="module")
async def agent(obliging: World) -> Tokens:
    return await obliging.tokens()


def obligation(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, **members}


async def result_of(
    world: World,
    tokens: Tokens,
    result: dict[str, Any],
    *obligations: dict[str, Any],
    stream: bool = False,
    version: str = MODERN,
) -> dict[str, Any]:
    """Let the server answer a call with a result; return what the agent gets."""

    async def play(seen: Seen, wire: Wire) -> None:
        message = {"jsonrpc": "2.0", "id": seen.message["id"], "result": result}
        if stream:
            await wire.begin_stream()
            log = {"level": "info", "data": TEXT}
            await wire.event({"jsonrpc": "2.0", "method": "notifications/message", "params": log})
            await wire.event(message)
            await wire.end_stream()
        else:
            await wire.answer(message)

    world.upstream.scripts["tools/call"] = play
    arguments = {"id": "T-1", "oblige": list(obligations)}
    answer = await world.call(tokens.access, arguments=arguments, version=version)
    assert answer.status_code == 200
    if not stream:
        assert "result" in answer.json(), answer.text
        got: dict[str, Any] = answer.json()["result"]
        return got
    events = [
        json.loads(event.partition("data: ")[2])
        for event in answer.text.replace("\r\n", "\n").split("\n\n")
        if "data: " in event
    ]
    (last,) = (event for event in events if "result" in event)
    said: dict[str, Any] = last["result"] | {"events": len(events)}
    return said


def structured(data: Any) -> dict[str, Any]:
    """What a server sends that knows both forms: the data, and the same as a text."""
    text = {"type": "text", "text": json.dumps(data)}
    return {"content": [text], "structuredContent": data}


@pytest.mark.parametrize("version", [MODERN, LEGACY])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_redacted_member_is_in_no_form_of_a_result(
    ruled: World, agent: Tokens, version: str, *, stream: bool
) -> None:
    redact = obligation("redact", pointers=["/email"])
    for result in (structured(ISSUE), {"content": structured(ISSUE)["content"]}):
        shown = await result_of(ruled, agent, result, redact, stream=stream, version=version)

        assert "alice@acme.test" not in json.dumps(shown)
        assert json.loads(shown["content"][0]["text"]) == {"id": "T-1", "card": ISSUE["card"]}
        assert shown.get("events", 1) == 1  # what a server logs could say it too


async def test_without_obligations_a_result_passes_byte_for_byte(
    ruled: World, agent: Tokens
) -> None:
    raw = b'{"jsonrpc":"2.0", "id":1,"result":{"content":[],"x": 1.50}}'

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.answer(raw)

    ruled.upstream.scripts["tools/call"] = play

    assert (await ruled.call(agent.access)).content == raw


@pytest.mark.parametrize(
    "content",
    [
        {"type": "text", "text": TEXT},
        {"type": "text", "text": '"alice@acme.test"'},
        {"type": "text", "text": '{"email": "alice@acme.test", "email": 1}'},
        {"type": "image", "data": "YWxpY2U=", "mimeType": "image/png"},
        {"type": "resource_link", "uri": "mailto:alice@acme.test", "name": "x"},
        {"type": "resource", "resource": {"uri": "a:b", "blob": "YWxpY2U="}},
        {"type": "resource", "resource": {"uri": "a:b", "text": TEXT}},
        {"text": {"email": "alice@acme.test"}},
        "alice@acme.test",
        None,
    ],
)
async def test_what_cannot_be_told_apart_is_withheld(
    ruled: World, agent: Tokens, content: Any
) -> None:
    redact = obligation("redact", pointers=["/**/email"])
    for result in ({"content": [content]}, {"content": [content], "isError": True}):
        shown = await result_of(ruled, agent, result, redact)

        (block,) = shown["content"]
        assert block["type"] == "text"
        assert "withheld" in block["text"]
        assert "alice" not in json.dumps(shown)
        assert "YWxpY2U" not in json.dumps(shown)
        assert shown.get("isError") == result.get("isError")


async def test_members_of_a_result_nobody_knows_are_not_shown(ruled: World, agent: Tokens) -> None:
    redact = obligation("redact", pointers=["/email"])
    extra = structured(ISSUE) | {"debug": ISSUE, "_meta": {"row": ISSUE}}

    assert "alice" not in json.dumps(await result_of(ruled, agent, extra, redact))


async def test_an_error_says_no_more_than_its_code(ruled: World, agent: Tokens) -> None:
    async def play(seen: Seen, wire: Wire) -> None:
        error = {"code": -32000, "message": TEXT, "data": ISSUE}
        await wire.answer({"jsonrpc": "2.0", "id": seen.message["id"], "error": error})

    ruled.upstream.scripts["tools/call"] = play
    oblige = [obligation("redact", pointers=["/email"])]

    answer = await ruled.call(agent.access, arguments={"oblige": oblige})

    assert answer.json()["error"]["code"] == -32000
    assert "alice" not in answer.text


async def test_a_mask_shows_the_end_of_a_text(ruled: World, agent: Tokens) -> None:
    mask = obligation("mask", pointers=["/card"], keep_last=4)

    shown = await result_of(ruled, agent, structured(ISSUE), mask)

    assert shown["structuredContent"]["card"] == "***1111"
    assert "41111" not in json.dumps(shown)


@pytest.mark.requirement("Z-35", "Z-16")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_list_is_filtered_item_by_item_by_permission(
    ruled: World, agent: Tokens, *, stream: bool
) -> None:
    keep = obligation("filter", items="/issues", object="ticket:{id}", permission="viewer")
    issues = {"issues": [{"id": f"T-{number}"} for number in range(1, 5)]}

    shown = await result_of(ruled, agent, structured(issues), keep, stream=stream)

    assert shown["structuredContent"] == {"issues": [{"id": "T-1"}, {"id": "T-2"}]}
    assert "T-3" not in json.dumps(shown)
    bob = await ruled.tokens("bob")
    for_bob = await result_of(ruled, bob, structured(issues), keep, stream=stream)
    assert for_bob["structuredContent"] == {"issues": [{"id": "T-3"}]}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_large_list_is_filtered_like_a_small_one(
    ruled: World, agent: Tokens, *, stream: bool
) -> None:
    keep = obligation("filter", items="/issues", object="ticket:{id}", permission="viewer")
    redact = obligation("redact", pointers=["/issues/*/secret"])
    rows = [{"id": f"T-{number}", "secret": "s" * 20} for number in range(3000)]

    shown = await result_of(ruled, agent, structured({"issues": rows}), keep, redact, stream=stream)

    assert shown["structuredContent"] == {"issues": [{"id": "T-1"}, {"id": "T-2"}]}
    assert "sss" not in json.dumps(shown)


async def test_an_answer_of_too_many_values_is_not_read_where_a_policy_looks_at_it(
    ruled: World, agent: Tokens
) -> None:
    async def play(seen: Seen, wire: Wire) -> None:
        many = b"[" + b"0," * MAX_VALUES + b"0]"
        identity = json.dumps(seen.message["id"]).encode()
        await wire.answer(b'{"jsonrpc":"2.0","id":%b,"result":{"a":%b}}' % (identity, many))

    ruled.upstream.scripts["tools/call"] = play
    oblige = [obligation("redact", pointers=["/email"])]

    answer = await ruled.call(agent.access, arguments={"oblige": oblige})

    assert f"more than {MAX_VALUES} values" in answer.json()["error"]["message"]
    assert "carried out" in answer.json()["error"]["message"]


async def test_a_list_is_cut(ruled: World, agent: Tokens) -> None:
    most = obligation("max_items", items="/issues", count=2)
    issues = {"issues": [{"id": number} for number in range(5)]}

    shown = await result_of(ruled, agent, structured(issues), most)

    assert shown["structuredContent"] == {"issues": [{"id": 0}, {"id": 1}]}


async def test_data_without_the_list_that_has_to_be_filtered_is_withheld(
    ruled: World, agent: Tokens
) -> None:
    keep = obligation("filter", items="/issues", object="ticket:{id}", permission="viewer")

    shown = await result_of(ruled, agent, structured({"rows": [{"id": "T-3"}]}), keep)

    assert "structuredContent" not in shown
    assert "T-3" not in json.dumps(shown)


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize(
    "bad", [obligation("sing"), obligation("redact"), {"pointers": ["/a"]}, "redact", None, 7]
)
async def test_an_obligation_nobody_knows_refuses_the_call(
    ruled: World, agent: Tokens, bad: Any
) -> None:
    """XACML 3.0 section 7.2.1."""
    answer = await ruled.call(agent.access, arguments={"oblige": [bad]})

    assert answer.json()["error"]["code"] == 4030
    assert answer.json()["error"]["data"]["reason"] == "engine.failed"
    assert ruled.upstream.calls() == []


async def test_a_throttle_lets_so_many_through_and_says_when_to_come_again(
    ruled: World, agent: Tokens
) -> None:
    twice = {"oblige": [obligation("throttle", count=2, seconds=60, per="person")]}
    bob = await ruled.tokens("bob")
    for _ in range(2):
        assert "result" in (await ruled.call(agent.access, arguments=twice)).json()

    refused = (await ruled.call(agent.access, arguments=twice)).json()["error"]

    assert refused["code"] == 4290
    assert "Try again in 6" in refused["message"]
    assert "result" in (await ruled.call(bob.access, arguments=twice)).json()
    assert "result" in (await ruled.call(agent.access)).json()
    assert len(ruled.upstream.calls()) == 4
    ruled.clock.advance(timedelta(seconds=59))
    assert "error" in (await ruled.call(agent.access, arguments=twice)).json()
    ruled.clock.advance(timedelta(seconds=2))  # a window is cut into sixty slices
    assert "result" in (await ruled.call(agent.access, arguments=twice)).json()


async def test_a_clock_that_is_set_back_keeps_nobody_waiting(ruled: World, agent: Tokens) -> None:
    once = {"oblige": [obligation("throttle", count=1, seconds=60, per="person")]}
    assert "result" in (await ruled.call(agent.access, arguments=once)).json()

    ruled.clock.advance(timedelta(minutes=-5))
    assert (await ruled.call(agent.access, arguments=once)).json()["error"]["code"] == 4290
    ruled.clock.advance(timedelta(seconds=61))

    assert "result" in (await ruled.call(agent.access, arguments=once)).json()


@pytest.mark.requirement("Z-36")
async def test_a_consent_that_is_too_old_is_asked_for_again(ruled: World) -> None:
    tokens = await ruled.tokens(client="assistant", level=Level.MEDIUM)
    recent = {"oblige": [obligation("require_consent", within_seconds=300)]}
    higher = {"oblige": [obligation("require_consent", within_seconds=300, level="high")]}
    assert "result" in (await ruled.call(tokens.access, arguments=recent)).json()

    refused = await ruled.call(tokens.access, arguments=higher)
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    ruled.clock.advance(timedelta(seconds=300))
    late = await ruled.call(tokens.access, arguments=recent)

    assert late.status_code == 403
    assert late.json()["error"]["data"]["reason"] == "consent.again"
    assert "5 minutes" in late.json()["error"]["message"]
    assert len(ruled.upstream.calls()) == 1


async def test_who_should_hear_of_a_call_is_written_down_before_it(
    ruled: World, agent: Tokens
) -> None:
    await ruled.call(agent.access, arguments={"oblige": [obligation("notify", about="payroll")]})

    (note,) = await eventually(ruled, "call.notified")
    assert note["detail"] == {"about": "payroll"}
    assert note["decision_id"] in {each["decision_id"] for each in ruled.events("call.intent")}


async def test_a_stream_lasts_no_longer_than_its_decision_allows(
    ruled: World, agent: Tokens
) -> None:
    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
        await wire.gone()

    ruled.upstream.scripts["tools/call"] = play
    brief = {"oblige": [obligation("ttl", seconds=1)]}
    async with line(ruled) as calling:
        await calling.post(agent.access, "tools/call", {"name": "get_issue", "arguments": brief})
        assert (await calling.head())[0] == 200
        assert b"progress" in await calling.chunk()
        assert b"lets a stream last no longer" in await calling.chunk()
        assert await calling.chunk() == b""


@pytest.mark.parametrize("version", [LEGACY])
async def test_a_stream_that_is_taken_up_again_brings_no_result(
    ruled: World, agent: Tokens, version: str
) -> None:
    """What the earlier call's answer has to be rid of is known to nobody any more."""

    async def replay(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event({"jsonrpc": "2.0", "id": 41, "result": structured(ISSUE)})
        await wire.end_stream()

    ruled.upstream.scripts["GET"] = replay
    async with line(ruled) as standing:
        await standing.raw(
            "GET /mcp/tickets HTTP/1.1",
            [
                f"authorization: Bearer {agent.access}",
                "accept: text/event-stream",
                f"mcp-protocol-version: {version}",
            ],
        )
        assert (await standing.head())[0] == 200
        said = await standing.chunk()

    assert b"alice" not in said
    assert b'"id":41' in said.replace(b" ", b"")
    assert b"Call once more" in said


async def test_a_record_holds_what_an_allow_depended_on_and_no_argument(
    ruled: World, agent: Tokens
) -> None:
    redact = obligation("redact", pointers=["/email"])
    await ruled.call(agent.access, arguments={"oblige": [redact], "note": "s3cret"})

    record = ruled.events("call.intent")[-1]
    assert record["obligations"] == [redact]
    assert record["facts"]["subject"]["email"] == "alice@acme.test"
    assert "arguments" not in record["facts"]
    assert "s3cret" not in json.dumps(record)
