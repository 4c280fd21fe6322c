"""Reading upstreams: real ones in both eras, and ones that make no sense."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from safeconduct.core.errors import GatewayError
from safeconduct.egress import Transport
from safeconduct.upstreams import LEGACY, MODERN, Crawler, CrawlFailed
from tests.egress.raw import Peer, RawServer, answer
from tests.fixtures.programs import running

pytestmark = pytest.mark.requirement("P-08")


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(allow_loopback=True)
    yield transport
    await transport.aclose()


def _script(results: dict[str, Any]) -> Any:
    """A server that answers each method with a result; a callable makes a fresh one."""

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            head, _, body = request.partition(b"\r\n\r\n")
            method = json.loads(body)["method"] if body else head.split(b" ")[0].decode()
            result = results.get(method)
            if callable(result):
                result = result(body)
            if isinstance(result, bytes):
                await peer.send(result)
            elif result is None:
                await peer.send(answer(b"{}", status="404 Not Found"))
            else:
                said = {"jsonrpc": "2.0", "id": 1, "result": result}
                await peer.send(answer(json.dumps(said).encode()))

    return script


_MODERN = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
_LEGACY = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}}


@pytest.mark.slow
@pytest.mark.requirement("P-02", "P-04")
async def test_a_real_server_is_read_in_both_eras(transport: Transport) -> None:
    async with running("tests.fixtures.everything", "--port", "0") as program:
        found = await Crawler(transport).crawl(program.url)

    assert found.eras == (MODERN, LEGACY)
    for tools in found.spellings:
        assert "test_simple_text" in {tool["name"] for tool in tools}


@pytest.mark.slow
@pytest.mark.requirement("P-04")
async def test_the_demo_server_is_read(transport: Transport, tmp_path: Path) -> None:
    module, data = "safeconduct.demo.tickets", str(tmp_path)
    async with running(module, "--port", "0", "--data", data) as program:
        found = await Crawler(transport).crawl(program.url)

    assert {"get_issue", "delete_issue"} <= {tool["name"] for tool in found.spellings[0]}


async def test_every_page_is_read(transport: Transport) -> None:
    def page(body: bytes) -> dict[str, Any]:
        number = int(json.loads(body)["params"].get("cursor", "0"))
        more = {"nextCursor": str(number + 1)} if number < 4 else {}
        return {"tools": [{"name": f"t{number}", "inputSchema": {"type": "object"}}], **more}

    script = _script({"server/discover": _MODERN, "tools/list": page})
    async with RawServer(script) as server:
        found = await Crawler(transport).crawl(server.url)

    assert [tool["name"] for tool in found.spellings[0]] == ["t0", "t1", "t2", "t3", "t4"]
    assert found.eras == (MODERN,)


async def test_the_older_era_ends_its_session_afterwards(transport: Transport) -> None:
    said = json.dumps({"jsonrpc": "2.0", "id": 1, "result": _LEGACY}).encode()
    hello = answer(said, extra=b"Mcp-Session-Id: s-1\r\n")
    asked: list[bytes] = []

    def tools(body: bytes) -> dict[str, Any]:
        asked.append(body)
        return {"tools": []}

    def goodbye(_: bytes) -> bytes:
        asked.append(b"DELETE")
        return answer(b"")

    results = {
        "initialize": hello,
        "notifications/initialized": answer(b"", status="202 Accepted"),
        "tools/list": tools,
        "DELETE": goodbye,
    }
    async with RawServer(_script(results)) as server:
        found = await Crawler(transport).crawl(server.url)

    assert found.eras == (LEGACY,)
    assert asked[-1] == b"DELETE"


async def test_a_server_without_tools_has_none(transport: Transport) -> None:
    script = _script({"server/discover": {**_MODERN, "capabilities": {}}})
    async with RawServer(script) as server:
        found = await Crawler(transport).crawl(server.url)

    assert found.spellings == [[]]


def _endless(body: bytes) -> dict[str, Any]:
    """A page that always names another one."""
    number = int(json.loads(body)["params"].get("cursor", "0"))
    return {
        "tools": [{"name": f"t{number}", "inputSchema": {"type": "object"}}],
        "nextCursor": str(number + 1),
    }


_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%b"


@pytest.mark.slow
@pytest.mark.requirement("SEC-64")
@pytest.mark.parametrize(
    ("results", "why"),
    [
        ({}, "speaks no MCP revision we know"),
        ({"server/discover": {"supportedVersions": ["1999-01-01"]}}, "does not list a revision"),
        ({"server/discover": {"supportedVersions": 5}}, "does not list a revision"),
        ({"server/discover": {"supportedVersions": "2026-07-28"}}, "does not list a revision"),
        ({"server/discover": answer(b"not json")}, "cannot be read"),
        ({"server/discover": answer(b'{"a":1,"a":2}')}, "same name"),
        ({"server/discover": answer(b"[]")}, "no JSON-RPC message"),
        ({"server/discover": answer(b'{"result":7}')}, "refuses server/discover"),
        ({"server/discover": answer(b'{"error":{"code":1}}')}, "refuses server/discover"),
        ({"initialize": {"protocolVersion": None}}, "does not say which revision"),
        ({"server/discover": _MODERN, "tools/list": {"tools": {}}}, "no list of tools"),
        ({"server/discover": _MODERN, "tools/list": {}}, "no list of tools"),
        ({"server/discover": _MODERN, "tools/list": _endless}, "does not end"),
        ({"server/discover": _MODERN, "tools/list": answer(b"[" * 100_000)}, "can be read"),
        ({"initialize": {"protocolVersion": "2024-10-07"}}, "'2024-10-07', which is not spoken"),
        ({"initialize": {"protocolVersion": "2026-07-28"}}, "'2026-07-28', which is not spoken"),
        (
            {"server/discover": _STREAM % (9, b"data: {}\n")},
            "stream ends without an answer",
        ),
    ],
)
async def test_a_server_that_makes_no_sense_is_refused_with_a_reason(
    transport: Transport, results: dict[str, Any], why: str
) -> None:
    async with RawServer(_script(results)) as server:
        with pytest.raises(CrawlFailed) as failed:
            await Crawler(transport).crawl(server.url)

    assert why in failed.value.public


@pytest.mark.slow
@pytest.mark.requirement("SEC-64")
@pytest.mark.parametrize("kind", [b"application/json", b"text/event-stream"])
async def test_an_answer_without_end_is_cut_off(transport: Transport, kind: bytes) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
            await peer.send(head % kind)
            for _ in range(20):
                await peer.send(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")

    async with RawServer(script) as server:
        with pytest.raises(GatewayError) as failed:
            await Crawler(transport).crawl(server.url)

    assert "large" in failed.value.public or "longer" in failed.value.public


@pytest.mark.requirement("SEC-64")
async def test_a_server_that_talks_and_never_answers_is_left(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\n")
        await peer.gone()

    async with RawServer(script) as server:
        with pytest.raises(CrawlFailed, match="takes too long"):
            await Crawler(transport, patience_seconds=0.2).crawl(server.url)
