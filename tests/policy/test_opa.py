"""OPA servers that fail in every way we could think of: a deny, and the next call is answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from safeconduct.core.decision import Decision
from safeconduct.core.secrets import Secret
from safeconduct.policy import Bundle, HostPolicy, OpaEngine, OpaServers, Pdp
from tests.egress.raw import Peer, RawServer, answer

from .builders import a_request, some_facts

SHIPPED = Bundle.shipped()
TOKEN = "tok-very-secret"
ALLOWED = {
    "allow": True,
    "reason": "allowed",
    "message": "Allowed.",
    "required_level": "high",
    "effective_level": "high",
    "step_up": False,
    "obligations": [],
    "rules": [],
}
GOOD = answer(msgspec.json.encode({"result": ALLOWED}))
UNDEFINED = answer(b"{}")
Mood = Callable[[Peer], Awaitable[None]]


def says(response: bytes) -> Mood:
    async def mood(peer: Peer) -> None:
        await peer.send(response)

    return mood


async def hangs(peer: Peer) -> None:
    await peer.gone()


async def resets(peer: Peer) -> None:
    peer.cut()


async def breaks_off(peer: Peer) -> None:
    await peer.send(GOOD[:-20])
    peer.cut()


async def drips(peer: Peer) -> None:
    for byte in GOOD:
        await peer.send(bytes([byte]))
        await asyncio.sleep(0.02)


async def never_ends(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(64):
        await peer.send(b"1000\r\n" + b" " * 4096 + b"\r\n")


class Fake:
    """A server of moods: one for decisions, one for what is put there."""

    def __init__(self) -> None:
        self.asked: Mood = says(GOOD)
        self.put: Mood = says(answer(b"{}"))
        self.healthy = True
        self.seen: list[tuple[str, bytes]] = []
        self.url = ""

    def count(self, method: str) -> int:
        return sum(1 for name, _ in self.seen if name == method)

    async def script(self, peer: Peer) -> None:
        while request := await peer.request():
            method = request.partition(b" ")[0].decode()
            self.seen.append((method, request))
            if method == "GET":
                await peer.send(answer(status="200 OK" if self.healthy else "500 No"))
            else:
                await (self.asked if method == "POST" else self.put)(peer)


@asynccontextmanager
async def a_fake() -> AsyncIterator[Fake]:
    fake = Fake()
    async with RawServer(fake.script) as server:
        fake.url = f"http://127.0.0.1:{server.port}"
        yield fake


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    async with a_fake() as fake:
        yield fake


@asynccontextmanager
async def asking(
    *urls: str, bundle: Bundle = SHIPPED, **how: Any
) -> AsyncIterator[Callable[[], Awaitable[Decision]]]:
    """Yield what decides the allowed request by servers at these URLs."""
    servers = OpaServers(urls, **{"timeout_seconds": 0.3, "token": Secret(TOKEN), **how})
    policy = HostPolicy(engine=OpaEngine(bundle, servers), bundle=bundle.digest)
    pdp = Pdp(lambda _: policy)
    try:
        yield lambda: pdp.decide(a_request(), some_facts())
    finally:
        await servers.aclose()


def refused(decision: Decision) -> bool:
    return (decision.allow, decision.reason) == (False, "engine.failed")


MOODS = {
    "hangs": hangs,
    "resets": resets,
    "breaks-off": breaks_off,
    "drips": drips,
    "never-ends": never_ends,
    "500": says(answer(b"{}", status="500 Internal Server Error")),
    "401": says(answer(b"{}", status="401 Unauthorized")),
    "404": says(answer(b'{"result":{}}', status="404 Not Found")),
    "redirect": says(answer(status="307 Elsewhere", extra=b"Location: http://127.0.0.1:1/\r\n")),
    "not-http": says(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "not-json": says(answer(b"<html>")),
    "array": says(answer(b"[1]")),
    "null": says(answer(b'{"result":null}')),
    "true": says(answer(b'{"result":true}')),
    "empty": says(answer(b"")),
    "huge": says(answer(msgspec.json.encode({"result": ALLOWED | {"message": "x" * 9000}}))),
    "huge-around": says(answer(msgspec.json.encode({"result": ALLOWED, "metrics": "x" * 20_000}))),
    "unknown-member": says(answer(msgspec.json.encode({"result": ALLOWED | {"extra": 1}}))),
    "half-allow": says(answer(b'{"result":{"allow":true}}')),
    "undefined": says(UNDEFINED),
}


@pytest.mark.slow
@pytest.mark.requirement("Z-37", "Z-20")
@pytest.mark.parametrize("mood", MOODS.values(), ids=MOODS)
async def test_what_is_no_decision_is_a_deny_and_the_next_call_is_answered(
    fake: Fake, mood: Mood
) -> None:
    async with asking(fake.url) as ask:
        assert (await ask()).allow
        fake.asked = mood
        assert refused(await ask())
        fake.asked = says(GOOD)
        assert (await ask()).allow


@pytest.mark.requirement("Z-37")
async def test_a_server_that_is_down_is_a_deny_until_it_is_back(fake: Fake) -> None:
    async with RawServer(fake.script) as server:
        port = server.port
    async with asking(f"http://127.0.0.1:{port}") as ask:
        assert refused(await ask())
        back = await asyncio.start_server(server._serve, "127.0.0.1", port)
        assert (await ask()).allow
        back.close()


@pytest.mark.requirement("Z-37")
async def test_no_decision_takes_longer_than_the_limit(fake: Fake) -> None:
    fake.asked = hangs
    async with asking(fake.url) as ask:
        before = time.perf_counter()
        assert refused(await ask())

    assert time.perf_counter() - before < 10.0


@pytest.mark.requirement("Z-37")
async def test_a_full_bulkhead_refuses_at_once_and_has_room_again_later(fake: Fake) -> None:
    gate = asyncio.Event()

    async def waits(peer: Peer) -> None:
        await gate.wait()
        await peer.send(GOOD)

    fake.asked = waits
    async with asking(fake.url, most_at_once=2, timeout_seconds=20.0) as ask:
        under_way = [asyncio.ensure_future(ask()) for _ in range(2)]
        while fake.count("POST") < 2:
            await asyncio.sleep(0.01)
        before = time.perf_counter()
        assert refused(await ask())
        assert time.perf_counter() - before < 10.0
        assert fake.count("POST") == 2
        gate.set()
        assert [each.allow for each in await asyncio.gather(*under_way)] == [True, True]
        assert (await ask()).allow


async def test_a_caller_who_hangs_up_leaves_room_for_the_next(fake: Fake) -> None:
    fake.asked = hangs
    async with asking(fake.url, most_at_once=1, timeout_seconds=20.0) as ask:
        gone = asyncio.ensure_future(ask())
        while not fake.count("POST"):
            await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        fake.asked = says(GOOD)
        assert (await ask()).allow


@pytest.mark.requirement("Z-37")
async def test_a_server_without_the_rules_is_given_them_once_and_asked_again(fake: Fake) -> None:
    async def forgetful(peer: Peer) -> None:
        full = fake.count("PUT") > len(SHIPPED.modules)
        await peer.send(GOOD if full else UNDEFINED)

    fake.asked = forgetful
    async with asking(fake.url) as ask:
        decisions = await asyncio.gather(*(ask() for _ in range(8)))

    puts = [request.partition(b" HTTP")[0] for method, request in fake.seen if method == "PUT"]
    assert all(decision.allow for decision in decisions)
    assert puts[0].startswith(b"PUT /v1/data/safeconduct_bundles/")
    assert puts[-1].endswith(b"/gate.rego")
    assert len(puts) == len(set(puts)) == len(SHIPPED.modules) + 2


@pytest.mark.requirement("Z-37")
async def test_rules_that_take_too_long_to_put_are_a_deny_and_there_for_a_later_call(
    fake: Fake,
) -> None:
    async def slowly(peer: Peer) -> None:
        await asyncio.sleep(0.05)
        await peer.send(answer(b"{}"))

    async def forgetful(peer: Peer) -> None:
        full = fake.count("PUT") > len(SHIPPED.modules) + 1
        await peer.send(GOOD if full else UNDEFINED)

    fake.put, fake.asked = slowly, forgetful
    async with asking(fake.url) as ask:
        assert refused(await ask())
        while fake.count("PUT") < len(SHIPPED.modules) + 2:
            await asyncio.sleep(0.05)
        assert (await ask()).allow
    assert fake.count("PUT") == len(SHIPPED.modules) + 2


@pytest.mark.requirement("Z-37")
async def test_rules_a_server_does_not_take_are_a_deny_and_said_without_the_token(
    fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    told = f'{{"code":"invalid_parameter","message":"x.rego:5: bad; Bearer {TOKEN}"}}'
    fake.asked, fake.put = says(UNDEFINED), says(answer(told.encode(), status="400 Bad Request"))
    with caplog.at_level(logging.DEBUG):
        async with asking(fake.url) as ask:
            first, second = await ask(), await ask()

    assert refused(first)
    assert refused(second)
    assert fake.count("PUT") == 1  # not offered again at once
    assert "x.rego:5: bad" in caplog.text
    assert TOKEN not in caplog.text + first.message + second.message
    assert all(f"authorization: Bearer {TOKEN}".encode() in raw for _, raw in fake.seen)


async def test_nothing_of_a_failure_shows_the_token_or_the_address(
    fake: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    fake.asked = resets
    with caplog.at_level(logging.DEBUG, logger="safeconduct"):
        async with asking(fake.url) as ask:
            decision = await ask()

    shown = caplog.text + repr(decision)
    assert refused(decision)
    assert "OPA server 1 does not answer" in caplog.text
    assert TOKEN not in shown
    assert fake.url not in shown


@pytest.mark.requirement("Z-37")
async def test_another_server_answers_where_one_cannot_and_is_left_out_until_healthy() -> None:
    async with a_fake() as broken, a_fake() as well:
        broken.asked, broken.healthy = resets, False
        async with asking(broken.url, well.url) as ask:
            assert all([(await ask()).allow for _ in range(6)])
            assert broken.count("POST") == 1
            broken.asked, broken.healthy = says(GOOD), True
            async with asyncio.timeout(20):
                while broken.count("POST") == 1:
                    assert (await ask()).allow
                    await asyncio.sleep(0.05)


@pytest.mark.requirement("Z-37")
async def test_a_decision_is_tried_on_two_servers_and_never_on_a_third() -> None:
    async with a_fake() as one, a_fake() as two, a_fake() as three:
        fakes = [one, two, three]
        for each in fakes:
            each.asked, each.healthy = resets, False
        async with asking(*(each.url for each in fakes)) as ask:
            assert refused(await ask())

        assert sum(each.count("POST") for each in fakes) == 2


async def test_decisions_go_round_the_servers() -> None:
    async with a_fake() as one, a_fake() as two:
        async with asking(one.url, two.url) as ask:
            for _ in range(10):
                assert (await ask()).allow

        assert (one.count("POST"), two.count("POST")) == (5, 5)


@pytest.mark.parametrize("url", ["http://192.0.2.1", "http://169.254.169.254", "http://8.8.8.8"])
async def test_plain_http_goes_no_further_than_the_own_network(url: str) -> None:
    async with asking(url) as ask:
        before = time.perf_counter()
        assert refused(await ask())

    assert time.perf_counter() - before < 10.0
