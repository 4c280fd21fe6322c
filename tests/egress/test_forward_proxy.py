"""Behind a forward proxy: everything goes through it, nothing round it, and names unresolved."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from safeconduct.egress import Fetcher, FetchFailed, Transport, UpstreamFailed, parse_proxy
from tests.egress.certificates import Authority
from tests.egress.raw import Peer, RawServer, always, answer

OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Proxy:
    """A forward proxy that connects everything to one port of this machine, and keeps notes."""

    def __init__(self, *, to: int, says: bytes = OPENED) -> None:
        self.heads: list[bytes] = []
        self._to = to
        self._says = says

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self._says)
            await writer.drain()
            if self._says == OPENED:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
                await asyncio.wait(
                    {
                        asyncio.ensure_future(_carry(reader, far_writer)),
                        asyncio.ensure_future(_carry(far_reader, writer)),
                    },
                    return_when=asyncio.FIRST_COMPLETED,
                )
                far_writer.transport.abort()
        writer.transport.abort()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()


@asynccontextmanager
async def proxying(*, to: int, says: bytes = OPENED) -> AsyncIterator[tuple[Proxy, int]]:
    proxy = Proxy(to=to, says=says)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    try:
        yield proxy, server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def unasked(host: str, _port: int) -> Sequence[str]:
    raise AssertionError(f"{host} was resolved here")


async def nearby(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.slow
async def test_a_connection_goes_through_it_and_the_name_is_not_resolved_here(
    authority: Authority,
) -> None:
    async with (
        RawServer(always(answer()), tls=authority.serving("up.test")) as server,
        proxying(to=server.port) as (proxy, port),
    ):
        way = parse_proxy(f"http://us%40er:p%3Ass@127.0.0.1:{port}")
        transport = Transport(tls=authority.trusting(), resolve=unasked, proxy=way)
        for _ in range(2):
            reply = await transport.exchange("https://up.test/mcp", body=b"{}")
            assert await reply.read(100) == b"{}"
        await transport.aclose()
    (head,) = proxy.heads
    assert head.startswith(b"CONNECT up.test:443 HTTP/1.1\r\nHost: up.test:443\r\n")
    assert b"\r\nProxy-Authorization: Basic dXNAZXI6cDpzcw==\r\n" in head
    assert "p:ss" not in repr(way)


async def test_the_certificate_behind_it_is_verified_against_the_name(
    authority: Authority,
) -> None:
    async with (
        RawServer(always(answer()), tls=authority.serving("up.test")) as server,
        proxying(to=server.port) as (_, port),
    ):
        way = parse_proxy(f"http://127.0.0.1:{port}")
        transport = Transport(tls=authority.trusting(), resolve=unasked, proxy=way)
        with pytest.raises(UpstreamFailed, match="certificate") as caught:
            await transport.exchange("https://other.test/mcp")
        assert not caught.value.sent
        await transport.aclose()


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "user name and a password"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "HTTP 502"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://x\r\n\r\n", "HTTP 302"),
        (b"HTTP/2 200\r\n\r\n", "does not connect"),
        (b"SSH-2.0-x\r\n", "closed"),
        (OPENED + b"HTTP/1.1 200 OK\r\n\r\n", "more than it should"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 20_000, "does not answer in HTTP"),
        (b"", "closed"),
    ],
    ids=["407", "502", "302", "version", "ssh", "early answer", "endless", "silent end"],
)
async def test_what_it_does_not_open_is_an_error_and_there_is_no_direct_way(
    authority: Authority, says: bytes, words: str
) -> None:
    async with (
        RawServer(always(answer()), tls=authority.serving("up.test")) as server,
        proxying(to=server.port, says=says) as (_, port),
    ):
        way = parse_proxy(f"http://127.0.0.1:{port}")
        transport = Transport(
            allow_loopback=True, tls=authority.trusting(), resolve=nearby, proxy=way
        )
        with pytest.raises(UpstreamFailed, match=words) as caught:
            await transport.exchange(f"https://up.test:{server.port}/mcp", body=b"{}")
        assert not caught.value.sent
        assert server.connections == 0
        await transport.aclose()


async def test_a_proxy_that_is_away_is_an_error_and_there_is_no_direct_way(
    authority: Authority,
) -> None:
    async with RawServer(always(answer()), tls=authority.serving("up.test")) as server:
        async with proxying(to=server.port) as (_, port):
            pass
        way = parse_proxy(f"http://127.0.0.1:{port}")
        transport = Transport(
            allow_loopback=True, tls=authority.trusting(), resolve=nearby, proxy=way
        )
        with pytest.raises(UpstreamFailed, match="forward proxy could not be reached"):
            await transport.exchange(f"https://up.test:{server.port}/mcp")
        assert server.connections == 0
        await transport.aclose()


@pytest.mark.requirement("SEC-21")
@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/mcp",
        "https://169.254.169.254/latest",
        "https://[fd00::1]/mcp",
        "https://0.0.0.0/",
        "http://up.test/mcp",
        "http://10.0.0.1/mcp",
    ],
)
@pytest.mark.parametrize("allow_private", [False, True])
async def test_inward_addresses_and_plain_http_are_not_asked_of_it(
    url: str, allow_private: bool
) -> None:
    async with proxying(to=1) as (proxy, port):
        way = parse_proxy(f"http://127.0.0.1:{port}")
        transport = Transport(allow_private=allow_private, resolve=unasked, proxy=way)
        with pytest.raises(UpstreamFailed):
            await transport.exchange(url)
        assert proxy.heads == []
        await transport.aclose()


async def test_what_no_proxy_names_is_reached_directly_and_judged_as_ever(
    authority: Authority,
) -> None:
    async with (
        RawServer(always(answer()), tls=authority.serving("up.corp.test")) as server,
        proxying(to=1) as (proxy, port),
    ):
        way = parse_proxy(f"http://127.0.0.1:{port}", ("corp.test",))
        url = f"https://up.corp.test:{server.port}/mcp"
        for allowed in (True, False):
            transport = Transport(
                allow_loopback=allowed, tls=authority.trusting(), resolve=nearby, proxy=way
            )
            if allowed:
                assert (await transport.exchange(url)).status == 200
            else:
                with pytest.raises(UpstreamFailed, match="not allowed"):
                    await transport.exchange(url)
            await transport.aclose()
        assert proxy.heads == []


@pytest.mark.parametrize(
    ("no_proxy", "host", "carried"),
    [
        ((), "up.test", True),
        (("up.test",), "up.test", False),
        (("up.test",), "a.up.test", False),
        (("up.test",), "a.UP.test.", False),
        (("up.test",), "backup.test", True),
        (("10.0.0.1",), "10.0.0.1", False),
        (("*",), "up.test", False),
        (("10.0.0.0/8",), "10.9.8.7", False),
        (("10.0.0.0/8",), "11.9.8.7", True),
        ((), "localhost", False),
        ((), "127.0.0.1", False),
        ((), "::1", False),
        ((), "localhost.evil.test", True),
    ],
)
def test_what_goes_round_it(no_proxy: tuple[str, ...], host: str, carried: bool) -> None:
    assert parse_proxy("http://proxy.test:3128", no_proxy).carries(host) is carried


@pytest.mark.parametrize(
    "url", ["https://proxy.test", "socks5://proxy.test", "http://", "http://p/x"]
)
def test_an_address_that_is_no_http_proxys_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be http://HOST:PORT"):
        parse_proxy(url)


async def test_documents_of_clients_go_through_it_too(authority: Authority) -> None:
    async with (
        RawServer(always(answer()), tls=authority.serving("client.test")) as server,
        proxying(to=server.port) as (proxy, port),
    ):
        way = parse_proxy(f"http://127.0.0.1:{port}")
        fetcher = Fetcher(tls=authority.trusting(), resolve=unasked, proxy=way)
        assert (await fetcher.get_json("https://client.test/c")).body == b"{}"
        for refused in ("https://client.test:22/c", "https://10.0.0.1/c"):
            with pytest.raises(FetchFailed):
                await fetcher.get_json(refused)
        assert len(proxy.heads) == 1
        await fetcher.aclose()


async def test_slow_documents_of_one_site_leave_the_others_theirs() -> None:
    """Clients name the documents, so some of them will name slow ones on purpose."""
    held: list[Peer] = []

    async def hang(peer: Peer) -> None:
        held.append(peer)
        await peer.request()
        await peer.gone()

    fetcher = Fetcher(allow_plain_loopback=True, resolve=nearby)
    async with RawServer(hang) as slow, RawServer(always(answer())) as quick:
        other_site = f"http://localhost:{quick.port}/c"
        stuck = [asyncio.ensure_future(fetcher.get_json(slow.url)) for _ in range(16)]
        await asyncio.sleep(0)
        with pytest.raises(FetchFailed, match="too many documents"):
            await fetcher.get_json(slow.url)
        for _ in range(5):
            assert (await fetcher.get_json(other_site)).body == b"{}"
        assert len(held) == 4
        for each in stuck:
            each.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        assert (await fetcher.get_json(quick.url)).body == b"{}"
        assert not fetcher._under_way, "what has ended leaves nothing behind"
    await fetcher.aclose()
