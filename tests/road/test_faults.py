"""Crashes and crowds: no call without its record, and nobody waits for a dawdler."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import httpx2
import pytest
import yaml

from safeconduct.audit import verify
from safeconduct.rehearsal import free_port
from tests.road.upstream import PATIENCE_SECONDS, Upstream, upstream
from tests.road.world import World, body_of, headers_of, host_settings, line, world_at

CALLERS = 8
CALLS_BEFORE_THE_END = 200


async def _served(config: Path) -> tuple[asyncio.subprocess.Process, int]:
    """Start the command and wait until it answers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "safeconduct", "serve", "-c", str(config)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    port = int(yaml.safe_load(config.read_text())["server"]["listen"].rpartition(":")[2])
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return process, port
            assert process.returncode is None, "the gateway did not start"
            await asyncio.sleep(0.05)


def _config(directory: Path, behind: Upstream) -> Path:
    config = directory / "safeconduct.yaml"
    limits = dict.fromkeys(("mcp_per_minute", "writes_per_minute", "all_per_minute"), 10_000_000)
    config.write_text(
        yaml.safe_dump(
            {
                "server": {
                    "listen": f"127.0.0.1:{free_port()}",
                    "data_dir": str(directory / "data"),
                    "allow_loopback_upstreams": True,
                    "rate_limits": limits,
                },
                "hosts": [host_settings("acme", behind.url), host_settings("other", behind.url)],
            }
        )
    )
    return config


@pytest.mark.slow
@pytest.mark.requirement("L-01", "Z-37")
@pytest.mark.parametrize("round_", range(3))
async def test_kill_9_loses_no_record_of_a_call_that_reached_the_upstream(
    tmp_path: Path, round_: int
) -> None:
    token = await _token(tmp_path)
    async with upstream() as behind:
        config = _config(tmp_path, behind)
        process, port = await _served(config)
        try:
            behind.seen.clear()
            async with httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS
            ) as http:
                callers = [
                    asyncio.create_task(_keep_calling(http, token, number))
                    for number in range(CALLERS)
                ]
                async with asyncio.timeout(60):
                    await _many(behind, CALLS_BEFORE_THE_END + round_ * 37)
                process.send_signal(signal.SIGKILL)
                await process.wait()
                await asyncio.gather(*callers)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

        reached = [hashlib.sha256(seen.body).hexdigest() for seen in behind.calls()]
    written = {
        record["body_sha256"]
        for path in (tmp_path / "data" / "audit").glob("*.jsonl")
        for record in _records(path)
        if record["kind"] == "call.intent"
    }
    assert len(reached) >= CALLS_BEFORE_THE_END
    assert set(reached) <= written
    assert len(set(reached)) == len(reached)


def _records(path: Path) -> list[dict[str, str]]:
    lines = path.read_bytes().split(b"\n")
    return [json.loads(found) for found in lines[:-1]]  # the last may be torn


async def _many(behind: Upstream, count: int) -> None:
    """Wait for so many calls; a gateway also reads the server by itself."""
    while len(behind.calls()) < count:
        await behind.arrived(len(behind.seen) + 1)


async def _token(directory: Path) -> str:
    """Make an installation in which alice's agent has a token that outlives the test."""
    import time
    from datetime import UTC, datetime

    async with world_at(directory) as world:
        now = datetime.fromtimestamp(time.time(), tz=UTC)  # noqa: TID251  the command has the real clock
        world.clock.advance(now - world.clock.now())
        return (await world.tokens()).access


async def _keep_calling(http: httpx2.AsyncClient, token: str, number: int) -> None:
    """Call until the gateway is gone; every call's arguments are its own."""
    count = 0
    with contextlib.suppress(httpx2.TransportError):
        while True:
            count += 1
            params = {"name": "get_issue", "arguments": {"id": f"{number}-{count}"}}
            headers = headers_of("tools/call", params) | {
                "authorization": f"Bearer {token}",
                "host": "acme.test",
            }
            body = body_of("tools/call", params)
            answer = await http.post("/mcp/tickets", content=body, headers=headers)
            assert answer.status_code == 200, answer.text


@pytest.mark.slow
@pytest.mark.requirement("P-29", "SEC-64")
@pytest.mark.parametrize("part", ["nothing", "head", "body", "login"])
async def test_a_thousand_slow_clients_stop_nobody(world: World, part: str) -> None:
    tokens = await world.tokens()
    sent = {
        "nothing": b"",
        "head": b"POST /mcp/tickets HTTP/1.1\r\nhost: acme.test\r\nx-slow: ",
        "body": b"POST /mcp/tickets HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 9999\r\n\r\n{",
        "login": b"POST /login HTTP/1.1\r\nhost: acme.test\r\ncontent-length: 999\r\n\r\na",
    }[part]
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(line(world)) for _ in range(1000)]
        for client in clients:
            client.writer.write(sent)
        async with asyncio.timeout(60):
            for _ in range(20):
                for client in clients if sent else ():
                    client.writer.write(b"a")  # each dribbles on, a byte at a time
                assert (await world.call(tokens.access)).status_code == 200


@pytest.mark.slow
@pytest.mark.requirement("P-29", "SEC-64")
@pytest.mark.parametrize("first", [b"", b"POST /mcp/tickets HTTP/1.1\r\nhost: acme.test\r\nx: y"])
async def test_a_client_that_dawdles_is_hung_up_on(
    world: World, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    from safeconduct.app import protocol

    monkeypatch.setattr(protocol, "_REQUEST_SECONDS", 0.5)
    async with line(world) as client:
        client.writer.write(first)
        async with asyncio.timeout(10):
            while not client.reader.at_eof():
                client.writer.write(first and b"y")  # going on slowly wins no more time
                with contextlib.suppress(TimeoutError, ConnectionError):
                    async with asyncio.timeout(0.05):
                        assert await client.reader.read(1) == b""


@pytest.mark.slow
async def test_the_trail_is_whole_after_a_crash_and_a_restart(tmp_path: Path) -> None:
    token = await _token(tmp_path)
    async with upstream() as behind:
        config = _config(tmp_path, behind)
        for _ in range(2):
            process, port = await _served(config)
            async with httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS
            ) as http:
                behind.seen.clear()
                caller = asyncio.create_task(_keep_calling(http, token, os.getpid()))
                async with asyncio.timeout(60):
                    await _many(behind, 20)
                process.kill()
                await process.wait()
                await caller

    report = verify(tmp_path / "data" / "audit")
    assert report.whole, report.problems
