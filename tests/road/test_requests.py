"""How a request begins: one reading of its line, its target and its Host on every path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.road.world import Tokens, World, body_of, headers_of, line, world_at

CALL = {"name": "get_issue", "arguments": {"id": "T-7"}}
DISCOVERY = "/.well-known/oauth-authorization-server"
PATHS = ["/mcp/tickets", "/mcp/%74ickets", DISCOVERY, "/healthz"]
ON_PAGES = [DISCOVERY, "/login", "/mcp/%74ickets"]


async def said(world: World, first: str, *fields: str) -> tuple[int, dict[str, str], bytes]:
    async with line(world) as client:
        client.writer.write("\r\n".join([first, *fields, "", ""]).encode("latin-1"))
        return await client.whole()


async def posted(world: World, tokens: Tokens, target: str, *fields: str) -> int:
    """Call a tool with a request whose target and Host are the caller's own."""
    headers = headers_of("tools/call", CALL) | {"authorization": f"Bearer {tokens.access}"}
    body = body_of("tools/call", CALL)
    lines = [f"POST {target} HTTP/1.1", *fields, *(f"{name}: {headers[name]}" for name in headers)]
    lines += [f"content-length: {len(body)}", "connection: close", "", ""]
    async with line(world) as client:
        client.writer.write("\r\n".join(lines).encode() + body)
        return (await client.whole())[0]


@pytest.mark.requirement("P-12", "X-01")
@pytest.mark.parametrize("path", ["/mcp/tickets", "/mcp/%74ickets"])
@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("", "acme.test", 200),
        ("", "other.test", 401),
        ("http://acme.test", "other.test", 200),
        ("https://acme.test", "nobody.test", 200),
        ("HTTP://ACME.test", "other.test", 200),
        ("http://other.test", "acme.test", 401),
        ("http://nobody.test", "acme.test", 421),
    ],
)
async def test_a_target_in_absolute_form_wins_over_host(
    road: World, tokens: Tokens, path: str, target: str, host: str, status: int
) -> None:
    """RFC 9112 section 3.2.2: whoever reads Host alone judges another request than the sender's."""
    assert await posted(road, tokens, f"{target}{path}", f"host: {host}") == status
    assert len(road.upstream.seen) == (status == 200)


@pytest.mark.requirement("P-12", "X-01")
@pytest.mark.parametrize(
    ("first", "named"), [("http://other.test", "other"), ("http://acme.test", "acme"), ("", "acme")]
)
async def test_pages_follow_the_target_as_well(road: World, first: str, named: str) -> None:
    target = f"{first}{DISCOVERY}?x=1"

    status, _, body = await said(road, f"GET {target} HTTP/1.1", "host: acme.test")

    assert status == 200
    assert f"https://{named}.test".encode() in body


@pytest.mark.requirement("P-13", "SEC-61")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "lines",
    [
        ["GET {} HTTP/1.1"],
        ["GET {} HTTP/1.1", "host: acme.test", "host: acme.test"],
        ["GET {} HTTP/1.1", "host: acme.test/"],
        ["GET {} HTTP/1.1", "host: user@acme.test"],
        ["GET {} HTTP/1.1", "host: acme.test other.test"],
        ["GET http://acme.test{} HTTP/1.1"],
        ["GET http://user@acme.test{} HTTP/1.1", "host: acme.test"],
        ["GET http://{} HTTP/1.1", "host: acme.test"],
        ["GET ftp://acme.test{} HTTP/1.1", "host: acme.test"],
        ["GET acme.test{} HTTP/1.1", "host: acme.test"],
        ["GET {}#x HTTP/1.1", "host: acme.test"],
        ["GET {}"],
        ["GET {}", "host: acme.test"],
        ["GET {} HTTP/0.9", "host: acme.test"],
        ["GET {} HTTP/1.2", "host: acme.test"],
        ["GET {} HTTP/2.0", "host: acme.test"],
        ["GET {} HTTP/3.0", "host: acme.test"],
        ["GET {} http/1.1", "host: acme.test"],
        ["GET {} RTSP/1.0", "host: acme.test"],
        ["SOURCE {} ICE/1.0", "host: acme.test"],
        ["GET  {} HTTP/1.1", "host: acme.test"],
        ["GET {}  HTTP/1.1", "host: acme.test"],
        ["GET\t{} HTTP/1.1", "host: acme.test"],
        ["POST {} HTTP/1.0", "host: acme.test", "transfer-encoding: chunked"],
        ["POST {} HTTP/1.0", "host: acme.test", "Transfer-Encoding: identity"],
        ["CONNECT acme.test:443 HTTP/1.1", "host: acme.test"],
        ["OPTIONS * HTTP/1.1", "host: acme.test"],
    ],
    ids="|".join,
)
async def test_what_could_be_read_in_two_ways_is_not_read(
    road: World, path: str, lines: list[str]
) -> None:
    """RFC 9112 sections 2.3, 3, 3.2 and 6.1."""
    first, *fields = lines

    status, headers, _ = await said(road, first.format(path), *fields)

    assert status == 400
    assert headers["connection"] == "close"
    assert road.upstream.seen == []


@pytest.mark.requirement("P-13", "X-01")
@pytest.mark.parametrize("path", ["/mcp/tickets", *ON_PAGES])
async def test_without_host_the_older_http_is_for_nobody_among_several(
    road: World, path: str
) -> None:
    assert (await said(road, f"GET {path} HTTP/1.0"))[0] == 421
    assert (await said(road, f"GET {path} HTTP/1.0", "host: acme.test"))[0] not in {400, 421}
    assert (await said(road, f"GET {path} HTTP/1.0", "host:"))[0] == 421
    assert (await said(road, f"GET http://acme.test{path} HTTP/1.0"))[0] not in {400, 421}


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[World]:
    """A gateway with one host."""
    async with world_at(tmp_path) as world:
        from safeconduct import hosts
        from safeconduct.core.model import HostId

        async with world.parts.database.write() as tx:
            await hosts.remove(tx, HostId("other"))
        await world.parts.hosts.refresh()
        yield world


@pytest.mark.slow
@pytest.mark.requirement("P-13")
@pytest.mark.parametrize("path", ["/mcp/tickets", *ON_PAGES])
async def test_without_host_the_older_http_means_the_only_one(alone: World, path: str) -> None:
    assert (await said(alone, f"GET {path} HTTP/1.0"))[0] not in {400, 421}
    assert (await said(alone, f"GET {path} HTTP/1.0", "host:"))[0] == 421
    assert (await said(alone, f"GET {path} HTTP/1.0", "host: nobody.test"))[0] == 421
    assert (await said(alone, f"GET {path} HTTP/1.1"))[0] == 400


@pytest.mark.requirement("P-29", "SEC-64")
@pytest.mark.parametrize("path", ["/mcp/tickets", DISCOVERY])
@pytest.mark.parametrize(("count", "refused"), [(100, False), (101, True), (3000, True)])
async def test_a_head_has_a_bounded_number_of_fields(
    road: World, path: str, count: int, refused: bool
) -> None:
    fields = [f"x-{number}: y" for number in range(count - 1)]

    status, _, body = await said(road, f"GET {path} HTTP/1.1", "host: acme.test", *fields)

    assert (status == 431) == refused
    assert (b"at most 100" in body) == refused


@pytest.mark.requirement("P-29", "SEC-64")
@pytest.mark.parametrize("path", ["/mcp/tickets", DISCOVERY])
async def test_the_target_counts_with_the_fields(road: World, path: str) -> None:
    for size, refused in ((60_000, False), (66_000, True)):
        target = f"{path}?{'x' * size}"
        status, _, _ = await said(road, f"GET {target} HTTP/1.1", "host: acme.test")
        assert (status == 431) == refused


async def test_the_older_http_waits_for_no_word_to_go_on(road: World) -> None:
    """RFC 9110 section 10.1.1: the expectation of a 1.0 client is ignored."""
    fields = ("host: acme.test", "content-length: 2", "expect: 100-continue", "", "{}")
    async with line(road) as client:
        client.writer.write("\r\n".join(["POST /mcp/tickets HTTP/1.0", *fields]).encode())
        status, _ = await client.head()

    assert status == 401
