"""Several workers on one socket: one service, whichever of them answers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from safeconduct.rehearsal import Trial, free_port, get
from tests.rehearsal.processes import children_of, gone
from tests.road.served import Served, served
from tests.road.upstream import PATIENCE_SECONDS, Seen, Wire
from tests.road.world import body_of, headers_of

pytestmark = pytest.mark.slow
CONNECTIONS = 20
PARAMS = {"name": "get_issue", "arguments": {"id": "T-7"}}


def workers_of(site: Served) -> set[int]:
    """The workers among the children; there is one more, which multiprocessing needs."""
    return {
        pid
        for pid in children_of(site.gateway.pid)
        if b"multiprocessing.spawn" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }


async def standing(site: Served, stack: AsyncExitStack, token: str) -> list[httpx2.AsyncClient]:
    """Open connections at once, until each worker has answered on one of them."""
    clients: list[httpx2.AsyncClient] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(answering(site)) < 2:
            more = [
                await stack.enter_async_context(httpx2.AsyncClient(timeout=PATIENCE_SECONDS))
                for _ in range(CONNECTIONS)
            ]
            assert await asyncio.gather(*(call(site, each, token) for each in more)) == [200] * len(
                more
            )
            clients += more
    return clients


async def call(site: Served, client: httpx2.AsyncClient, token: str) -> int:
    return (await post(site, client, token, PARAMS)).status_code


async def post(
    site: Served, client: httpx2.AsyncClient, token: str, params: dict[str, Any]
) -> httpx2.Response:
    headers = headers_of("tools/call", params) | {"authorization": f"Bearer {token}"}
    return await client.post(
        f"{site.trial.origin}/mcp/tickets", headers=headers, content=body_of("tools/call", params)
    )


def answering(site: Served) -> Counter[str]:
    """How many calls each worker has let through; each writes a chain of its own."""
    return Counter(record["writer"] for record in site.records("call.intent"))


@pytest.mark.requirement("Z-24", "Z-26", "S-06")
async def test_a_revocation_is_seen_by_the_very_next_call_in_every_worker(tmp_path: Path) -> None:
    """On connections the workers hold already, and on as many new ones."""
    async with served(tmp_path, workers=2) as site, AsyncExitStack() as stack:
        revoked, kept = await site.token(), await site.token()
        clients = await standing(site, stack, revoked)
        session = site.records("call.intent")[0]["session"]

        await site.command("sessions", "revoke", session)

        clients += [
            await stack.enter_async_context(httpx2.AsyncClient(timeout=PATIENCE_SECONDS))
            for _ in range(CONNECTIONS)
        ]
        reached = len(site.upstream.calls())
        assert {await call(site, each, revoked) for each in clients} == {401}
        assert len(site.upstream.calls()) == reached
        assert {await call(site, each, kept) for each in clients} == {200}


@pytest.mark.requirement("Z-06", "Z-24", "T-16")
async def test_a_lower_ceiling_and_a_tool_switched_off_are_seen_likewise(tmp_path: Path) -> None:
    """The tool is of level medium; applying the file again is an operator's way to change rows."""
    async with served(tmp_path, workers=2) as site, AsyncExitStack() as stack:
        token = await site.token()
        clients = await standing(site, stack, token)
        written = site.trial.config.read_text("utf-8")

        async def everywhere() -> set[bool]:
            return {await may_create(site, each, token) for each in clients}

        for changed in (
            written.replace("ceiling: medium", "ceiling: low"),
            written.replace(
                "name: Tickets", "name: Tickets\n    tools: {create_issue: {enabled: false}}"
            ),
        ):
            assert changed != written
            assert await everywhere() == {True}
            site.trial.config.write_text(changed, "utf-8")
            await site.command("apply")
            assert await everywhere() == {False}
            site.trial.config.write_text(written, "utf-8")
            await site.command("apply")
        assert await everywhere() == {True}


async def may_create(site: Served, client: httpx2.AsyncClient, token: str) -> bool:
    answer = await post(site, client, token, PARAMS | {"name": "create_issue"})
    return answer.status_code == 200 and "result" in answer.json()


@pytest.mark.requirement("SEC-32")
async def test_a_cancellation_finds_its_request_in_whichever_worker_it_is(tmp_path: Path) -> None:
    """It comes on connections to both; a stranger's comes to both too, and reaches nobody."""
    async with served(tmp_path, workers=2) as site, AsyncExitStack() as stack:
        token, other = await site.token(), await site.token()
        clients = await standing(site, stack, token)

        async def hang(_seen: Seen, wire: Wire) -> None:
            await wire.gone()

        site.upstream.scripts["tools/call"] = hang
        before = len(site.upstream.calls())
        calling = asyncio.ensure_future(call(site, clients[0], token))
        while len(site.upstream.calls()) == before:
            await site.upstream.arrived(len(site.upstream.seen) + 1)

        def cancelled() -> int:
            return sum(seen.method == "notifications/cancelled" for seen in site.upstream.seen)

        for each in clients[1:]:
            assert await cancel(site, each, other) == 202
        assert cancelled() == 0
        for each in clients[1:]:
            assert await cancel(site, each, token) == 202
        assert cancelled() == len(clients[1:])
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)


async def cancel(site: Served, client: httpx2.AsyncClient, token: str) -> int:
    """Say that the request with id 1 is no longer wanted."""
    method = "notifications/cancelled"
    body = {"jsonrpc": "2.0", "method": method, "params": {"requestId": 1}}
    headers = headers_of(method) | {"authorization": f"Bearer {token}"}
    answer = await client.post(
        f"{site.trial.origin}/mcp/tickets", headers=headers, content=json.dumps(body)
    )
    return answer.status_code


async def test_a_worker_that_dies_is_replaced_and_the_service_goes_on(tmp_path: Path) -> None:
    async with served(tmp_path, workers=2) as site, AsyncExitStack() as stack:
        token = await site.token()
        await standing(site, stack, token)
        before = workers_of(site)
        assert len(before) == 2
        killed = min(before)

        os.kill(killed, signal.SIGKILL)

        answers = await asyncio.gather(*(site.call(token) for _ in range(CONNECTIONS)))
        assert {each.status for each in answers} == {200}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(workers_of(site)) < 2 or killed in workers_of(site):
                await asyncio.sleep(0.05)  # nothing announces a process of somebody else's
        assert workers_of(site) > before - {killed}
        await both_answer_again(site, token)
        assert (await site.command("audit", "verify"))["whole"] is True


async def both_answer_again(site: Served, token: str) -> None:
    """Wait until the one that came and the one that stayed have both let a call through."""
    at_first = answering(site)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(answering(site) - at_first) < 2:
            await asyncio.gather(*(site.call(token) for _ in range(CONNECTIONS)))


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_parent_ends_all_of_them(tmp_path: Path, by: signal.Signals) -> None:
    async with served(tmp_path, workers=2) as site, AsyncExitStack() as stack:
        await standing(site, stack, await site.token())
        children = children_of(site.gateway.pid)

        site.gateway.process.send_signal(by)

        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await site.gateway.process.wait() == 0
        assert await gone(children)


async def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    async with served(tmp_path, workers=2) as site, AsyncExitStack() as stack:
        token = await site.token()
        await standing(site, stack, token)
        children = children_of(site.gateway.pid)

        site.gateway.process.kill()

        assert await site.gateway.process.wait() == -signal.SIGKILL
        assert await gone(children)
        await site.restart()
        assert (await site.call(token)).status == 200


async def test_the_living_go_on_when_a_file_broke_and_a_worker_died(tmp_path: Path) -> None:
    """A replacement goes by what was accepted at the start, whatever the file says by now."""
    async with served(tmp_path, workers=2) as site, AsyncExitStack() as stack:
        token = await site.token()
        await standing(site, stack, token)
        site.trial.config.write_text("server: [", "utf-8")
        for _ in range(2):
            before = workers_of(site)
            os.kill(max(before), signal.SIGKILL)
            assert (await site.call(token)).status == 200
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(workers_of(site)) < 2 or max(before) in workers_of(site):
                    assert site.gateway.process.returncode is None
                    await asyncio.sleep(0.05)  # nothing announces a process of somebody else's
            await both_answer_again(site, token)


@pytest.mark.parametrize("workers", [1, 2])
async def test_sighup_cuts_no_call(tmp_path: Path, workers: int) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_seen: Seen, wire: Wire) -> None:
        reached.set()
        await go_on.wait()
        await wire.answer({"jsonrpc": "2.0", "id": 1, "result": {"content": []}})

    async with served(tmp_path, workers=workers) as site:
        token = await site.token()
        site.upstream.scripts["tools/call"] = wait
        calling = asyncio.create_task(site.call(token))
        await reached.wait()
        for pid in {site.gateway.pid, *(workers_of(site) if workers > 1 else ())}:
            os.kill(pid, signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "SIGHUP changes nothing" not in site.gateway.log.read_text("utf-8"):
                await asyncio.sleep(0.05)  # a log offers nothing to wait for
        go_on.set()

        assert (await calling).status == 200
        assert (await site.call(token)).status == 200


async def test_workers_share_new_connections(tmp_path: Path) -> None:
    """100 connections fall to two like coins: fewer than 25 on one side is five deviations off."""
    async with served(tmp_path, workers=2) as site, AsyncExitStack() as stack:
        token = await site.token()
        clients = [
            await stack.enter_async_context(httpx2.AsyncClient(timeout=PATIENCE_SECONDS))
            for _ in range(100)
        ]

        for client in clients:
            assert await call(site, client, token) == 200

        shares = answering(site)
        assert sum(shares.values()) == 100
        assert len(shares) == 2
        assert min(shares.values()) >= 25


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_second_gateway_on_the_same_data_is_refused_by_name(
    tmp_path: Path, workers: int
) -> None:
    """It would take the hosts of the first to other addresses."""
    async with served(tmp_path, workers=workers) as site:
        token = await site.token()
        config = site.trial.config.read_text("utf-8")
        port = free_port()
        other = site.trial.directory / "other.yaml"
        other.write_text(config.replace(str(site.trial.port), str(port)), "utf-8")

        for file in (other, site.trial.config):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "safeconduct", "serve", "-c", str(file)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            async with asyncio.timeout(60):
                said, errors = await process.communicate()
            assert process.returncode == 1
            assert said == b""
            assert f"process {site.gateway.pid} on 127.0.0.1:{site.trial.port}" in errors.decode()
        assert (await site.call(token)).status == 200

        site.gateway.process.kill()
        await site.gateway.process.wait()
        await site.restart()
        assert (await site.call(token)).status == 200


@pytest.mark.parametrize("workers", [1, 2])
async def test_that_it_serves_is_said_when_it_does(tmp_path: Path, workers: int) -> None:
    trial = Trial(tmp_path, port=free_port())
    trial.write(server={"workers": workers, "listen": "127.0.0.1:0"}, host={"key": "acme"})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "safeconduct", "serve", "-c", str(trial.config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            greeting = (await process.stdout.readline()).decode()
        port = int(greeting.split()[2].rpartition(":")[2])
        assert greeting.startswith(f"Serving on 127.0.0.1:{port} for {trial.origin}; ")
        answer = await asyncio.to_thread(get, f"http://127.0.0.1:{port}/healthz")
        assert answer.status == 200
    finally:
        process.terminate()
        await process.wait()


async def test_it_is_not_said_where_it_never_does(tmp_path: Path) -> None:
    trial = Trial(tmp_path, port=free_port())
    trial.write(server={}, host={"key": "acme"})
    with socket.create_server(("127.0.0.1", trial.port)):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "safeconduct", "serve", "-c", str(trial.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            said, errors = await process.communicate()

    assert process.returncode == 1
    assert said == b""
    assert b"cannot be listened on" in errors
