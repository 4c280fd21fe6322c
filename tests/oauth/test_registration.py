"""Dynamic registration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeconduct.core.model import ClientId
from safeconduct.hosts import ClientPolicy, ConsentPolicy, SessionPolicy
from safeconduct.oauth.refusals import OAuthRefused
from safeconduct.oauth.registration import Registrations
from tests.oauth.world import NATIVE, WEB, World, answer_of


@pytest.mark.requirement("T-06", "AS-11")
@pytest.mark.parametrize("path", ["/oauth/register", "/register"])
async def test_a_client_registers_itself_and_learns_what_was_accepted(
    world: World, path: str
) -> None:
    answer = await world.http.post(
        path,
        json={
            "client_id": "my-choice",
            "client_name": "Gemini CLI MCP Client",
            "redirect_uris": ["http://localhost:34247/oauth/callback"],
            "grant_types": ["authorization_code", "refresh_token", "implicit"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "scope": "mcp offline_access",
            "software_id": "plain field",
            "x": [1],
        },
    )

    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert said["client_id"].startswith("sc_client_")  # pitfall 35: never the client's choice
    assert "client_secret" not in said  # pitfall 38
    assert said["redirect_uris"] == ["http://localhost:34247/oauth/callback"]
    assert said["grant_types"] == ["authorization_code", "refresh_token"]
    assert said["response_types"] == ["code"]
    assert said["token_endpoint_auth_method"] == "none"
    assert said["application_type"] == "native"
    assert said["scope"] == "mcp"
    assert isinstance(said["client_id_issued_at"], int)
    (event,) = world.events("client.registered")
    assert event["client"] == said["client_id"]
    assert event["detail"] == {"redirects": ["localhost"], "addresses": 1, "method": "none"}


async def test_a_registration_by_anybody_leaves_little_behind(world: World) -> None:
    """Anybody may register at the rate of an address, all day long."""
    uris = [f"https://agent.example/{number}/{'x' * 180}" for number in range(20)]
    await world.register(*uris, client_name="N" * 9000)
    (event,) = world.events("client.registered")

    assert len(json.dumps(event)) < 1000
    body = {"redirect_uris": [*uris[:3], f"https://agent.example/{'x' * 2000}"] * 5}
    answer = await world.http.post("/oauth/register", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_redirect_uri")


@pytest.mark.slow
async def test_an_address_has_a_budget_of_what_it_has_us_write(world: World) -> None:
    """Records are not forgotten, so somebody could fill the disk with them at the rate allowed."""
    registrations = Registrations(
        world.database, trail=world.trail, clock=world.clock, most_unused=10_000
    )
    uris = [f"https://agent.example/{end}{'x' * 1900}" for end in "ab"]

    async def register(ip: str, number: int) -> int:
        body = {
            "redirect_uris": uris,
            "client_name": f"n{number}",
            "token_endpoint_auth_method": "none",
        }
        try:
            await registrations.register(world.host, json.dumps(body).encode(), ip=ip)
        except OAuthRefused as refused:
            return refused.status
        return 201

    answers = [await register("2001:db8::1", number) for number in range(300)]
    taken = answers.index(429)
    assert 150 < taken < 250
    assert set(answers[taken:]) == {429}
    assert await register("2001:db8::2", 0) == 429, "it is the same subscriber"
    assert await register("2001:db8:0:1::1", 0) == 201
    assert await register("2001:db8::1", 0) == 201, "registered a moment ago, and written once"
    assert len(world.events("client.registered")) == taken + 1

    world.advance(minutes=1)
    assert await register("2001:db8::2", 1) == 201


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic", None])
async def test_a_confidential_client_gets_a_secret_that_is_not_stored(
    world: World, method: str | None
) -> None:
    """Pitfalls 38 and 57; RFC 7591 section 2: without a method, Basic."""
    body: dict[str, Any] = {"client_name": "Claude", "redirect_uris": [WEB]}
    if method:
        body["token_endpoint_auth_method"] = method
    said = (await world.http.post("/oauth/register", json=body)).json()

    assert said["client_secret"].startswith("sc_cs_")
    assert said["client_secret_expires_at"] == 0
    assert said["application_type"] == "web"
    assert said["token_endpoint_auth_method"] == (method or "client_secret_basic")
    stored = b"".join(path.read_bytes() for path in world.directory.glob("t.db*"))
    assert b"sc_cs_" not in stored
    assert said["client_secret"] not in str(world.events())


async def test_the_editions_of_a_client_register_all_their_addresses_at_once(
    world: World,
) -> None:
    uris = [
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
        "http://localhost:8787/callback",
    ]
    body = {"redirect_uris": uris, "token_endpoint_auth_method": "none"}
    assert (await world.http.post("/oauth/register", json=body)).json()["redirect_uris"] == uris

    world.policies(clients=ClientPolicy(private_schemes=False))
    answer = await world.http.post("/oauth/register", json={**body, "client_name": "B"})
    assert answer.json()["redirect_uris"] == uris[1:]
    body["redirect_uris"] = uris[:1]
    answer = await world.http.post("/oauth/register", json=body)
    assert answer.json()["error"] == "invalid_redirect_uri"


@pytest.mark.requirement("AS-05")
@pytest.mark.parametrize(
    "uris",
    [
        None,
        [],
        "https://agent.example/cb",
        [1],
        [WEB, "javascript:alert(1)"],
        [WEB, "data:text/html,x"],
        [WEB, "file:///etc/passwd"],
        [WEB, "http://agent.example/cb"],
        [WEB, "https://agent.example/cb#f"],
        [WEB, "https://u@agent.example/cb"],
        [WEB, "https://*.example/cb"],
        [f"https://agent.example/{n}" for n in range(21)],
    ],
)
async def test_one_dangerous_address_refuses_the_registration(world: World, uris: object) -> None:
    """Pitfall 4."""
    answer = await world.http.post("/oauth/register", json={"redirect_uris": uris})
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_redirect_uri"


@pytest.mark.requirement("T-06")
@pytest.mark.parametrize(
    ("kind", "uri", "status"),
    [
        ("native", NATIVE, 201),
        ("web", WEB, 201),
        ("native", WEB, 201),
        ("web", NATIVE, 400),
        ("web", "cursor://x/y", 400),
        ("desktop", WEB, 400),
    ],
)
async def test_the_application_type_is_honoured(
    world: World, kind: str, uri: str, status: int
) -> None:
    """OpenID Connect Registration section 2."""
    body = {"redirect_uris": [uri], "application_type": kind}
    assert (await world.http.post("/oauth/register", json=body)).status_code == status


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": 7}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"grant_types": "authorization_code"}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"client_name": {"a": 1}}, "invalid_client_metadata"),
        ({"software_statement": "e30.e30."}, "invalid_software_statement"),
    ],
)
async def test_what_we_cannot_honour_is_refused(
    world: World, said: dict[str, object], error: str
) -> None:
    answer = await world.http.post("/oauth/register", json={"redirect_uris": [WEB], **said})
    assert answer.status_code == 400
    assert answer.json()["error"] == error


@pytest.mark.requirement("SEC-62")
@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"", 400),
        ("application/json", b"[]", 400),
        ("application/json", b'{"redirect_uris":["https://a.b/"],"redirect_uris":[]}', 400),
        ("application/json", b"[" * 5000, 400),
        ("application/json", b'{"client_name":"\\ud800","redirect_uris":["https://a.b/"]}', 400),
        ("application/json", b" " * 20_000, 413),
        ("application/x-www-form-urlencoded", b"redirect_uris=https://a.b/", 400),
        ("text/plain", b'{"redirect_uris":["https://a.b/"]}', 400),
    ],
)
async def test_only_small_strict_json_is_read(
    world: World, kind: str, body: bytes, status: int
) -> None:
    """Pitfalls 35 and 61."""
    answer = await world.http.post("/oauth/register", content=body, headers={"content-type": kind})
    assert answer.status_code == status


async def test_a_hostile_name_is_cleaned_before_it_is_kept(world: World) -> None:
    """Pitfall 17."""
    client = await world.register(client_name="Good\u202e\x00\n<script>" + "x" * 10_000)
    found = await world.clients.get(world.host, ClientId(client))
    assert found is not None
    assert found.name.startswith("Good <script>xxx")
    assert len(found.name) == 100


async def test_an_identical_registration_soon_after_gets_the_same_id(world: World) -> None:
    first = await world.register()
    assert await world.register() == first
    assert await world.register(client_name="Another") != first
    world.ip = "203.0.113.10"
    assert await world.register() != first
    world.ip = "203.0.113.9"
    world.advance(minutes=11)
    assert await world.register() != first


async def test_a_secret_is_never_told_twice(world: World) -> None:
    body = {"redirect_uris": [WEB], "token_endpoint_auth_method": "client_secret_post"}
    first = (await world.http.post("/oauth/register", json=body)).json()
    second = (await world.http.post("/oauth/register", json=body)).json()
    assert first["client_id"] != second["client_id"]
    assert first["client_secret"] != second["client_secret"]


async def test_a_host_may_do_without_registration(world: World) -> None:
    """Pitfall 35."""
    world.policies(clients=ClientPolicy(registration=False))
    answer = await world.http.post("/oauth/register", json={"redirect_uris": [WEB]})
    assert answer.status_code == 403


@pytest.mark.requirement("T-06", "P-20")
async def test_unused_clients_are_bounded_and_make_room_when_old(world: World) -> None:
    """Pitfall 35. The world allows five unused clients."""
    used = await world.register(client_name="used")
    await world.tokens(used)
    unused = [await world.register(client_name=f"n{n}") for n in range(5)]
    body = {"redirect_uris": [WEB], "client_name": "one more"}
    answer = await world.http.post("/oauth/register", json=body)
    assert answer.status_code == 503  # nobody's sign-in under way is pushed out
    assert answer.headers["retry-after"] == "60"

    world.advance(minutes=16)
    assert (await world.http.post("/oauth/register", json=body)).status_code == 201
    held = [await world.clients.get(world.host, ClientId(one)) for one in [used, *unused]]
    assert [client is not None for client in held] == [True, False, True, True, True, True]


@pytest.mark.requirement("AS-11")
async def test_housekeeping_forgets_the_unused_and_keeps_the_living(world: World) -> None:
    used = ClientId(await world.register(client_name="used"))
    unused = ClientId(await world.register(client_name="unused"))
    await world.tokens(used)
    world.advance(days=6)
    await world.housekeeping.clean()
    assert await world.clients.get(world.host, unused) is not None

    world.advance(days=2)
    await world.housekeeping.clean()
    assert await world.clients.get(world.host, unused) is None
    assert await world.clients.get(world.host, used) is not None

    world.advance(days=130)
    await world.housekeeping.clean()
    assert await world.clients.get(world.host, used) is None


@pytest.mark.requirement("AS-11")
async def test_housekeeping_keeps_a_resting_client_whose_session_lives(world: World) -> None:
    """It would be told that it is unknown, and the person would have to sign in again."""
    world.policies(
        sessions=SessionPolicy(idle_days=400, absolute_days=400),
        consent=ConsentPolicy(longest_days=400),
    )
    client = await world.register()
    await world.redeem(
        client, answer_of(await world.allow(await world.ask(client), days=400))["code"]
    )
    world.advance(days=130)
    await world.housekeeping.clean()
    assert await world.clients.get(world.host, ClientId(client)) is not None
    world.advance(days=300)
    await world.housekeeping.clean()
    assert await world.clients.get(world.host, ClientId(client)) is None
