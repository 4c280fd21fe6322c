"""First of all, who is it? Asked before the method, the Accept header, the version, the body."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import quote

import pytest

from safeconduct.core.model import ClientId, HostId
from safeconduct.egress import FetchedDocument
from safeconduct.hosts import ClientPolicy
from safeconduct.oauth import set_blocked
from tests.road.world import (
    ACME,
    CALLBACK,
    OTHER,
    VERSIONS,
    Tokens,
    World,
    body_of,
    headers_of,
    line,
)

METADATA = f"{ACME}/.well-known/oauth-protected-resource/mcp/tickets"
BARE = f'Bearer resource_metadata="{METADATA}", scope="mcp"'
INVALID = f'Bearer error="invalid_token", resource_metadata="{METADATA}", scope="mcp"'


@pytest.mark.requirement("P-12", "Z-37", "RS-02", "RS-03", "RS-04", "T-02")
@pytest.mark.parametrize("verb", ["GET", "HEAD", "POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"accept": "*/*", "mcp-protocol-version": "2024-11-05"},
        {"accept": "application/json"},
        {"accept": "text/plain", "content-type": "text/plain"},
        {"mcp-protocol-version": "never"},
        {"mcp-protocol-version": "2026-07-28", "mcp-method": "initialize"},
        {"mcp-session-id": "unknown"},
        {"cookie": "__Host-safeconduct=sc_bs_x"},
        {"authorization": "Basic YTpi"},
        {"authorization": "Bearer"},
    ],
    ids=lambda headers: "+".join(f"{k}={v}" for k, v in headers.items()) or "none",
)
async def test_without_a_token_everything_is_401_with_the_challenge(
    road: World, verb: str, headers: dict[str, str]
) -> None:
    body = b"{" if verb == "POST" else b""

    answer = await road.http.request(verb, f"{ACME}/mcp/tickets", headers=headers, content=body)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == BARE
    assert road.upstream.seen == []


@pytest.mark.requirement("SEC-13", "RS-10")
async def test_a_token_in_the_query_is_no_token(road: World, tokens: Tokens) -> None:
    params = {"name": "get_issue"}
    path = f"/mcp/tickets?access_token={tokens.access}"

    assert (await road.send(None, "tools/call", params, path=path)).status_code == 401
    assert (await road.send(tokens.access, "tools/call", params)).status_code == 200


@pytest.mark.requirement("SEC-13", "RS-10")
async def test_a_token_in_the_body_is_no_token(road: World, tokens: Tokens) -> None:
    answer = await road.http.post(f"{ACME}/mcp/tickets", data={"access_token": tokens.access})

    assert answer.status_code == 401


@pytest.mark.requirement("RS-03")
async def test_two_authorization_headers_are_refused(road: World, tokens: Tokens) -> None:
    headers = [*headers_of("tools/list").items()]
    body = body_of("tools/list")
    good = ("authorization", f"Bearer {tokens.access}")

    twice = await road.http.post(
        f"{ACME}/mcp/tickets", headers=[*headers, good, good], content=body
    )
    once = await road.http.post(f"{ACME}/mcp/tickets", headers=[*headers, good], content=body)

    assert twice.status_code == 401
    assert twice.headers["www-authenticate"] == INVALID
    assert once.status_code == 200


@pytest.mark.requirement("RS-03", "RS-07")
@pytest.mark.parametrize(
    "token",
    [
        "sc_at_unknown",
        "x",
        "sc_at_" + "x" * 10_000,
        "sc_at_\u00e9",
        "a b c",
        '","',
    ],
)
async def test_what_is_no_token_is_401(road: World, token: str) -> None:
    headers = {**headers_of("tools/list"), "authorization": f"Bearer {token}".encode("latin-1")}

    answer = await road.http.post(
        f"{ACME}/mcp/tickets",
        headers=headers,  # type: ignore[arg-type]  # bytes, for what is not ASCII
        content=body_of("tools/list"),
    )

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == INVALID


async def test_a_refresh_token_is_no_access_token(road: World, tokens: Tokens) -> None:
    assert (await road.call(tokens.refresh)).status_code == 401
    assert (await road.call(tokens.access)).status_code == 200


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
async def test_the_scheme_is_case_insensitive(road: World, tokens: Tokens, scheme: str) -> None:
    answer = await road.call(None, headers={"authorization": f"{scheme} {tokens.access}"})

    assert answer.status_code == 200


@pytest.mark.requirement("SEC-10", "S-02", "RS-08", "SEC-12")
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/mcp/tickets", 200),
        ("/mcp/tickets/", 200),
        ("/mcp", 401),
        ("/mcp/", 401),
        ("/mcp/notes", 401),
        ("/mcp/Tickets", 401),
        ("/mcp/tickets%2f", 401),
        ("/mcp/ticket", 401),
        ("/mcp2", 404),
        ("/mcptickets", 404),
        ("/mcp/tickets/more", 404),
        ("//mcp/tickets", 404),
        ("/MCP/tickets", 404),
    ],
)
async def test_a_token_works_at_its_own_address_only(
    road: World, tokens: Tokens, path: str, status: int
) -> None:
    answer = await road.call(tokens.access, path=path)

    assert answer.status_code == (status if path != "/mcp/tickets%2f" else answer.status_code)
    assert answer.status_code in {200, 401, 404, 405}
    if status != 200 and path != "/mcp/tickets%2f":
        assert road.upstream.seen == []


@pytest.mark.requirement("SEC-10", "RS-08")
async def test_a_token_for_the_common_address_works_there_only(world: World) -> None:
    tokens = await world.tokens(resource=f"{ACME}/mcp")

    assert (await world.call(tokens.access, path="/mcp")).status_code == 200
    assert (await world.call(tokens.access, path="/mcp/")).status_code == 200
    assert (await world.call(tokens.access, path="/mcp/tickets")).status_code == 401


@pytest.mark.requirement("RS-01", "RS-02")
@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/mcp/tickets", "/mcp/tickets/"])
async def test_each_address_is_challenged_with_its_own_metadata(road: World, path: str) -> None:
    answer = await road.call(None, path=path)

    url = f"{ACME}/.well-known/oauth-protected-resource{path}"
    assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{url}", scope="mcp"'
    document = (await road.http.get(url)).json()
    assert document["resource"] == f"{ACME}{path}"


@pytest.mark.requirement("C-17", "RS-01", "RS-02")
@pytest.mark.parametrize(
    ("typed", "described"),
    [
        ("/mcp?upstream_mcp=https%3a%2f%2ftickets.test%2fmcp", True),
        ("/mcp?upstream_mcp=https://tickets.test/mcp", True),
        ("/mcp?upstream_mcp=", False),
        ("/mcp?upstream_mcp=a&b=c", False),
        ('/mcp?upstream_mcp=a"', False),
        ("/mcp?x=1", False),
        ("/mcp/tickets?upstream_mcp=a", False),
    ],
)
async def test_a_suggested_server_stays_in_the_address_of_the_metadata(
    road: World, typed: str, described: bool
) -> None:
    """RFC 9728 section 3.1; clients ask for the resource their user typed."""
    async with line(road) as client:
        await client.raw(f"POST {typed} HTTP/1.1", ["content-length: 0"])
        status, headers, _ = await client.whole()

    path = typed if described else typed.partition("?")[0]
    url = f"{ACME}/.well-known/oauth-protected-resource{path}"
    assert status == 401
    assert headers["www-authenticate"].startswith(f'bearer resource_metadata="{url}", scope')
    assert (await road.http.get(url)).json()["resource"] == f"{ACME}{path}"


@pytest.mark.requirement("SEC-61")
@pytest.mark.parametrize(
    "name",
    ["a\r\nSet-Cookie: x=1", 'a"b', "a\\b", "\u20ac", "a\x00b", " ", "a?b", "a#b", "%", "%25"],
)
async def test_no_path_can_break_out_of_the_challenge(road: World, name: str) -> None:
    path = f"/mcp/{quote(name, safe='')}"
    async with line(road) as client:
        await client.raw(f"POST {path} HTTP/1.1", ["content-length: 0"])
        status, headers, _ = await client.whole()

    assert status == 401
    assert "set-cookie" not in headers
    prefix = f'bearer resource_metadata="{ACME}/.well-known/oauth-protected-resource/mcp/'
    assert headers["www-authenticate"].startswith(prefix)
    assert headers["www-authenticate"].endswith('", scope="mcp"')
    assert headers["www-authenticate"].count('"') == 4


@pytest.mark.requirement("S-07", "Z-24", "RS-07")
async def test_a_token_ends_at_its_moment(world: World) -> None:
    tokens = await world.tokens()

    world.clock.advance(timedelta(seconds=899.9))
    assert (await world.call(tokens.access)).status_code == 200
    world.clock.advance(timedelta(seconds=0.1))
    late = await world.call(tokens.access)

    assert late.status_code == 401
    assert late.headers["www-authenticate"] == INVALID


@pytest.mark.requirement("S-06", "Z-24", "Z-26")
async def test_a_revoked_session_is_refused_at_the_very_next_call(world: World) -> None:
    tokens = await world.tokens()
    assert (await world.call(tokens.access)).status_code == 200

    await world.revoke(tokens)

    assert (await world.call(tokens.access)).status_code == 401
    assert len(world.upstream.seen) == 1


@pytest.mark.requirement("S-10", "X-01")
async def test_a_token_of_another_host_is_401(road: World, tokens: Tokens) -> None:
    there = await road.tokens(host="other")

    assert (await road.call(there.access, origin=OTHER)).status_code == 200
    assert (await road.call(tokens.access, origin=OTHER)).status_code == 401
    assert (await road.call(there.access)).status_code == 401


@pytest.mark.requirement("S-05")
async def test_a_session_ends_at_its_absolute_limit(world: World) -> None:
    await world.policies()
    tokens = await world.tokens(days=90)
    refresh = tokens.refresh
    access = tokens.access
    for _ in range(6):
        world.clock.advance(timedelta(days=14.9))
        access, refresh = await _refreshed(world, refresh)
        assert (await world.call(access)).status_code == 200
        await world.parts.sessions.flush()

    world.clock.advance(timedelta(days=90 - 6 * 14.9) - timedelta(seconds=1))
    access, _ = await _refreshed(world, refresh)
    assert (await world.call(access)).status_code == 200
    world.clock.advance(timedelta(seconds=1))
    assert (await world.call(access)).status_code == 401


@pytest.mark.requirement("S-04", "S-01")
async def test_a_call_resets_the_idle_limit_and_silence_does_not(world: World) -> None:
    used = await world.tokens(client="agent", days=90)
    idle = await world.tokens(client="assistant", days=90)

    world.clock.advance(timedelta(days=29))
    access, refresh = await _refreshed(world, used.refresh)
    assert (await world.call(access)).status_code == 200
    await world.parts.sessions.flush()
    world.clock.advance(timedelta(days=29))

    access, _ = await _refreshed(world, refresh)
    assert (await world.call(access)).status_code == 200
    form = {"grant_type": "refresh_token", "client_id": "assistant", "refresh_token": idle.refresh}
    late = await world.http.post(f"{ACME}/oauth/token", data=form)
    assert late.status_code == 400


@pytest.mark.requirement("P-02", "SEC-60", "RS-14")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "origin", ["https://evil.test", "null", "https://acme.test.evil.test", "http://acme.test", ""]
)
async def test_a_page_of_another_site_is_403_before_anything_is_read(
    road: World, tokens: Tokens, version: str, origin: str
) -> None:
    answer = await road.call(
        tokens.access, version=version, headers={"origin": origin}, body=b"not json"
    )
    assert answer.status_code == 403
    assert "www-authenticate" not in answer.headers
    assert (await road.call(None, headers={"origin": origin})).status_code == 403

    own = await road.call(tokens.access, version=version, headers={"origin": ACME})
    assert own.status_code == 200
    assert len(road.upstream.seen) == 1


@pytest.mark.requirement("SEC-60", "RS-14")
async def test_two_origins_are_none_of_ours(road: World, tokens: Tokens) -> None:
    """Whichever of them a reader takes, the browser sent one."""
    async with line(road) as client:
        await client.post(
            tokens.access,
            "tools/call",
            {"name": "get_issue"},
            more=(f"origin: {ACME}", "origin: https://evil.test"),
        )
        status, _, _ = await client.whole()

    assert status == 403
    assert road.upstream.seen == []


@pytest.mark.requirement("Z-24", "K-03")
async def test_a_blocked_client_is_refused_at_its_very_next_call(world: World) -> None:
    tokens, other = await world.tokens(), await world.tokens(client="assistant")
    assert (await world.call(tokens.access)).status_code == 200
    world.upstream.seen.clear()

    async with world.parts.database.write() as tx:
        assert await set_blocked(tx, HostId("acme"), ClientId("agent"), blocked=True)

    answer = await world.call(tokens.access)
    assert answer.json()["error"]["data"]["reason"] == "client.blocked"
    assert world.upstream.seen == []
    assert (await world.call(other.access)).status_code == 200


async def _refreshed(world: World, refresh: str) -> tuple[str, str]:
    form = {"grant_type": "refresh_token", "client_id": "agent", "refresh_token": refresh}
    answer = await world.http.post(f"{ACME}/oauth/token", data=form)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"], answer.json()["refresh_token"]


class _Documents:
    """Serves one client's metadata document, which may not be kept, and counts."""

    def __init__(self, url: str) -> None:
        self.asked = 0
        self._document = {
            "client_id": url,
            "client_name": "Published",
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
        }

    async def get_json(self, url: str, **_more: object) -> FetchedDocument:
        self.asked += 1
        return FetchedDocument(
            body=json.dumps(self._document).encode(), headers={}, max_age_seconds=0
        )


@pytest.mark.requirement("T-07", "P-15")
async def test_no_metadata_document_is_fetched_in_the_middle_of_a_call(world: World) -> None:
    url = "https://published.test/client.json"
    documents = _Documents(url)
    world.parts.clients._fetcher = documents
    tokens = await world.tokens(client=url)
    asked = documents.asked
    world.parts.clients._view._held.clear()  # as after a restart

    assert (await world.call(tokens.access)).status_code == 200
    assert "result" in (await world.call(tokens.access)).json()
    assert asked
    assert documents.asked == asked


@pytest.mark.requirement("T-07", "Z-24")
async def test_a_document_that_an_admin_drops_opens_nothing_at_the_very_next_call(
    world: World,
) -> None:
    """Pitfall 26: a token that was issued before does not outlive its client."""
    url = "https://published.test/client.json"
    world.parts.clients._fetcher = _Documents(url)
    tokens = await world.tokens(client=url)
    assert "result" in (await world.call(tokens.access)).json()
    world.upstream.seen.clear()

    await world.policies(clients=ClientPolicy(dropped_documents=(url,)))
    answer = await world.call(tokens.access)

    assert answer.json()["error"]["code"] == 4030
    assert world.upstream.seen == []
