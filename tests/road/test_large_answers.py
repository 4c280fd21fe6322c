"""How large an answer may be: the same whatever its form, and said where it is larger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.road.upstream import Seen, Wire
from tests.road.world import LEGACY, MODERN, Tokens, World, world_at

pytestmark = pytest.mark.requirement("SEC-64")
SIZES = [4_300_000, 6_000_000, pytest.param(30_000_000, marks=pytest.mark.slow)]
METHODS = {
    "tools/call": {"name": "get_issue", "arguments": {"id": "T-7"}},
    "resources/read": {"uri": "ticket://T-7"},
}


def result_of(method: str, size: int) -> dict[str, Any]:
    """A result with a picture of so many characters, as screenshots are."""
    picture = "A" * size
    if method == "resources/read":
        return {"contents": [{"uri": "ticket://T-7", "mimeType": "image/png", "blob": picture}]}
    return {"content": [{"type": "image", "mimeType": "image/png", "data": picture}]}


async def asked(
    world: World, tokens: Tokens, message: bytes, *, method: str, version: str, stream: bool
) -> httpx2.Response:
    """Let the server answer with these very bytes; return what the agent gets."""

    async def play(_seen: Seen, wire: Wire) -> None:
        if not stream:
            await wire.answer(message)
            return
        await wire.begin_stream()
        await wire.chunk(b"id: 7\r\nevent: message\r\ndata: " + message + b"\r\n\r\n")
        await wire.end_stream()

    world.upstream.scripts[method] = play
    return await world.send(tokens.access, method, METHODS[method], version=version)


def message_in(answer: httpx2.Response, *, stream: bool) -> dict[str, Any]:
    text = answer.content
    if stream:
        text = text.partition(b"data: ")[2].strip()
    message: dict[str, Any] = json.loads(text)
    return message


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("version", [LEGACY, MODERN])
@pytest.mark.parametrize("method", METHODS)
async def test_a_large_answer_arrives_whole_in_either_form(
    shared: World, tokens: Tokens, method: str, version: str, stream: bool, size: int
) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": result_of(method, size)}
    raw = json.dumps(message).encode()

    answer = await asked(shared, tokens, raw, method=method, version=version, stream=stream)

    assert answer.status_code == 200
    assert message_in(answer, stream=stream) == message


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("version", [LEGACY, MODERN])
@pytest.mark.parametrize("method", METHODS)
async def test_the_limit_can_be_set_and_is_the_same_for_both_forms(
    tmp_path: Path, method: str, version: str, stream: bool
) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": result_of(method, 70_000)}
    raw = json.dumps(message).encode()
    async with world_at(tmp_path, server={"limits": {"answer_bytes": len(raw)}}) as world:
        tokens = await world.tokens()
        how = {"method": method, "version": version, "stream": stream}

        fits = await asked(world, tokens, raw, **how)
        larger = await asked(world, tokens, raw + b" ", **how)
        much_larger = await asked(world, tokens, raw + b" " * 500_000, **how)

        assert message_in(fits, stream=stream) == message
        for answer in (larger, much_larger):
            assert answer.status_code == 200
            error = message_in(answer, stream=stream)["error"]
            assert error["code"] == -32603
            assert f"longer than {len(raw)} bytes" in error["message"]
            assert "was carried out" in error["message"]
            assert "do not repeat it" in error["message"]
            assert "server.limits.answer_bytes" in error["message"]
        outcomes = [event["outcome"] for event in world.events("call.outcome")]
        assert outcomes == ["ok", "upstream_failed", "upstream_failed"]
