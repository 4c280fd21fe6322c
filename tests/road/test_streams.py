"""Streams: event by event, byte for byte, and no longer than their reasons last."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from safeconduct.core.model import Level
from tests.road.upstream import PATIENCE_SECONDS, SESSION, Seen, Wire
from tests.road.world import (
    ACME,
    LEGACY,
    LEGACY_VERSIONS,
    MODERN,
    VERSIONS,
    Line,
    Tokens,
    World,
    caller_of,
    eventually,
    line,
)

CALL = {"name": "get_issue", "arguments": {"id": "T-7"}}
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
RESULT = {"jsonrpc": "2.0", "id": 1, "result": {"content": []}}
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


def data(chunk: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(chunk.partition(b"data: ")[2].strip())
    return found


async def opened(client: Line) -> dict[str, str]:
    status, headers = await client.head()
    assert status == 200
    assert headers["content-type"] == "text/event-stream"
    assert headers["x-accel-buffering"] == "no"
    assert headers["cache-control"] == "no-cache, no-transform"
    return headers


async def get(client: Line, token: str, *more: str) -> None:
    lines = [f"authorization: Bearer {token}", "accept: text/event-stream"]
    await client.raw(
        "GET /mcp/tickets HTTP/1.1", [*lines, f"mcp-protocol-version: {LEGACY}", *more]
    )


@pytest.mark.requirement("P-19", "P-02", "GW-10", "P-10")
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_call_answers_event_by_event(road: World, tokens: Tokens, version: str) -> None:
    go = asyncio.Event()
    sent: list[bytes] = []
    lead = b"id: 1\r\nevent:message\r\nretry: 5\r\n"

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        sent.append(await wire.event(PROGRESS, lead=lead))
        await go.wait()
        sent.append(await wire.event(RESULT, lead=b""))
        await wire.end_stream()

    road.upstream.scripts["tools/call"] = play
    async with line(road) as client:
        await client.post(tokens.access, "tools/call", CALL, version=version)
        await opened(client)
        first = await client.chunk()  # before the server has said any more
        assert re.sub(rb"(?<=\Aid: )[A-Za-z0-9_-]{30,}", b"1", first) == sent[0]
        go.set()
        assert await client.chunk() == sent[1]
        assert await client.chunk() == b""

    assert (await eventually(road, "call.outcome"))[-1]["outcome"] == "ok"


@pytest.mark.requirement("GW-10", "SEC-64")
async def test_events_are_put_together_from_pieces(road: World, tokens: Tokens) -> None:
    event = b"data: " + json.dumps(RESULT).encode() + b"\r\n\r\n"

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        for byte in event:
            await wire.chunk(bytes([byte]))
        await wire.end_stream()

    road.upstream.scripts["tools/call"] = play

    answer = await road.call(tokens.access)

    assert answer.content == event


@pytest.mark.requirement("S-12", "S-06", "Z-24", "GW-11")
async def test_revoking_cuts_a_call_under_way_with_a_last_word(world: World) -> None:
    tokens = await world.tokens()
    other = await world.tokens(client="assistant")
    gone = asyncio.Event()

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(PROGRESS)
        await wire.gone()
        gone.set()

    world.upstream.scripts["tools/call"] = play
    async with line(world) as client, line(world) as neighbour:
        await client.post(tokens.access, "tools/call", CALL)
        await neighbour.post(other.access, "tools/call", CALL)
        for each in (client, neighbour):
            await opened(each)
            await each.chunk()
        await world.revoke(tokens)
        last = data(await client.chunk())
        assert await client.chunk() == b""
        async with asyncio.timeout(10):
            await gone.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await neighbour.reader.read(1)

    assert last["id"] == 1
    assert last["error"]["data"]["reason"] == "session.ended"
    outcomes = [event["outcome"] for event in await eventually(world, "call.outcome", 2)]
    assert outcomes == ["cut", "cancelled"]


@pytest.mark.requirement("S-12", "S-06", "GW-11", "Z-24")
@pytest.mark.parametrize("kind", ["get", "listen"])
async def test_revoking_cuts_a_standing_stream(world: World, kind: str) -> None:
    tokens = await world.tokens()
    gone = asyncio.Event()

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(PROGRESS)
        await wire.gone()
        gone.set()

    world.upstream.scripts |= {"GET": play, "subscriptions/listen": play}
    async with line(world) as client:
        if kind == "get":
            await get(client, tokens.access)
        else:
            await client.post(tokens.access, "subscriptions/listen", {"notifications": {}})
        await opened(client)
        assert data(await client.chunk()) == PROGRESS
        await world.revoke(tokens)
        assert await client.chunk() == b""
        async with asyncio.timeout(10):
            await gone.wait()


@pytest.mark.requirement("S-12", "GW-11")
async def test_a_use_of_the_session_does_not_cut_its_streams(world: World) -> None:
    tokens = await world.tokens()
    more = asyncio.Event()

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(PROGRESS)
        await more.wait()
        await wire.event(PROGRESS)
        await wire.gone()

    world.upstream.scripts["GET"] = play
    async with line(world) as client:
        await get(client, tokens.access)
        await opened(client)
        await client.chunk()
        world.clock.advance(timedelta(minutes=10))
        assert (await world.call(tokens.access)).status_code == 200
        await world.parts.sessions.flush()
        more.set()
        assert data(await client.chunk()) == PROGRESS


@pytest.mark.requirement("P-29", "GW-10", "GW-11")
async def test_a_silent_stream_is_kept_alive_and_decided_again(world: World) -> None:
    tokens = await world.tokens()
    world.gateway._answers.returns._keep_alive_seconds = 0.05

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.gone()

    world.upstream.scripts["tools/call"] = play
    async with line(world) as client:
        await client.post(tokens.access, "tools/call", CALL)
        await opened(client)
        assert (await client.chunk()).startswith(b":")
        assert (await client.chunk()).endswith(b"\n\n")
        await world.ceiling(None)
        while (chunk := await client.chunk()).startswith(b":"):
            pass

    assert data(chunk)["error"]["data"]["reason"] == "ceiling.none"


@pytest.mark.requirement("GW-11", "S-07", "K-09")
async def test_a_stream_that_is_never_silent_is_decided_again_too(world: World) -> None:
    """What runs out by the clock tells nobody; a busy server must not outlive a consent."""
    tokens = await world.tokens(days=300 / 86_400)
    world.gateway._answers.returns._keep_alive_seconds = 0.5

    async def talk(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        while True:
            await wire.event(PROGRESS)
            await asyncio.sleep(0.001)  # the wire tells of a broken connection when used

    world.upstream.scripts["tools/call"] = talk
    async with line(world) as client:
        await client.post(tokens.access, "tools/call", CALL)
        await opened(client)
        assert data(await client.chunk()) == PROGRESS
        world.clock.advance(timedelta(seconds=301))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (said := data(await client.chunk())) == PROGRESS:
                pass

    assert said["error"]["data"]["reason"] == "session.ended"


@pytest.mark.requirement("P-10", "P-19")
async def test_a_second_answer_in_a_stream_is_nobodys(road: World, tokens: Tokens) -> None:
    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(RESULT)
        await wire.event({"jsonrpc": "2.0", "id": 1, "result": {"evil": True}})
        await wire.end_stream()

    road.upstream.scripts["tools/call"] = play

    answer = await road.call(tokens.access)

    assert data(answer.content) == RESULT
    assert "evil" not in answer.text
    assert (await eventually(road, "call.outcome"))[-1]["outcome"] == "ok"


@pytest.mark.requirement("GW-13")
async def test_a_modern_server_does_not_ask_as_older_ones_do(road: World, tokens: Tokens) -> None:
    """Its questions travel in results, where they are held against what the client can."""

    async def ask(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage"})
        await wire.end_stream()

    road.upstream.scripts["tools/call"] = ask

    answer = await road.call(tokens.access)

    assert data(answer.content)["error"]["code"] == -32603
    assert "sampling" not in answer.text


@pytest.mark.requirement("SEC-64", "GW-10")
async def test_an_event_that_is_too_large_ends_the_stream_with_an_error(
    road: World, tokens: Tokens
) -> None:
    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(PROGRESS)
        for _ in range(33):
            await wire.chunk(b"x" * (1 << 20))
        await wire.gone()

    road.upstream.scripts["tools/call"] = play

    answer = await road.call(tokens.access)

    first, _, last = answer.content.partition(b"\r\n\r\n")
    assert data(first) == PROGRESS
    assert data(last)["error"]["code"] == -32603
    assert data(last)["id"] == 1


@pytest.mark.requirement("GW-15")
async def test_ids_of_the_two_directions_are_apart(road: World, tokens: Tokens) -> None:
    """Both sides of the older era count from one: a question is never taken for an answer."""
    question = {"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}}
    reply = {"jsonrpc": "2.0", "id": 1, "result": {"action": "decline"}}
    told = asyncio.Event()

    async def ask(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(question)
        await told.wait()
        await wire.event(RESULT)
        await wire.end_stream()

    road.upstream.scripts["tools/call"] = ask
    async with line(road) as client:
        await client.post(tokens.access, "tools/call", CALL, version=LEGACY)
        await opened(client)
        assert data(await client.chunk()) == question
        answer = await road.send(tokens.access, "", version=LEGACY, body=json.dumps(reply).encode())
        assert answer.status_code == 202
        assert road.upstream.seen[-1].message == reply
        told.set()
        assert data(await client.chunk()) == RESULT
        assert await client.chunk() == b""

    assert (await eventually(road, "call.outcome"))[-1]["outcome"] == "ok"


@pytest.mark.requirement("P-19")
async def test_a_stream_that_ends_without_an_answer_is_not_given_one(
    road: World, tokens: Tokens
) -> None:
    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(PROGRESS)
        await wire.end_stream()

    road.upstream.scripts["tools/call"] = play

    answer = await road.call(tokens.access, version=LEGACY)

    assert data(answer.content) == PROGRESS
    assert (await eventually(road, "call.outcome"))[-1]["outcome"] == "unanswered"


@pytest.mark.parametrize(
    "said",
    [
        b"data: {}\n\n",
        b"data: nonsense\n\n",
        b'data: {"jsonrpc":"1.0","id":1,"result":{}}\n\n',
        b'data: {"jsonrpc":"2.0","id":2,"result":{}}\n\n',
        b'data: {"jsonrpc":"2.0","id":1,"method":"x","result":{"tools":[]}}\n\n',
        b'data: {"jsonrpc":"2.0","id":1,"method":"x","error":{"code":1,"message":""}}\n\n',
        b'data: {"jsonrpc":"2.0","id":1}\n\n',
        b'data: [{"jsonrpc":"2.0","id":1,"result":{}}]\n\n',
        b"data: \xff\n\n",
    ],
)
@pytest.mark.requirement("SEC-57", "P-19")
async def test_what_is_no_message_ends_the_stream_with_an_error(
    road: World, tokens: Tokens, said: bytes
) -> None:
    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.chunk(said)
        await wire.end_stream()

    road.upstream.scripts["tools/call"] = play

    answer = await road.call(tokens.access)

    assert data(answer.content)["error"]["code"] == -32603
    assert said not in answer.content


@pytest.mark.requirement("P-19", "GW-09")
@pytest.mark.parametrize("kind", ["call", "get", "listen"])
async def test_a_client_that_hangs_up_closes_the_upstreams_stream(
    world: World, tokens_of: Any, kind: str
) -> None:
    tokens = await tokens_of(world)
    gone = asyncio.Event()

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(PROGRESS)
        await wire.gone()
        gone.set()

    world.upstream.scripts |= {"GET": play, "subscriptions/listen": play, "tools/call": play}
    async with line(world) as client:
        if kind == "get":
            await get(client, tokens.access)
        elif kind == "listen":
            await client.post(tokens.access, "subscriptions/listen", {"notifications": {}})
        else:
            await client.post(tokens.access, "tools/call", CALL)
        await opened(client)
        await client.chunk()
        client.hang_up()
        async with asyncio.timeout(10):
            await gone.wait()
        if kind != "get":
            assert (await eventually(world, "call.outcome"))[-1]["outcome"] == "cancelled"


@pytest.fixture
def tokens_of() -> Any:
    async def make(world: World) -> Tokens:
        return await world.tokens()

    return make


async def test_a_graceful_stop_ends_standing_streams_and_lets_calls_finish(world: World) -> None:
    tokens = await world.tokens()
    finish = asyncio.Event()

    async def stand(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(PROGRESS)
        await wire.gone()

    async def work(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(PROGRESS)
        await finish.wait()
        await wire.event(RESULT)
        await wire.end_stream()

    world.upstream.scripts |= {"GET": stand, "tools/call": work}
    async with line(world) as standing, line(world) as calling:
        await get(standing, tokens.access)
        await calling.post(tokens.access, "tools/call", CALL)
        for each in (standing, calling):
            await opened(each)
            await each.chunk()
        world.gateway.stop()
        assert await standing.chunk() == b""
        finish.set()
        assert data(await calling.chunk()) == RESULT


async def _initialize(world: World, token: str, path: str = "/mcp/tickets") -> str:
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {}}
    answer = await world.send(
        token,
        "initialize",
        params,
        version=LEGACY,
        path=path,
        headers={"mcp-protocol-version": None},
    )
    assert answer.status_code == 200
    return str(answer.headers["mcp-session-id"])


@pytest.mark.requirement("S-09", "SEC-30", "S-02")
async def test_an_older_sessions_id_is_sealed_and_the_upstreams_own_is_never_shown(
    road: World, tokens: Tokens
) -> None:
    sealed = await _initialize(road, tokens.access)
    road.upstream.seen.clear()

    answer = await road.call(tokens.access, version=LEGACY, headers={"mcp-session-id": sealed})

    assert answer.status_code == 200
    assert SESSION not in sealed
    assert road.upstream.seen[0].header("mcp-session-id") == SESSION
    assert "mcp-session-id" not in answer.headers


@pytest.mark.requirement("S-09", "SEC-30", "SEC-31", "S-10", "RS-15")
@pytest.mark.parametrize("whose", ["person", "server", "agent", "tampered", "raw", "empty", "long"])
async def test_somebody_elses_session_id_is_unknown(
    road: World, tokens: Tokens, whose: str
) -> None:
    sealed = await _initialize(road, tokens.access)
    user, path = tokens, "/mcp/tickets"
    if whose == "person":
        user = await road.tokens(person="bob")
    elif whose == "agent":
        user = await road.tokens(client="assistant")
    elif whose == "server":
        user, path = await road.tokens(server="notes"), "/mcp/notes"
    given = {
        "tampered": sealed[:-3] + ("AAA" if sealed[-3:] != "AAA" else "BBB"),
        "raw": SESSION,
        "empty": "",
        "long": "A" * 5000,
    }.get(whose, sealed)
    road.upstream.seen.clear()

    answer = await road.call(
        user.access, version=LEGACY, path=path, headers={"mcp-session-id": given}
    )

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == -32600
    assert road.upstream.seen == []


@pytest.mark.requirement("S-09")
@pytest.mark.parametrize("json_body", [True, False])
async def test_a_session_the_upstream_forgot_is_404_to_the_client(
    road: World, tokens: Tokens, json_body: bool
) -> None:
    sealed = await _initialize(road, tokens.access)

    async def forgotten(_seen: Seen, wire: Wire) -> None:
        error = {"code": -32600, "message": "Session not found"}
        if json_body:
            await wire.answer({"jsonrpc": "2.0", "id": 1, "error": error}, status=404)
        else:
            await wire.answer(b"gone", status=404, kind="text/plain")

    road.upstream.scripts["tools/call"] = forgotten

    answer = await road.call(tokens.access, version=LEGACY, headers={"mcp-session-id": sealed})

    assert answer.status_code == 404


@pytest.mark.requirement("S-09", "P-02")
@pytest.mark.parametrize("status", [200, 202, 204])
async def test_ending_a_session_reaches_the_upstream(
    road: World, tokens: Tokens, status: int
) -> None:
    """An answer without content has no length either (RFC 9110 section 8.6)."""
    sealed = await _initialize(road, tokens.access)
    road.upstream.seen.clear()

    async def end(_seen: Seen, wire: Wire) -> None:
        await wire.answer(b"", status=status, kind="")

    road.upstream.scripts["DELETE"] = end
    headers = {"authorization": f"Bearer {tokens.access}", "mcp-protocol-version": LEGACY}

    ended = await road.http.delete(
        f"{ACME}/mcp/tickets", headers=headers | {"mcp-session-id": sealed}
    )

    assert ended.status_code == status
    assert ended.content == b""
    assert ended.headers.get("content-length") == (None if status == 204 else "0")
    (seen,) = road.upstream.seen
    assert (seen.verb, seen.header("mcp-session-id")) == ("DELETE", SESSION)


@pytest.mark.requirement("P-02", "SEC-32")
async def test_a_resumed_stream_brings_answers_but_no_hidden_tools(world: World) -> None:
    low = await world.tokens(level=Level.LOW)
    sealed = await _initialize(world, low.access)
    call = {"jsonrpc": "2.0", "id": 7, "result": {"content": []}}
    tools = {"jsonrpc": "2.0", "id": 8, "result": {"tools": world.upstream.tools}}

    returns = world.gateway._answers.returns
    last = returns._event_ids.leave(b"id: 40\n\n", caller_of(low), SESSION).decode().strip()

    async def resume(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(call, lead=b"id: 41\n")
        await wire.event(tools, lead=b"id: 42\n")
        await wire.end_stream()

    world.upstream.scripts["GET"] = resume
    world.upstream.seen.clear()
    async with line(world) as client:
        await get(client, low.access, f"mcp-session-id: {sealed}", f"last-event-{last}")
        await opened(client)
        assert data(await client.chunk()) == call
        listed = await client.chunk()

    assert world.upstream.seen[0].header("last-event-id") == "40"
    names = {tool["name"] for tool in data(listed)["result"]["tools"]}
    assert names == {"get_issue", "query_rows"}
    assert b"id: 42" not in listed
    assert listed.startswith(b"id: ")


@pytest.mark.requirement("P-02")
@pytest.mark.parametrize("version", LEGACY_VERSIONS)
async def test_a_server_without_a_standing_stream_says_405(
    road: World, tokens: Tokens, version: str
) -> None:
    headers = {"authorization": f"Bearer {tokens.access}", "mcp-protocol-version": version}

    assert (await road.http.get(f"{ACME}/mcp/tickets", headers=headers)).status_code == 405


PAUSE = {
    "jsonrpc": "2.0",
    "id": 1,
    "result": {
        "resultType": "input_required",
        "inputRequests": {"k": {"method": "elicitation/create", "params": {}}},
        "requestState": "the upstream's own",
    },
}


async def _paused(world: World, token: str, **more: Any) -> str:
    async def pause(_seen: Seen, wire: Wire) -> None:
        await wire.answer(PAUSE)

    world.upstream.scripts["tools/call"] = pause
    answer = await world.send(token, "tools/call", CALL, capabilities={"elicitation": {}}, **more)
    result = answer.json()["result"]
    state = result.pop("requestState")
    assert result == {k: v for k, v in PAUSE["result"].items() if k != "requestState"}  # type: ignore[attr-defined]  # a dict
    assert "upstream" not in state
    del world.upstream.scripts["tools/call"]
    world.upstream.seen.clear()
    return str(state)


@pytest.mark.requirement("GW-12", "SEC-31")
async def test_a_request_state_comes_back_to_the_upstream_as_it_was(
    road: World, tokens: Tokens
) -> None:
    state = await _paused(road, tokens.access)
    again = CALL | {"requestState": state, "inputResponses": {"k": {"action": "accept"}}}

    answer = await road.send(tokens.access, "tools/call", again, message_id=2)

    assert answer.status_code == 200
    params = road.upstream.seen[0].message["params"]
    assert params["requestState"] == "the upstream's own"
    assert params["inputResponses"] == again["inputResponses"]
    assert road.upstream.seen[0].message["id"] == 2


@pytest.mark.requirement("GW-12", "SEC-31", "SEC-30")
@pytest.mark.parametrize(
    "change",
    ["person", "agent", "server", "arguments", "name", "method", "tampered", "raw", "late", "type"],
)
async def test_a_request_state_belongs_to_one_call_of_one_person(world: World, change: str) -> None:
    tokens = await world.tokens()
    state: Any = await _paused(world, tokens.access)
    user, path, method, params = tokens, "/mcp/tickets", "tools/call", dict(CALL)
    match change:
        case "person":
            user = await world.tokens(person="bob")
        case "agent":
            user = await world.tokens(client="assistant")
        case "server":
            user, path = await world.tokens(server="notes"), "/mcp/notes"
        case "arguments":
            params["arguments"] = {"id": "T-8"}
        case "name":
            params["name"] = "create_issue"
        case "method":
            method = "prompts/get"
        case "tampered":
            state = state[:-4] + "AAAA"
        case "raw":
            state = "the upstream's own"
        case "late":
            world.clock.advance(timedelta(seconds=600))
        case _:
            state = {"x": 1}
    world.upstream.seen.clear()

    answer = await world.send(user.access, method, params | {"requestState": state}, path=path)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == -32602
    assert world.upstream.calls() == []
    assert world.events("call.outcome")[-1]["outcome"] == "invalid_params"


@pytest.mark.requirement("GW-13")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("capabilities", "asked", "passes"),
    [
        ({"elicitation": {}}, "elicitation/create", True),
        ({}, "elicitation/create", False),
        ({"sampling": {}}, "elicitation/create", False),
        ({"sampling": {}}, "sampling/createMessage", True),
        ({"roots": {}}, "roots/list", True),
        ({"elicitation": {}}, "sampling/createMessage", False),
        ({"elicitation": {}, "sampling": {}, "roots": {}}, "something/else", False),
    ],
)
async def test_a_server_asks_only_for_what_the_client_can(
    road: World,
    tokens: Tokens,
    capabilities: dict[str, Any],
    asked: str,
    passes: bool,
    stream: bool,
) -> None:
    result = {"resultType": "input_required", "inputRequests": {"k": {"method": asked}}}
    said = {"jsonrpc": "2.0", "id": 1, "result": result}

    async def ask(_seen: Seen, wire: Wire) -> None:
        if not stream:
            await wire.answer(said)
            return
        await wire.begin_stream()
        await wire.event(said)
        await wire.end_stream()

    road.upstream.scripts["tools/call"] = ask

    answer = await road.send(tokens.access, "tools/call", CALL, capabilities=capabilities)

    message = data(answer.content) if stream else answer.json()
    assert ("result" in message) == passes
    if not passes:
        assert message["error"]["code"] == -32603
        assert asked not in answer.text


@pytest.mark.requirement("Z-37", "SEC-25", "P-24")
@pytest.mark.parametrize("version", [MODERN, LEGACY])
@pytest.mark.parametrize(
    "how",
    ["reset", "truncated", "401", "401 error", "403", "301", "500", "201", "206", "gzip", "html",
     "wrong id", "not json", "not rpc", "empty", "202", "204", "no type", "request", "two types",
     "deep", "deep stream", "100 MB"],
)  # fmt: skip
async def test_an_upstream_that_misbehaves_is_a_clear_error(  # noqa: C901, PLR0915  one case each
    road: World, tokens: Tokens, how: str, version: str
) -> None:
    good = json.dumps(RESULT).encode()

    async def play(_seen: Seen, wire: Wire) -> None:  # noqa: C901, PLR0912  one case each
        match how:
            case "reset":
                wire.reset()
            case "truncated":
                await wire.send(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    b"content-length: 999\r\n\r\n" + good
                )
                wire.reset()
            case "301":
                location = f"location: {road.upstream.url}?again"
                await wire.answer(good, status=301, headers=(location,))
            case "401":
                challenge = 'www-authenticate: Bearer realm="upstream-secret"'
                await wire.answer(good, status=401, headers=(challenge,))
            case "401 error":
                error = {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "m"}}
                await wire.answer(error, status=401)
            case "gzip":
                await wire.answer(good, headers=("content-encoding: gzip",))
            case "html":
                await wire.answer(b"<html>upstream-secret", kind="text/html")
            case "wrong id":
                await wire.answer({"jsonrpc": "2.0", "id": 2, "result": {}})
            case "not json":
                await wire.answer(b"upstream-secret")
            case "not rpc":
                await wire.answer({"result": {}, "id": 1})
            case "empty":
                await wire.answer(b"")
            case "no type":
                await wire.answer(good, kind="")
            case "two types":
                await wire.answer(good, headers=("content-type: text/event-stream",))
            case "request":
                await wire.answer(RESULT | {"method": "tools/call"})
            case "deep":
                await wire.answer(b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 100_000)
            case "deep stream":
                event = b'data: {"jsonrpc":"2.0","id":1,"result":' + b"[" * 100_000 + b"\n\n"
                await wire.answer(event, kind="text/event-stream")
            case "100 MB":
                await wire.send(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    b"content-length: 100000000\r\n\r\n"
                )
                for _ in range(600):
                    await wire.send(b"x" * 65536)
                await wire.gone()
            case _:
                await wire.answer(good, status=int(how))

    road.upstream.scripts["tools/call"] = play

    answer = await road.call(tokens.access, version=version)

    assert answer.status_code == 200
    said = data(answer.content) if how == "deep stream" else answer.json()
    error = said["error"]
    assert error["code"] == -32603
    assert said["id"] == 1
    assert error["data"] == {"reason": "upstream_failed"}
    assert "upstream-secret" not in answer.text
    assert "127.0.0.1" not in answer.text
    assert "www-authenticate" not in answer.headers
    assert len(road.upstream.calls()) == 1
    assert road.events("call.outcome")[-1]["outcome"] == "upstream_failed"
    del road.upstream.scripts["tools/call"]
    assert (await road.call(tokens.access)).json().get("result")


@pytest.mark.requirement("P-10")
async def test_a_second_response_is_nobodys(road: World, tokens: Tokens) -> None:
    """Response smuggling: what follows a whole response never answers the next call."""
    good = json.dumps(RESULT).encode()
    evil = json.dumps({"jsonrpc": "2.0", "id": 2, "result": {"evil": True}}).encode()

    async def play(_seen: Seen, wire: Wire) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        await wire.send(head % len(good) + good + head % len(evil) + evil)

    road.upstream.scripts["tools/call"] = play
    assert (await road.call(tokens.access)).json() == RESULT
    del road.upstream.scripts["tools/call"]

    answer = await road.call(tokens.access, message_id=2)

    assert "evil" not in answer.text


@pytest.mark.requirement("P-29")
async def test_an_upstream_that_hangs_times_out(tmp_path: Path) -> None:
    from tests.road.world import world_at

    limits = {"limits": {"upstream_head_seconds": 1, "upstream_idle_seconds": 1}}
    async with world_at(tmp_path, server=limits) as world:
        tokens = await world.tokens()

        async def hang(_seen: Seen, wire: Wire) -> None:
            await wire.gone()

        world.upstream.scripts["tools/call"] = hang
        answer = await world.call(tokens.access)

        assert answer.status_code == 200
        assert answer.json()["error"]["data"] == {"reason": "upstream_timeout"}
        assert world.events("call.outcome")[-1]["outcome"] == "upstream_timeout"
