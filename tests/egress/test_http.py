"""The document fetcher: one document from where it may look, and no word about anything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from safeconduct.core.errors import Code
from safeconduct.egress import Fetcher, FetchFailed, Resolve
from tests.egress.certificates import Authority
from tests.egress.raw import Peer, RawServer, always, answer

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    made = Fetcher(allow_plain_loopback=True)
    yield made
    await made.aclose()


async def test_a_document_is_fetched_with_its_headers(fetcher: Fetcher) -> None:
    asked = []

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            asked.append(request.lower())
            await peer.send(answer(b'{"a":1}', extra=b"ETag: x\r\nSet-Cookie: a=b\r\n"))

    async with RawServer(script) as server:
        document = await fetcher.get_json(server.url)
        await fetcher.get_json(server.url)
        await fetcher.aclose()

    assert document.body == b'{"a":1}'
    assert document.headers["etag"] == "x"
    assert document.max_age_seconds is None
    assert b"accept-encoding: identity\r\n" in asked[0]
    assert b"cookie" not in asked[1]


@pytest.mark.requirement("AS-09")
@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        (b"max-age=60", 60),
        (b'public, Max-Age="60"', 60),
        (b"max-age=999999999", 86_400),
        (b"max-age=0", 0),
        (b"max-age=99999999999999999999999", None),
        (b"max-age=-5", None),
        (b"s-max-age=5", None),
        (b"public", None),
        (b"no-store, max-age=60", 0),
        (b"max-age=60, no-cache", 0),
    ],
)
async def test_the_servers_word_on_keeping_it_is_returned_within_a_day(
    fetcher: Fetcher, cache_control: bytes, seconds: int | None
) -> None:
    script = always(answer(extra=b"Cache-Control: " + cache_control + b"\r\n"))
    async with RawServer(script) as server:
        assert (await fetcher.get_json(server.url)).max_age_seconds == seconds
        await fetcher.aclose()


@pytest.mark.parametrize(
    "kind", [b"application/json; charset=utf-8", b"Application/JSON", b"application/jwk-set+json"]
)
async def test_every_kind_of_json_is_taken(fetcher: Fetcher, kind: bytes) -> None:
    response = OK + b"Content-Type: " + kind + b"\r\nContent-Length: 2\r\n\r\n{}"
    async with RawServer(always(response)) as server:
        assert (await fetcher.get_json(server.url)).body == b"{}"
        await fetcher.aclose()


@pytest.mark.requirement("SEC-22", "SEC-23", "SEC-25", "AS-09")
@pytest.mark.parametrize(
    "response",
    [
        answer(b"s3cret", status="404 Not Found"),
        answer(b"s3cret", status="201 Created"),
        answer(b"s3cret", status="302 Found", extra=b"Location: http://127.0.0.1:1/s3cret\r\n"),
        answer(b"s3cret", extra=b"Content-Encoding: gzip\r\n"),
        answer(b"s3cret" * 1000),
        OK + b"Content-Type: text/html\r\nContent-Length: 6\r\n\r\ns3cret",
        OK + b"Content-Type: application/jsonp\r\nContent-Length: 6\r\n\r\ns3cret",
        OK + b"Content-Length: 6\r\n\r\ns3cret",
        OK + b"Content-Type: application/json\r\nContent-Length: 60\r\n\r\ns3cret",
        b"s3cret is not HTTP\r\n\r\n",
        OK + b"s3cret\r\n\r\n",
    ],
    ids=[
        "missing",
        "created",
        "redirect",
        "compressed",
        "long",
        "html",
        "almost-json",
        "no-kind",
        "cut",
        "not-http",
        "bad-header",
    ],
)
async def test_anything_else_is_refused_without_repeating_it(
    fetcher: Fetcher, response: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response)
        peer.send_eof()
        await peer.gone()

    async with RawServer(script) as server:
        with pytest.raises(FetchFailed) as caught:
            await fetcher.get_json(server.url)

        assert caught.value.code is Code.UPSTREAM_FAILED
        assert "s3cret" not in repr(caught.value)
        assert "127.0.0.1" not in repr(caught.value)
        assert server.connections == 1
        await fetcher.aclose()


async def test_the_longest_allowed_document_is_taken(fetcher: Fetcher) -> None:
    async with RawServer(always(answer(b"x" * 100))) as server:
        assert len((await fetcher.get_json(server.url, max_bytes=100)).body) == 100
        with pytest.raises(FetchFailed, match="longer"):
            await fetcher.get_json(server.url, max_bytes=99)
        await fetcher.aclose()


@pytest.mark.requirement("SEC-23")
async def test_a_dripping_document_ends_in_time(fetcher: Fetcher) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        while not await peer.gone_within(0.02):
            await peer.send(b" ")

    async with RawServer(script) as server:
        with pytest.raises(FetchFailed, match="time"):
            await fetcher.get_json(server.url, seconds=0.2)
        await server.finished()


@pytest.mark.requirement("SEC-20", "SEC-21")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_this_machine_is_out_of_reach_by_default(scheme: str, host: str) -> None:
    fetcher = Fetcher()
    async with RawServer(always(answer())) as server:
        with pytest.raises(FetchFailed):
            await fetcher.get_json(f"{scheme}://{host}:{server.port}/")
        assert server.connections == 0
    await fetcher.aclose()


@pytest.mark.requirement("SEC-20")
@pytest.mark.parametrize(
    "url", ["http://example.test/", "http://1.1.1.1:443/", "http://localhost.example.test/"]
)
async def test_plain_http_is_for_this_machine_only(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(FetchFailed, match="https only"):
        await fetcher.get_json(url)


@pytest.mark.requirement("SEC-20")
@pytest.mark.parametrize(
    "url",
    [
        "https://user:s3cret@example.test/",
        "https://2130706433/",
        "https://0x7f.1/",
        "file:///etc/passwd",
        "not a url",
    ],
)
async def test_urls_that_can_be_read_in_two_ways_are_refused(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(FetchFailed) as caught:
        await fetcher.get_json(url)
    assert "s3cret" not in repr(caught.value)


def resolving(*answers: Sequence[str]) -> tuple[list[str], Resolve]:
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return asked, resolve


@pytest.mark.requirement("SEC-21")
async def test_tls_verifies_the_name_at_the_judged_address(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    asked, resolve = resolving(["127.0.0.1"])
    fetcher = Fetcher(allow_plain_loopback=True, tls=authority.trusting(), resolve=resolve)
    async with RawServer(always(answer()), tls=authority.serving("client.test")) as server:
        assert (await fetcher.get_json(f"https://client.test:{server.port}/c")).body == b"{}"
        assert asked == ["client.test"]
        with pytest.raises(FetchFailed):
            await fetcher.get_json(f"https://other.test:{server.port}/c")
        await fetcher.aclose()


@pytest.mark.requirement("SEC-21")
@pytest.mark.parametrize(
    "addresses", [["127.0.0.1", "10.0.0.1"], ["169.254.169.254"], [], ["not-an-address"]]
)
async def test_a_name_with_one_inward_address_is_refused(
    tmp_path: Path, addresses: list[str]
) -> None:
    authority = Authority(tmp_path)
    _, resolve = resolving(addresses)
    fetcher = Fetcher(allow_plain_loopback=True, tls=authority.trusting(), resolve=resolve)
    async with RawServer(always(answer()), tls=authority.serving("client.test")) as server:
        with pytest.raises(FetchFailed):
            await fetcher.get_json(f"https://client.test:{server.port}/c")
        assert server.connections == 0
    await fetcher.aclose()


@pytest.mark.requirement("SEC-21")
async def test_a_rebinding_name_is_judged_again_for_a_new_connection(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    asked, resolve = resolving(["127.0.0.1"], ["10.0.0.1"])
    fetcher = Fetcher(allow_plain_loopback=True, tls=authority.trusting(), resolve=resolve)
    close = answer(extra=b"Connection: close\r\n")
    async with RawServer(always(close), tls=authority.serving("client.test")) as server:
        url = f"https://client.test:{server.port}/c"
        await fetcher.get_json(url)
        with pytest.raises(FetchFailed):
            await fetcher.get_json(url)
        assert len(asked) == 2
        assert server.connections == 1
    await fetcher.aclose()


@pytest.mark.requirement("SEC-21")
@pytest.mark.parametrize("port", [22, 80, 444, 6379])
async def test_public_addresses_are_asked_on_the_ports_of_https_only(port: int) -> None:
    _, resolve = resolving(["1.1.1.1"])
    fetcher = Fetcher(allow_plain_loopback=True, resolve=resolve)

    with pytest.raises(FetchFailed) as caught:
        await fetcher.get_json(f"https://client.test:{port}/c")
    assert "the upstream is at a port that is not allowed" in caught.value.args
    await fetcher.aclose()


async def test_cancelling_a_fetch_closes_its_connection(fetcher: Fetcher) -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()

    async with RawServer(script) as server:
        task = asyncio.ensure_future(fetcher.get_json(server.url))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.finished()
