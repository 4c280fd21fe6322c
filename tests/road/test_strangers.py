"""Who has shown nothing yet cannot use up what the others need."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from safeconduct.bench import strangers
from safeconduct.bench.usage import usage_of
from safeconduct.rehearsal import Programs, Trial, free_port
from tests.road.served import Served, _host, served
from tests.road.upstream import PATIENCE_SECONDS, upstream
from tests.road.world import Tokens, World, body_of, headers_of, line, world_at

pytestmark = pytest.mark.requirement("P-29", "SEC-64")
CALL = {"name": "get_issue", "arguments": {"id": "T-7"}}
MEBIBYTES = 26
MOST_TAKEN = 4 * 2**20  # by the gateway and the kernel's buffers on its side
GROWTH_MIB = 24


def address_of(world: Any, authority: str = "acme.test") -> strangers.Address:
    return strangers.Address(host="127.0.0.1", port=world.port, authority=authority)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/mcp/tickets", "/mcp/%74ickets", "/login", "/healthz"])
async def test_who_asks_on_and_on_and_takes_no_answer_is_not_read_any_more(
    road: World, path: str
) -> None:
    request = f"GET {path} HTTP/1.1\r\nhost: acme.test\r\n\r\n".encode()

    sent = await strangers.pipeline(address_of(road), request=request, mebibytes=MEBIBYTES)

    assert sent.taken_bytes < sent.offered_bytes
    assert sent.taken_bytes < MOST_TAKEN + 6 * 2**20


async def test_answers_come_in_order_to_who_asks_many_things_at_once(
    road: World, tokens: Tokens
) -> None:
    async with line(road) as client:
        for number in range(300):
            await client.post(tokens.access, "tools/call", CALL, message_id=number)
        for number in range(300):
            status, _, body = await client.whole()
            assert status == 200
            assert f'"id":{number},'.encode() in body.replace(b" ", b"")

    assert len(road.upstream.calls()) == 300


async def test_a_fault_behind_a_request_does_not_answer_for_it(road: World, tokens: Tokens) -> None:
    """The refusal of the second came first, and was taken for the answer to the first."""
    async with line(road) as client:
        await client.post(tokens.access, "tools/call", CALL)
        client.writer.write(b"nonsense\r\n\r\n")

        assert (await client.whole())[0] == 200
        assert (await client.whole())[0] == 400


@pytest.fixture
async def narrow(tmp_path: Path) -> AsyncIterator[World]:
    async with world_at(tmp_path, server={"limits": {"connections_per_address": 20}}) as world:
        yield world


async def test_an_address_may_hold_a_bounded_number_of_connections(narrow: World) -> None:
    address = address_of(narrow)
    async with strangers.idle(address, 30) as opened:
        assert opened.stayed == 20
        status, _ = await strangers.ask(address, "/healthz")
        assert status == 429

    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await strangers.ask(address, "/healthz"))[0] != 200:
            await asyncio.sleep(0.01)  # the other ends of the connections are noticed in a moment


async def test_connections_of_a_trusted_proxy_are_those_of_its_clients(tmp_path: Path) -> None:
    server = {"limits": {"connections_per_address": 20}, "trusted_proxies": ["127.0.0.1/32"]}
    async with (
        world_at(tmp_path, server=server) as world,
        strangers.idle(address_of(world), 30) as opened,
    ):
        assert opened.stayed == 30


async def test_a_strangers_heads_are_not_remembered(road: World, tokens: Tokens) -> None:
    budget = road.gateway._answers.protocol.keywords["shared"].heads  # type: ignore[attr-defined]
    before = budget.left
    address = address_of(road)

    assert await strangers.large_heads(address, connections=3, each=4) == 12
    assert budget.left == before

    async with line(road) as client:
        await client.post(tokens.access, "tools/call", CALL)
        assert (await client.whole())[0] == 200
        assert budget.left < before
    async with asyncio.timeout(PATIENCE_SECONDS):
        while budget.left < before:
            await asyncio.sleep(0.01)  # the end of the connection is noticed in a moment


@pytest.mark.slow
async def test_what_strangers_send_is_not_held(tmp_path: Path) -> None:
    """26 MiB of small requests made 850 MiB of memory, which did not come back."""
    async with served(tmp_path) as site:
        token = await site.token()
        address = strangers.Address(
            host="127.0.0.1", port=site.trial.port, authority=site.authority
        )
        assert (await site.call(token)).status == 200
        idle = usage_of(site.gateway.pid)
        refused = (
            f"POST /mcp/tickets HTTP/1.1\r\nhost: {site.authority}\r\ncontent-length: 0\r\n\r\n"
        )
        for request in (None, refused.encode()):
            sent = await strangers.pipeline(address, request=request, mebibytes=MEBIBYTES)
            assert sent.taken_bytes < sent.offered_bytes
            assert (await site.call(token)).status == 200
        await strangers.large_heads(address, connections=20)

        after = usage_of(site.gateway.pid)
        assert (await site.call(token)).status == 200
    assert idle is not None
    assert after is not None
    assert after.rss_mib < idle.rss_mib + GROWTH_MIB


def test_the_kernel_keeps_little_for_a_stranger() -> None:
    """Or what is measured would be its buffers."""
    with strangers._quiet_socket(strangers.Address(host="::1", port=1, authority="a")) as quiet:
        assert quiet.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 256 * 1024


@pytest.mark.slow
async def test_idle_connections_leave_files_for_everything_else(tmp_path: Path) -> None:
    """They used up the limit, and calls failed with nothing in the log."""
    files, room = 256, 192
    trial = Trial(tmp_path, port=free_port())
    async with upstream() as behind, Programs(logs=trial.logs) as programs:
        trial.write(server={}, host=_host(trial, behind))
        serve = f"{sys.executable} -m safeconduct serve -c {trial.config}"
        command = ("sh", "-c", f"ulimit -Sn 100 && ulimit -Hn {files} && exec {serve}")
        gateway = await programs.start("gateway", command, announces=False)
        address = strangers.Address(
            host="127.0.0.1", port=trial.port, authority=f"localhost:{trial.port}"
        )
        async with asyncio.timeout(60):
            while b"Serving on" not in gateway.log.read_bytes():
                await asyncio.sleep(0.05)  # a log offers nothing to wait for
        site = Served(trial, programs, behind, gateway, trial.origin)
        token = await site.token()
        async with httpx2.AsyncClient(timeout=PATIENCE_SECONDS) as client:
            headers = headers_of("tools/call", CALL) | {"authorization": f"Bearer {token}"}
            url, body = f"{trial.origin}/mcp/tickets", body_of("tools/call", CALL)
            assert (await client.post(url, content=body, headers=headers)).status_code == 200
            async with strangers.idle(address, files) as opened:
                assert opened.stayed <= room
                assert (await client.post(url, content=body, headers=headers)).status_code == 200
                assert (await strangers.ask(address, "/healthz"))[0] == 503
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (await strangers.ask(address, "/healthz"))[0] != 200:
                    await asyncio.sleep(0.05)  # the ends of connections are noticed in a moment
        assert "that the limit of open files leaves room for" in gateway.log.read_text("utf-8")
