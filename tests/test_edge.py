"""Before every request: which host, from where, how often. Nothing of identity."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from safeconduct.edge import ClientAddresses, Limits, Throttle, Window, is_mcp, subscriber, wait
from tests.road.upstream import PATIENCE_SECONDS
from tests.road.world import ACME, OTHER, World, full_disk, line, world_at

LIMITED = {
    "error": "rate_limited",
    "message": "You have exceeded the rate limit. Please try again later.",
}
PROXY = "127.0.0.1"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world_at(tmp_path_factory.mktemp("edge")) as world:
        yield world


async def _raw(world: World, first: str, *lines: str) -> tuple[int, dict[str, str], bytes]:
    async with line(world) as client:
        client.writer.write("\r\n".join([first, *lines, "", ""]).encode("latin-1"))
        return await client.whole()


@pytest.mark.requirement("P-13", "X-01")
@pytest.mark.parametrize("path", ["/", "/mcp", "/mcp/tickets", "/oauth/token", "/login", "/nope"])
@pytest.mark.parametrize(
    "hosts",
    [
        ["nobody.test"],
        ["acme.test.evil.test"],
        ["evil.acme.test"],
        ["acme.test:8420"],
        ["acme.test", "acme.test"],
        ["acme.test", "other.test"],
        ["acme.test,other.test"],
        [""],
        ["acme.test/"],
        ["user@acme.test"],
    ],
    ids=str,
)
async def test_an_unknown_host_is_421(world: World, path: str, hosts: list[str]) -> None:
    lines = [f"host: {host}" for host in hosts]

    status, _, body = await _raw(world, f"GET {path} HTTP/1.1", *lines)

    assert status in {400, 421}
    assert b"acme" not in body.lower()
    if status == 421:
        assert body == b'{"error": "host not found"}'


@pytest.mark.requirement("P-12", "X-01")
@pytest.mark.parametrize("host", ["acme.test", "ACME.test", "acme.test:443"])
async def test_the_host_header_chooses_and_nothing_else(world: World, host: str) -> None:
    others = ("x-forwarded-host: other.test", "forwarded: host=other.test", "x-host: other.test")
    path = "/.well-known/oauth-authorization-server"

    status, _, body = await _raw(world, f"GET {path} HTTP/1.1", f"host: {host}", *others)

    assert status in {200, 421}
    assert b"other" not in body
    assert status == 200 or host != "acme.test"


async def test_a_missing_host_is_refused(world: World) -> None:
    for first in ("GET /login HTTP/1.1", "GET /login HTTP/1.0", "GET /mcp HTTP/1.1"):
        status, _, _ = await _raw(world, first, "x: y")
        assert status in {400, 421}


async def test_health_is_told_without_a_host_and_without_details(world: World) -> None:
    for path, word in (("/healthz", "healthy"), ("/readyz", "ready")):
        status, headers, body = await _raw(world, f"GET {path} HTTP/1.1", "host: any")
        assert status == 200
        assert body == f'{{"status": "{word}"}}'.encode()
        assert headers["cache-control"] == "no-store"


@pytest.mark.requirement("Z-37")
async def test_not_ready_while_the_trail_cannot_be_written(tmp_path: Path) -> None:
    async with world_at(tmp_path) as world:
        await world.call((await world.tokens()).access)
        with full_disk():
            await world.call(None)
            tokens_need_the_trail = await world.http.post(
                f"{ACME}/oauth/register", json={"redirect_uris": ["https://a.test/c"]}
            )
            ready = await world.http.get(f"{ACME}/readyz")
        assert tokens_need_the_trail.status_code == 503
        assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await world.http.get(f"{ACME}/readyz")).status_code != 200:
                await asyncio.sleep(0.05)  # it looks once a second
        assert (await world.http.get(f"{ACME}/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"x-forwarded-for": "203.0.113.1"}, 404),
        ({"x-forwarded-for": "127.0.0.1"}, 404),
        ({"forwarded": "for=127.0.0.1"}, 404),
    ],
    ids=str,
)
async def test_metrics_are_for_this_machine(
    world: World, headers: dict[str, str], status: int
) -> None:
    answer = await world.http.get(f"{ACME}/metrics", headers=headers)

    assert answer.status_code == status
    assert (b"safeconduct_decisions_total" in answer.content) == (status == 200)


@pytest.mark.parametrize(("peer", "status"), [("203.0.113.1", 404), ("::1", 200)])
async def test_metrics_are_not_for_others(world: World, peer: str, status: int) -> None:
    transport = httpx2.ASGITransport(world.gateway, client=(peer, 1))
    async with httpx2.AsyncClient(transport=transport, base_url=ACME) as http:
        assert (await http.get("/metrics")).status_code == status


@pytest.mark.parametrize(("setting", "status"), [("off", 404), ("public", 200)])
async def test_metrics_can_be_off_or_public(tmp_path: Path, setting: str, status: int) -> None:
    async with world_at(tmp_path, server={"metrics": setting}) as world:
        headers = {"x-forwarded-for": "203.0.113.1"}
        assert (await world.http.get(f"{ACME}/metrics", headers=headers)).status_code == status


@pytest.mark.requirement("P-20")
@pytest.mark.parametrize(
    ("method", "path", "limit", "seconds"),
    [
        ("POST", "/login", 100, 300),
        ("POST", "/login/create", 100, 600),
        ("POST", "/login/forgot", 100, 600),
        ("POST", "/oauth/register", 100, 60),
        ("POST", "/access/v1/evaluation", 1000, 60),
        ("POST", "/register", 100, 60),
        ("POST", "/mcp", 1000, 60),
        ("POST", "/mcp/tickets", 1000, 60),
        ("POST", "/oauth/token", 1200, 60),
        ("PUT", "/anything", 1200, 60),
        ("PATCH", "/anything", 1200, 60),
        ("DELETE", "/anything", 1200, 60),
        ("GET", "/login", 2000, 60),
        ("GET", "/mcp", 2000, 60),
    ],
)
def test_the_limits_are_exact(method: str, path: str, limit: int, seconds: int) -> None:
    windows = Throttle(Limits()).windows(method, path)
    now = 600_000.0  # where windows of all lengths begin

    for _ in range(limit):
        assert wait(windows, "a", now=now) == 0

    assert wait(windows, "a", now=now) == seconds
    assert wait(windows, "b", now=now) == 0
    assert wait(windows, "a", now=now + 2 * seconds) == 0


@pytest.mark.requirement("P-20")
def test_routes_with_a_limit_of_their_own_exist(world: World) -> None:
    inner: Any = world.gateway._answers.app._app  # type: ignore[attr-defined]  # the edge's inside
    paths = {route.path for route in inner.routes}

    assert set(Throttle(Limits())._by_path) <= paths


@pytest.mark.requirement("P-20")
def test_a_window_slides() -> None:
    window = Window(10, 60)
    for _ in range(10):
        assert window.hit("a", 59.0) == 0
    assert window.hit("a", 59.0) == 1
    assert window.hit("a", 60.0) == 60  # all of the last minute still counts
    assert [window.hit("a", 90.0) for _ in range(6)] == [0, 0, 0, 0, 0, 30]
    assert window.hit("a", 240.0) == 0


def test_a_window_keeps_a_bounded_number_of_addresses() -> None:
    window = Window(1, 60)
    for number in range(100_500):
        window.hit(str(number), 0.0)

    assert len(window._counts) == 100_000


@pytest.fixture(scope="module")
async def tight(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A world behind a proxy, where three messages a minute are too many."""
    names = ["sign_in_per_5_minutes", "sign_up_per_10_minutes", "register_per_minute"]
    limits = dict.fromkeys([*names, "mcp_per_minute"], 2) | {
        "writes_per_minute": 100_000,
        "all_per_minute": 100_000,
    }
    server = {"rate_limits": limits, "trusted_proxies": [f"{PROXY}/32", "10.0.0.0/8"]}
    async with world_at(tmp_path_factory.mktemp("tight"), server=server) as world:
        yield world


async def _posts(world: World, forwarded: list[str], path: str = "/mcp") -> httpx2.Response:
    headers = [("x-forwarded-for", each) for each in forwarded]
    for _ in range(5):  # a window may begin meanwhile
        answer = await world.http.post(f"{ACME}{path}", headers=headers)
        if answer.status_code == 429:
            break
    return answer


@pytest.mark.requirement("P-21")
@pytest.mark.parametrize(
    "path", ["/mcp", "/mcp/tickets", "/oauth/register", "/login", "/login/create", "/register"]
)
async def test_over_the_limit_is_429_with_a_time_to_come_back(tight: World, path: str) -> None:
    answer = await _posts(tight, ["198.51.100.1"], path)

    assert answer.status_code == 429
    assert answer.json() == LIMITED
    assert 1 <= int(answer.headers["retry-after"]) <= 600
    other = await tight.http.post(f"{ACME}{path}", headers={"x-forwarded-for": "198.51.100.2"})
    assert other.status_code != 429


@pytest.mark.requirement("P-20")
@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (["203.0.113.1"], ["203.0.113.2"], False),
        (["203.0.113.3"], ["1.1.1.1, 203.0.113.3"], True),
        (["203.0.113.4"], ["203.0.113.4, 10.1.2.3"], True),
        (["203.0.113.5"], ["203.0.113.5", "10.1.2.3"], True),
        (["203.0.113.6"], ["not an address, 203.0.113.6"], True),
        (["2001:db8:1:1::1"], ["2001:db8:1:1:ffff::2"], True),
        (["2001:db8:1:2::1"], ["2001:db8:1:3::1"], False),
    ],
    ids=str,
)
async def test_the_nearest_stranger_is_the_client(
    tight: World, first: list[str], second: list[str], same: bool
) -> None:
    assert (await _posts(tight, first)).status_code == 429

    headers = [("x-forwarded-for", each) for each in second]
    answer = await tight.http.post(f"{ACME}/mcp", headers=headers)

    assert (answer.status_code == 429) == same


@pytest.mark.requirement("P-20")
async def test_strangers_cannot_name_their_own_address(tight: World) -> None:
    transport = httpx2.ASGITransport(tight.gateway, client=("192.0.2.9", 1))
    async with httpx2.AsyncClient(transport=transport, base_url=ACME) as http:
        statuses = [
            (
                await http.post("/mcp", headers={"x-forwarded-for": f"203.0.114.{number}"})
            ).status_code
            for number in range(6)
        ]

    assert 429 in statuses


@pytest.mark.requirement("P-20")
async def test_the_address_that_counts_is_the_one_that_is_written_down(tight: World) -> None:
    tokens = await tight.tokens()
    await tight.call(tokens.access, headers={"x-forwarded-for": "evil, 203.0.113.77, 10.0.0.1"})

    assert tight.events("call.intent")[-1]["ip"] == "203.0.113.77"


@pytest.mark.requirement("P-20")
@pytest.mark.parametrize(
    ("stated", "address"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.8:50123", "198.51.100.8"),
        ("[2001:db8::2]:443", "2001:db8::2"),
        ("[2001:db8::3]", "2001:db8::3"),
        ("2001:DB8:4:0::4", "2001:db8:4::4"),
        ("[2001:db8:5::5]:443, 10.1.2.3:99", "2001:db8:5::5"),
        ("203.0.113.9, 198.51.100.9:99", "198.51.100.9"),
        ("::ffff:198.51.100.10", "198.51.100.10"),
        ("[::ffff:198.51.100.11]:1", "198.51.100.11"),
        ("198.51.100.12, ::ffff:10.1.2.3", "198.51.100.12"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:1", "fe80::1"),
        ("[fe80::1%eth0]", "fe80::1"),
        ("198.51.100.13,", "198.51.100.13"),
        ("198.51.100.14,, 10.1.2.3", "198.51.100.14"),
        (", ,198.51.100.15, ,\t10.1.2.3 ,", "198.51.100.15"),
        (",", PROXY),
        ("[fe80::1%]:1", PROXY),
        ("[fe80::1%25eth0]]:1", PROXY),
        ("[fe80::1%25eth0", PROXY),
        ("[%25eth0]:1", PROXY),
        ("unknown", PROXY),
        ("_hidden", PROXY),
        ("", PROXY),
        ("198.51.100.8:evil", PROXY),
        ("198.51.100.8:", PROXY),
        ("198.51.100.8:123456", PROXY),
        ("[198.51.100.8", PROXY),
        ("[2001:db8::2]443", PROXY),
        ("[2001:db8::2]:443:1", PROXY),
        ("2001:db8::2:443:1:2:3:4:5", PROXY),
        ('"198.51.100.8"', PROXY),
        ("198.51.100.8 198.51.100.9", PROXY),
        ("198.51.100.7, unknown", PROXY),
    ],
)
async def test_what_proxies_state_is_read_with_ports_and_brackets(
    tight: World, stated: str, address: str
) -> None:
    tokens = await tight.tokens()

    await tight.call(tokens.access, headers={"x-forwarded-for": stated})

    assert tight.events("call.intent")[-1]["ip"] == address


@pytest.mark.requirement("P-20")
async def test_two_addresses_with_ports_do_not_share_a_budget(tight: World) -> None:
    assert (await _posts(tight, ["198.51.100.80:1111"])).status_code == 429
    assert (await _posts(tight, ["198.51.100.80:2222"])).status_code == 429

    other = await tight.http.post(f"{ACME}/mcp", headers={"x-forwarded-for": "198.51.100.81:1111"})

    assert other.status_code == 401


@pytest.mark.requirement("P-20")
@pytest.mark.parametrize("stated", [[], ["unknown"], ["10.1.2.3"]])
async def test_a_trusted_proxys_own_address_is_counted_by_no_limit(
    tight: World, stated: list[str]
) -> None:
    """Its requests are those of many clients, whom it failed to name."""
    assert (await _posts(tight, stated)).status_code == 401


async def test_an_address_that_cannot_be_read_is_logged_once_for_each_proxy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    addresses = ClientAddresses((ipaddress.ip_network("10.0.0.0/8"),))
    for proxy in ("10.0.0.1", "10.0.0.1", "10.0.0.2"):
        for stated in (b"unknown", b"evil\x1b[31m" * 100, b"198.51.100.7"):
            addresses.of(proxy, [(b"x-forwarded-for", stated)])

    assert [record.args[0] for record in caplog.records] == ["10.0.0.1", "10.0.0.2"]
    assert all(len(record.getMessage()) < 500 for record in caplog.records)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("::ffff:198.51.100.1", "198.51.100.1", True),
        ("::ffff:198.51.100.1", "::ffff:198.51.100.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
    ],
)
def test_a_socket_for_both_families_tells_the_same_clients_apart(
    one: str, other: str, same: bool
) -> None:
    """It writes IPv4 as mapped, all of which lie in one network of IPv6."""
    assert (subscriber(one) == subscriber(other)) == same


@pytest.mark.requirement("P-20", "P-13")
async def test_unknown_hosts_are_counted_like_known_ones(tight: World) -> None:
    statuses = [
        (
            await tight.http.post(
                f"{ACME}/mcp", headers={"host": "nobody.test", "x-forwarded-for": "203.0.113.99"}
            )
        ).status_code
        for _ in range(5)
    ]

    assert statuses[0] == 421
    assert 429 in statuses
    assert (await _posts(tight, ["203.0.113.99"])).status_code == 429


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/mcp", True),
        ("/mcp/", True),
        ("/mcp/tickets", True),
        ("/mcp/tickets/", True),
        ("/mcp/tickets/more", False),
        ("/mcp2", False),
        ("/mcptickets", False),
        ("/mc", False),
        ("/", False),
        ("", False),
        ("/x/mcp", False),
    ],
)
def test_which_paths_lead_to_the_road(path: str, expected: bool) -> None:
    assert is_mcp(path) == expected


async def test_two_hosts_are_told_apart_on_one_connection(world: World) -> None:
    async with line(world) as client:
        for origin in (ACME, OTHER, ACME):
            host = origin.removeprefix("https://")
            path = "/.well-known/oauth-authorization-server"
            client.writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            _, _, body = await client.whole()
            assert origin.encode() in body
