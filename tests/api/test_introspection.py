"""Introspection (RFC 7662): what a token is good for is decided anew, and told to few."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from safeconduct.app.rules import read_rules
from safeconduct.core.model import ClientId, HostId, Level
from safeconduct.oauth import set_blocked
from safeconduct.people import set_active
from safeconduct.upstreams import Override
from tests.api.asking import FOREIGN, SECRET, points
from tests.oauth.basic import strict_basic
from tests.road.world import ACME, OTHER, Tokens, World, world_at

pytestmark = pytest.mark.requirement("T-14")

INACTIVE = {"active": False}
FORM = "application/x-www-form-urlencoded"
OBLIGED = """package safeconduct.host

import rego.v1

obligations contains {"type": "mask", "pointers": ["/email"]} if input.resource.name == "get_issue"

deny contains {"reason": "seven", "message": "Not seven."} if input.arguments.id == "T-13"
"""
TIERS: dict[str, Any] = {
    "trust_tiers": {"developer": ["claude-code"], "reader": ["scanner"]},
    "tier_levels": {"developer": {"tickets": "high"}, "reader": {"tickets": "low"}},
    "providers": {"agent": "claude-code"},
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    acme, other = points(tmp_path, mesh=SECRET), points(tmp_path, foreign=FOREIGN)
    async with world_at(tmp_path, asgi=True, acme=acme, other=other) as world:
        yield world


async def post(
    world: World,
    form: dict[str, str] | bytes,
    *,
    authorization: str | None = f"Bearer {SECRET}",
    media: str = FORM,
    origin: str = ACME,
) -> httpx2.Response:
    headers = {"content-type": media}
    if authorization is not None:
        headers["authorization"] = authorization
    url = f"{origin}/oauth/introspect"
    if isinstance(form, bytes):
        return await world.http.post(url, content=form, headers=headers)
    return await world.http.post(url, data=form, headers=headers)


async def said(world: World, token: str, **form: str) -> dict[str, Any]:
    answer = await post(world, {"token": token} | form)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    assert found["active"] or found == INACTIVE
    return found


async def about(world: World, token: str, tool: str = "get_issue", **more: Any) -> bool:
    context = {"server": "tickets", "tool": tool, "arguments": {"id": "T-7"}} | more
    return bool((await said(world, token, context=json.dumps(context)))["active"])


async def decide_by(
    world: World, directory: Path, *, rules: str = "", agents: dict[str, Any] | None = None
) -> None:
    """Let the host decide by a policy directory from here on."""
    place = directory / "rules"
    place.mkdir(exist_ok=True)
    (place / "data.yaml").write_text(json.dumps({"agents": agents} if agents else {}))
    if rules:
        (place / "own.rego").write_text(rules)
    await world.rules(read_rules(place).rules)


def last(world: World) -> dict[str, Any]:
    return [each for each in world.events() if each["kind"].startswith("check.")][-1]


async def widest(world: World, level: Level = Level.HIGH) -> Tokens:
    """Sign alice's agent in, with every scope asked for that her consent has."""
    world.http.event_hooks = {"request": [_ask_for_all]}
    try:
        return await world.tokens(level=level)
    finally:
        world.http.event_hooks = {"request": []}


async def _ask_for_all(request: httpx2.Request) -> None:
    if request.url.path == "/oauth/authorize":
        request.url = request.url.copy_merge_params({"scope": "mcp mcp:medium mcp:high"})


async def test_basic_credentials_are_form_decoded_here_as_at_the_token_endpoint(
    tmp_path: Path,
) -> None:
    """RFC 6749 section 2.3.1, as strict clients encode them; `curl -u` does not."""
    secret = "p-o_i.n~t!*'()+/%25%3A=:&?;#@"
    raw = "Basic " + base64.b64encode(f"mesh:{secret}".encode()).decode()
    async with world_at(tmp_path, asgi=True, acme=points(tmp_path, mesh=secret)) as world:
        for authorization, status in ((strict_basic("mesh", secret), 200), (raw, 401)):
            answer = await post(world, {"token": "sc_at_x"}, authorization=authorization)
            assert answer.status_code == status


async def test_a_live_token_says_whose_it_is_and_how_far_it_goes(world: World) -> None:
    """RFC 7662 section 2.2."""
    tokens = await widest(world, Level.MEDIUM)

    answer = await said(world, tokens.access, token_type_hint="refresh_token")

    access = await world.access(tokens.access)
    assert answer.pop("decision_id") == last(world)["decision_id"]
    assert answer == {
        "active": True,
        "sub": tokens.subject,
        "client_id": "agent",
        "scope": "mcp mcp:medium",
        "aud": f"{ACME}/mcp/tickets",
        "exp": int(access.expires_at),
        "token_type": "Bearer",
        "obligations": [],
    }


async def test_a_scope_is_what_the_client_was_told_what_counts_and_what_is_asked(
    world: World,
) -> None:
    plain, tokens = await world.tokens(), await widest(world)
    assert (await said(world, plain.access))["scope"] == "mcp"
    assert (await said(world, tokens.access))["scope"] == "mcp mcp:medium mcp:high"
    assert (await said(world, tokens.access, scope="mcp"))["scope"] == "mcp"
    assert (await said(world, tokens.access, scope="mcp:high"))["active"]

    await world.ceiling(Level.MEDIUM)

    assert (await said(world, tokens.access))["scope"] == "mcp mcp:medium"
    assert (await said(world, tokens.access, scope="mcp:medium"))["scope"] == "mcp mcp:medium"
    for scope in ("mcp:high", "mcp mcp:high", "mcp tickets:read"):
        assert await said(world, tokens.access, scope=scope) == INACTIVE
        assert last(world)["reason"] == "scope.insufficient"


async def test_a_tool_is_decided_as_on_the_road(world: World) -> None:
    tokens = await world.tokens(level=Level.MEDIUM)
    await world.override("get_issue", Override(level=Level.MEDIUM))
    assert await about(world, tokens.access)
    assert not await about(world, tokens.access, "delete_issue")
    assert last(world)["reason"] == "consent.level"

    for context, reason in (
        ({"tool": "no_such_tool"}, "tool.unknown"),
        ({"tool": "get_hidden"}, "tool.disabled"),
        ({"server": "notes"}, "server.other"),
        ({"method": "resources/read"}, "action.unknown"),
        ({"tool": "", "method": "tools/call"}, "action.unknown"),
    ):
        assert not await about(world, tokens.access, **context)
        assert last(world)["reason"] == reason
    assert await about(world, tokens.access, "", method="tools/list")
    await world.override("get_issue", Override(level=Level.HIGH))
    assert not await about(world, tokens.access)


@pytest.mark.requirement("Z-17", "Z-34")
async def test_arguments_decide_and_obligations_are_handed_on(world: World, tmp_path: Path) -> None:
    await decide_by(world, tmp_path, rules=OBLIGED)
    tokens = await world.tokens()
    context = {"tool": "get_issue", "arguments": {"id": "T-7"}}

    answer = await said(world, tokens.access, context=json.dumps(context))

    assert answer["obligations"] == [{"type": "mask", "pointers": ["/email"], "keep_last": 0}]
    assert not await about(world, tokens.access, arguments={"id": "T-13"})
    assert last(world)["reason"] == "policy.seven"


async def expired(world: World, tokens: Tokens) -> str:
    access = await world.access(tokens.access)
    left = access.expires_at - world.clock.seconds()
    world.clock.advance(timedelta(seconds=left) - timedelta(microseconds=1))
    assert (await said(world, tokens.access))["active"]
    world.clock.advance(timedelta(microseconds=1))
    return "token.expired"


async def ended(world: World, tokens: Tokens) -> str:
    await world.tokens()  # another live session of the same two changes nothing
    await world.parts.database.catch_up()
    async with world.parts.database.write() as tx:
        from safeconduct import sessions

        at = world.clock.now()
        await sessions.end(tx, HostId("acme"), tokens.session, at=at, because="test")
    return "session.ended"


async def revoked(world: World, tokens: Tokens) -> str:
    await world.revoke(tokens)
    return "token.unknown|session.ended"


async def blocked(world: World, _tokens: Tokens) -> str:
    async with world.parts.database.write() as tx:
        await set_blocked(tx, HostId("acme"), ClientId("agent"), blocked=True)
    return "client.blocked"


async def suspended(world: World, tokens: Tokens) -> str:
    async with world.parts.database.write() as tx:
        await set_active(tx, HostId("acme"), tokens.subject, active=False)
    return "subject.inactive"


async def taken_off(world: World, _tokens: Tokens) -> str:
    await world.ceiling(None)
    return "ceiling.none"


@pytest.mark.requirement("T-15", "Z-23")
@pytest.mark.parametrize("fall", [expired, ended, revoked, blocked, suspended, taken_off])
async def test_a_token_is_inactive_from_the_moment_it_falls(
    world: World, fall: Callable[[World, Tokens], Awaitable[str]]
) -> None:
    tokens = await world.tokens()
    assert (await said(world, tokens.access))["active"]

    reason = await fall(world, tokens)

    assert await said(world, tokens.access) == INACTIVE
    assert last(world)["reason"] in reason.split("|")
    assert last(world)["kind"] == "check.denied"


@pytest.mark.requirement("T-15")
async def test_an_expired_consent_ends_it_before_its_token_does(world: World) -> None:
    tokens = await world.tokens(days=1 / 24 / 60)
    assert (await said(world, tokens.access))["active"]
    world.clock.advance(timedelta(minutes=1))

    assert await said(world, tokens.access) == INACTIVE
    assert last(world)["reason"] in {"consent.expired", "token.expired", "session.ended"}


async def test_what_is_no_access_token_of_this_host_is_inactive(world: World) -> None:
    tokens = await world.tokens()
    foreign = await world.tokens(host="other")

    for token in (
        tokens.refresh,
        foreign.access,
        tokens.access + "x",
        "sc_at_",
        "x" * 5000,
        SECRET,
    ):
        assert await said(world, token) == INACTIVE
        assert last(world)["reason"] == "token.unknown"
    assert (await said(world, tokens.access, resource=f"{ACME}/mcp/tickets"))["active"]
    assert await said(world, tokens.access, resource=f"{ACME}/mcp") == INACTIVE


@pytest.mark.requirement("T-21", "T-15")
async def test_the_tier_of_the_agents_provider_counts(world: World, tmp_path: Path) -> None:
    """One row of data changes, and the same token narrows, or flips."""
    await decide_by(world, tmp_path, agents=TIERS)
    tokens = await widest(world)
    assert (await said(world, tokens.access))["scope"] == "mcp mcp:medium mcp:high"
    assert await about(world, tokens.access, "delete_issue")

    await decide_by(world, tmp_path, agents=TIERS | {"providers": {"agent": "scanner"}})
    assert (await said(world, tokens.access))["scope"] == "mcp"
    assert not await about(world, tokens.access, "delete_issue")

    await decide_by(world, tmp_path, agents=TIERS | {"providers": {}})
    assert await said(world, tokens.access) == INACTIVE
    assert last(world)["reason"] == "tier.none"

    await decide_by(world, tmp_path, agents=TIERS)
    assert await about(world, tokens.access, "delete_issue")


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", f"Bearer {FOREIGN}", f"Bearer {SECRET}s", "token", f"Digest {SECRET}"],
)
async def test_only_enforcement_points_may_ask(world: World, authorization: str | None) -> None:
    """RFC 7662 section 2.1: or whoever likes could try tokens out."""
    tokens = await world.tokens()
    if authorization == "token":
        authorization = f"Bearer {tokens.access}"
    before = len(world.events())

    answer = await post(world, {"token": tokens.access}, authorization=authorization)

    assert answer.status_code == 401
    challenges = answer.headers.get_list("www-authenticate")
    assert [each.split(" ")[0] for each in challenges] == ["Basic", "Bearer"]
    assert answer.json()["error"] == "invalid_client"
    assert len(world.events()) == before


async def test_a_point_may_show_itself_by_basic_and_on_its_own_host_only(world: World) -> None:
    tokens = await world.tokens()
    form = {"token": tokens.access}
    basic = f"Basic {base64.b64encode(f'mesh:{SECRET}'.encode()).decode()}"

    assert (await post(world, form, authorization=basic)).json()["active"]
    assert (await post(world, form, authorization=basic, origin=OTHER)).status_code == 401
    foreign = await post(world, form, authorization=f"Bearer {FOREIGN}", origin=OTHER)
    assert foreign.json() == INACTIVE


@pytest.mark.parametrize(
    ("form", "status"),
    [
        (b"", 400),
        (b"token=", 400),
        (b"token=a&token=b", 400),
        (b"token=a&scope=b&scope=c", 400),
        (b"token=%ff", 400),
        (b"token=\xff", 400),
        (b"&".join(b"%d=x" % number for number in range(100)), 400),
        (b"token=a&context=", 200),
        (b"token=a&context=[]", 400),
        (b"token=a&context={", 400),
        (b'token=a&context={"tool":1}', 400),
        (b'token=a&context={"tool":"a","tool":"b"}', 400),
        (b'token=a&context={"tool":"a","arguments":[]}', 400),
        (b'token=a&context={"tool":"a\\u0000"}', 400),
        (b'token=a&context={"agent":7,%0A"arguments":{}}', 200),
        (b"token=a&context=" + b"[" * 100, 400),
        (b"token=" + b"x" * 300_000, 413),
    ],
)
async def test_a_form_that_readers_could_differ_about_is_refused(
    world: World, form: bytes, status: int
) -> None:
    answer = await post(world, form)

    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"] == "invalid_request"


async def test_only_forms_are_read(world: World) -> None:
    tokens = await world.tokens()
    body = json.dumps({"token": tokens.access}).encode()

    assert (await post(world, body, media="application/json")).status_code == 415
    url = f"{ACME}/oauth/introspect"
    headers = {"authorization": f"Bearer {SECRET}"}
    asked = await world.http.get(url, params={"token": tokens.access}, headers=headers)
    assert asked.status_code == 405


@pytest.mark.requirement("L-01")
async def test_every_answer_is_on_record_and_no_token_is(world: World) -> None:
    tokens = await world.tokens()
    assert await about(world, tokens.access)
    allowed = last(world)
    await said(world, tokens.refresh)
    denied = last(world)

    assert (allowed["kind"], allowed["resource"]) == ("check.allowed", "tickets/get_issue")
    assert allowed["scope"] == "mcp"
    assert (allowed["subject"], allowed["client"]) == (tokens.subject, "agent")
    assert allowed["session"] == tokens.session
    assert allowed["token_id"] == (await world.access(tokens.access)).token_id
    assert allowed["detail"]["enforcement_point"] == "mesh"
    assert denied["kind"] == "check.denied"
    trail = "".join(path.read_text() for path in world.audit.glob("*.jsonl"))
    for handle in (tokens.access, tokens.refresh):
        assert handle not in trail
        assert handle.split("_", 2)[-1] not in trail  # its random part may hold more of them


async def test_it_is_advertised_where_somebody_may_ask(tmp_path: Path) -> None:
    """RFC 8414 section 2; the methods may be types of tokens."""
    path = "/.well-known/oauth-authorization-server"
    acme = points(tmp_path, mesh=SECRET)
    async with world_at(tmp_path, asgi=True, acme=acme) as world:
        document = (await world.http.get(f"{ACME}{path}")).json()
        assert document["introspection_endpoint"] == f"{ACME}/oauth/introspect"
        methods = document["introspection_endpoint_auth_methods_supported"]
        assert methods == ["client_secret_basic", "Bearer"]
        silent = (await world.http.get(f"{OTHER}{path}")).json()
        assert not any(name.startswith("introspection") for name in silent)
        assert (await post(world, {"token": "x"}, origin=OTHER)).status_code == 401
