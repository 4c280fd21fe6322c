"""A body that arrives late is judged by what holds when it is whole.

Whoever ended a session was told that no call goes through any more. That is done by another
process here, as commands and other workers do it, because one's own changes one knows at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from safeconduct import hosts
from safeconduct.app import Installation, open_installation
from safeconduct.core.model import HostId, Level
from safeconduct.proxy import Background
from tests.api.asking import SECRET, points
from tests.road.world import (
    LEGACY,
    MODERN,
    Line,
    Tokens,
    World,
    body_of,
    headers_of,
    line,
    world_at,
)

ACME = HostId("acme")
PATHS = ["/mcp/tickets", "/mcp/%74ickets"]  # of which ASGI serves the second
FORM = "application/x-www-form-urlencoded"
pytestmark = pytest.mark.requirement("Z-24", "T-16")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_at(tmp_path, acme=points(tmp_path, mesh=SECRET)) as world:
        yield world


@contextlib.asynccontextmanager
async def beside(world: World) -> AsyncIterator[Installation]:
    """Open the same installation as another process does."""
    async with open_installation(world.parts.settings, clock=world.clock) as parts:
        yield parts


async def known(world: World) -> Tokens:
    """Return tokens that the gateway has in memory already, as those of every second call."""
    tokens = await world.tokens()
    assert (await world.call(tokens.access)).status_code == 200
    world.upstream.seen.clear()
    return tokens


async def end_session(parts: Installation, tokens: Tokens) -> None:
    await parts.revocations.end_session(ACME, tokens.session, by="test", because="test.revoked")


async def forget_point(parts: Installation, _tokens: Tokens) -> None:
    """Take the enforcement point off the host."""
    import msgspec

    async with parts.database.write() as tx:
        host = await hosts.find(tx, ACME)
        assert host is not None
        policies = msgspec.structs.replace(host.policies, enforcement_points=())
        await hosts.save(tx, msgspec.structs.replace(host, policies=policies))


async def move_host(parts: Installation, _tokens: Tokens) -> None:
    """Give the host another address, for which nobody has a token."""
    import msgspec

    async with parts.database.write() as tx:
        host = await hosts.find(tx, ACME)
        assert host is not None
        await hosts.save(tx, msgspec.structs.replace(host, origin="http://elsewhere.test"))


async def arrived(client: Line) -> None:
    """Wait until the gateway has begun to read a body: it was told that one comes."""
    assert (await client.head())[0] == 100
    # How far it has read shows nowhere; what it does with a piece, it does in a few turns.
    await asyncio.sleep(0.05)


async def answer_of(client: Line) -> tuple[int, Any]:
    status, _, body = await client.whole()
    return status, json.loads(body) if body else None


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("version", [MODERN, LEGACY])
@pytest.mark.parametrize(
    ("size", "ended"), [(10, True), (60_000, True), (200_000, True), (200_000, False)]
)
async def test_a_call_is_judged_by_what_holds_when_its_body_is_whole(
    world: World, path: str, size: int, version: str, ended: bool
) -> None:
    tokens = await known(world)
    call = {"name": "get_issue", "arguments": {"id": "x" * size}}
    body = body_of("tools/call", call, version=version)
    headers = headers_of("tools/call", call, version=version)
    fields = [f"{name}: {value}" for name, value in headers.items()]
    fields += [f"authorization: Bearer {tokens.access}", "expect: 100-continue"]
    early = max(5, len(body) - 1000)
    async with line(world) as client, beside(world) as other:
        await client.raw(f"POST {path} HTTP/1.1", [*fields, f"content-length: {len(body)}"])
        client.writer.write(body[:early])
        await arrived(client)
        if ended:
            await end_session(other, tokens)
        client.writer.write(body[early:])
        status, _ = await answer_of(client)

    assert status == (401 if ended else 200)
    assert len(world.upstream.seen) == (not ended)


@pytest.mark.parametrize("path", PATHS)
async def test_a_host_that_moves_while_a_body_arrives_takes_no_token_of_its_old_address(
    world: World, path: str
) -> None:
    tokens = await known(world)
    call = {"name": "get_issue", "arguments": {"id": "x" * 200_000}}
    body = body_of("tools/call", call)
    fields = [f"{name}: {value}" for name, value in headers_of("tools/call", call).items()]
    fields += [f"authorization: Bearer {tokens.access}", "expect: 100-continue"]
    async with line(world) as client, beside(world) as other:
        await client.raw(f"POST {path} HTTP/1.1", [*fields, f"content-length: {len(body)}"])
        client.writer.write(body[:100_000])
        await arrived(client)
        await move_host(other, tokens)
        client.writer.write(body[100_000:])
        status, _ = await answer_of(client)

    assert status == 421  # the door looks again when the body is whole
    assert world.upstream.seen == []


async def test_a_list_shows_what_its_host_shows_when_it_is_answered(world: World) -> None:
    import msgspec

    tokens = await world.tokens(level=Level.LOW)
    host = world.host()
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(seen: Any, wire: Any) -> None:
        reached.set()
        await go_on.wait()
        result = {"tools": world.upstream.tools}
        await wire.answer({"jsonrpc": "2.0", "id": seen.message["id"], "result": result})

    async def saved(*, everything: bool) -> None:
        policies = msgspec.structs.replace(host.policies, lists_everything=everything)
        async with world.parts.database.write() as tx:
            await hosts.save(tx, msgspec.structs.replace(host, policies=policies))
        await world.parts.hosts.refresh()

    await saved(everything=True)
    world.upstream.scripts["tools/list"] = slowly
    listing = asyncio.create_task(world.send(tokens.access, "tools/list"))
    await reached.wait()
    await saved(everything=False)
    go_on.set()

    names = {each["name"] for each in (await listing).json()["result"]["tools"]}
    assert "get_issue" in names
    assert "delete_issue" not in names  # which a low level may not call


@pytest.mark.parametrize("path", PATHS)
async def test_chunks_that_arrive_late_are_no_way_around(world: World, path: str) -> None:
    tokens = await known(world)
    call = {"name": "get_issue", "arguments": {"id": "x" * 100_000}}
    body = body_of("tools/call", call)
    fields = [f"{name}: {value}" for name, value in headers_of("tools/call", call).items()]
    fields += [f"authorization: Bearer {tokens.access}", "expect: 100-continue"]
    async with line(world) as client, beside(world) as other:
        await client.raw(f"POST {path} HTTP/1.1", [*fields, "transfer-encoding: chunked"])
        client.writer.write(b"%x\r\n%b\r\n" % (90_000, body[:90_000]))
        await arrived(client)
        await end_session(other, tokens)
        client.writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body) - 90_000, body[90_000:]))
        status, _ = await answer_of(client)

    assert status == 401
    assert world.upstream.seen == []


async def test_a_request_behind_another_is_judged_when_its_turn_comes(world: World) -> None:
    tokens = await known(world)
    call = {"name": "get_issue", "arguments": {"id": "T-7"}}
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_seen: Any, wire: Any) -> None:
        reached.set()
        await go_on.wait()
        await wire.answer({"jsonrpc": "2.0", "id": 1, "result": {"content": []}})

    world.upstream.scripts["tools/call"] = wait
    async with line(world) as client, beside(world) as other:
        for _ in range(2):
            await client.post(tokens.access, "tools/call", call)
        await reached.wait()
        await end_session(other, tokens)
        go_on.set()
        await client.whole()
        status, _ = await answer_of(client)

    assert status == 401
    assert len(world.upstream.calls()) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [(None, (200, True)), (end_session, (200, False)), (forget_point, (503, None))],
    ids=["nothing", "session", "point"],
)
async def test_what_enforcement_points_ask_is_judged_likewise(
    world: World, change: Any, expected: tuple[int, bool | None]
) -> None:
    """Introspection stands for all that goes through ASGI: the edge looks at each body's end."""
    tokens = await known(world)
    body = f"token={tokens.access}".encode()
    fields = [f"authorization: Bearer {SECRET}", f"content-type: {FORM}", "expect: 100-continue"]
    async with line(world) as client, beside(world) as other:
        await client.raw(
            "POST /oauth/introspect HTTP/1.1", [*fields, f"content-length: {len(body)}"]
        )
        client.writer.write(body[:10])
        await arrived(client)
        if change is not None:
            await change(other, tokens)
        client.writer.write(body[10:])
        status, _, said = await client.whole()

    assert status == expected[0]
    if expected[1] is not None:
        assert json.loads(said)["active"] is expected[1]


class Paused(Background):
    """Runs what takes a while, and hands it over when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.done, self.go_on = asyncio.Event(), asyncio.Event()

    async def run(self, owner: Any, work: Any, *args: Any, **kwargs: Any) -> Any:
        found = await super().run(owner, work, *args, **kwargs)
        self.done.set()
        await self.go_on.wait()
        return found


@pytest.mark.parametrize(
    ("change", "status"), [(None, 200), (end_session, 401)], ids=["nothing", "session"]
)
async def test_what_ends_while_a_large_message_is_read_is_ended(
    world: World, monkeypatch: pytest.MonkeyPatch, change: Any, status: int
) -> None:
    """Large messages are read beside the loop, which goes on meanwhile."""
    tokens, paused = await known(world), Paused()
    pipeline = world.gateway._answers.protocol.keywords["endpoint"]._pipeline  # type: ignore[attr-defined]
    monkeypatch.setattr(pipeline, "_background", paused)
    async with beside(world) as other:
        calling = asyncio.create_task(world.call(tokens.access, arguments={"id": "x" * 200_000}))
        await paused.done.wait()
        if change is not None:
            await change(other, tokens)
        paused.go_on.set()
        answer = await calling

    assert answer.status_code == status
    assert len(world.upstream.seen) == (status == 200)
