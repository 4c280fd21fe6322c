"""A graceful stop: what only stands is ended, what works is finished and written down."""

from __future__ import annotations

import asyncio
import json
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from safeconduct import sessions
from safeconduct.core.model import HostId
from tests.road.served import served
from tests.road.upstream import Seen, Wire
from tests.road.world import LEGACY, world_at

pytestmark = pytest.mark.slow
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
RESULT = {"jsonrpc": "2.0", "id": 1, "result": {"content": []}}
DRAIN_SECONDS = 20  # how long the gateway waits for what works
EXIT_SECONDS = DRAIN_SECONDS + 40


@pytest.mark.requirement("S-01", "S-04")
async def test_the_last_use_of_a_session_is_kept_over_a_stop(tmp_path: Path) -> None:
    """It is written behind the calls, so what is not written yet is written at the end."""
    async with world_at(tmp_path) as world:
        tokens = await world.tokens()
        world.clock.advance(timedelta(minutes=10))
        assert (await world.call(tokens.access)).status_code == 200
        called = world.clock.now()

    async with world_at(tmp_path) as again, again.parts.database.read() as tx:
        (session,) = await sessions.live(tx, HostId("acme"), at=called)
    assert session.used_at == called


@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_ends_standing_streams_and_lets_a_call_finish(
    tmp_path: Path, workers: int
) -> None:
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

    async with served(tmp_path, workers=workers) as site:
        token = await site.token()
        site.upstream.scripts |= {"GET": stand, "tools/call": work}
        async with site.line() as standing, site.line() as calling:
            await standing.raw(
                "GET /mcp/tickets HTTP/1.1",
                [
                    f"authorization: Bearer {token}",
                    "accept: text/event-stream",
                    f"mcp-protocol-version: {LEGACY}",
                ],
            )
            await calling.post(token, "tools/call", {"name": "get_issue", "arguments": {}})
            for each in (standing, calling):
                assert (await each.head())[0] == 200
                await each.chunk()

            site.gateway.process.send_signal(signal.SIGTERM)
            assert await standing.chunk() == b""
            assert site.records("call.outcome") == []
            finish.set()
            told = (await calling.chunk()).partition(b"data: ")[2]
            assert json.loads(told) == RESULT
            assert await calling.chunk() == b""

        async with asyncio.timeout(EXIT_SECONDS):
            assert await site.gateway.process.wait() == 0
        (intent,) = site.records("call.intent")
        (outcome,) = site.records("call.outcome")
        assert (outcome["of"], outcome["outcome"]) == (intent["id"], "ok")
        assert (await site.command("audit", "verify"))["whole"] is True


async def test_a_call_that_does_not_finish_is_ended_and_written_down(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def hang(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(PROGRESS)
        await over.wait()

    async with served(tmp_path) as site:
        site.may_log.append("Cancel 1 running task(s)")  # uvicorn, when it waited long enough
        token = await site.token()
        site.upstream.scripts["tools/call"] = hang
        async with site.line() as calling:
            await calling.post(token, "tools/call", {"name": "get_issue", "arguments": {}})
            assert (await calling.head())[0] == 200
            await calling.chunk()

            site.gateway.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(EXIT_SECONDS):
                assert await site.gateway.process.wait() == 0

        (intent,), (outcome,) = site.records("call.intent"), site.records("call.outcome")
        assert (outcome["of"], outcome["outcome"]) == (intent["id"], "cancelled")
        over.set()
