"""Discovery, and what holds for every endpoint."""

from __future__ import annotations

import pytest

from safeconduct.core.secrets import digest
from safeconduct.hosts import ClientPolicy
from safeconduct.oauth import store
from tests.oauth.world import FORM, ORIGIN, World

SERVER = "/.well-known/oauth-authorization-server"
RESOURCE = "/.well-known/oauth-protected-resource"


@pytest.mark.requirement("T-01", "T-04", "AS-02", "AS-03", "AS-04", "AS-16")
@pytest.mark.parametrize(
    "path",
    [
        SERVER,
        f"{SERVER}/mcp",
        f"{SERVER}/mcp/ledger",
        f"{SERVER}/mcp/ledger/",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp/ledger",
    ],
)
async def test_the_server_describes_itself_wherever_clients_look(world: World, path: str) -> None:
    """RFC 8414 section 3; pitfalls 10 and 43: the issuer has no slash that nobody typed."""
    answer = await world.http.get(path)

    assert answer.status_code == 200
    said = answer.json()
    assert said["issuer"] == ORIGIN
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["authorization_response_iss_parameter_supported"] is True
    assert said["client_id_metadata_document_supported"] is True
    assert "none" in said["token_endpoint_auth_methods_supported"]
    assert said["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert said["scopes_supported"] == ["mcp"]
    assert said["token_endpoint"] == f"{ORIGIN}/oauth/token"
    assert "jwks_uri" not in said
    assert "introspection_endpoint" not in said
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "public, max-age=60"


async def test_the_issuer_is_configured_and_never_what_a_header_says(world: World) -> None:
    """Pitfall 41."""
    odd = {"host": "evil.test", "x-forwarded-host": "evil.test", "x-forwarded-proto": "http"}
    answer = await world.http.get(SERVER, headers=odd)
    assert answer.json()["issuer"] == ORIGIN
    assert "evil" not in answer.text


@pytest.mark.requirement("T-04", "T-07", "AS-07")
async def test_documents_and_registration_are_advertised_only_where_they_work(
    world: World,
) -> None:
    """A client that was offered metadata documents never falls back to registration."""
    world.policies(clients=ClientPolicy(fetch_documents=False, pinned_documents=False))
    said = (await world.http.get(SERVER)).json()
    assert "client_id_metadata_document_supported" not in said
    assert "registration_endpoint" in said

    world.policies(clients=ClientPolicy(registration=False))
    said = (await world.http.get(SERVER)).json()
    assert "registration_endpoint" not in said


@pytest.mark.requirement("T-03", "RS-01", "RS-02", "RS-11", "RS-12")
@pytest.mark.parametrize(
    ("path", "resource"),
    [
        (RESOURCE, f"{ORIGIN}/mcp"),
        (f"{RESOURCE}/mcp", f"{ORIGIN}/mcp"),
        (f"{RESOURCE}/mcp/", f"{ORIGIN}/mcp/"),
        (f"{RESOURCE}/mcp/ledger", f"{ORIGIN}/mcp/ledger"),
        (f"{RESOURCE}/mcp/ledger/", f"{ORIGIN}/mcp/ledger/"),
        (
            f"{RESOURCE}/mcp?upstream_mcp=https%3A%2F%2Fledger.test%2Fmcp",
            f"{ORIGIN}/mcp?upstream_mcp=https%3A%2F%2Fledger.test%2Fmcp",
        ),
        (f"{RESOURCE}/mcp?x=1", f"{ORIGIN}/mcp"),
    ],
)
async def test_a_resource_is_described_as_its_user_typed_it(
    world: World, path: str, resource: str
) -> None:
    """RFC 9728 section 3.3: clients compare the address as a text."""
    answer = await world.http.get(path)

    assert answer.status_code == 200
    said = answer.json()
    assert said["resource"] == resource
    assert said["authorization_servers"] == [ORIGIN]
    assert said["bearer_methods_supported"] == ["header"]
    assert said["scopes_supported"] == ["mcp"]


@pytest.mark.parametrize(
    "path",
    [
        f"{RESOURCE}/mcp/nobody",
        f"{RESOURCE}/mcp/ledger/x",
        f"{RESOURCE}/mcp//",
        f"{RESOURCE}/mcp2",
        f"{SERVER}/mcp2",
        "/mcp/.well-known/oauth-authorization-server",
        "/mcp/ledger/.well-known/openid-configuration",
    ],
)
async def test_what_does_not_exist_is_not_found_without_redirect(world: World, path: str) -> None:
    assert (await world.http.get(path)).status_code == 404


@pytest.mark.parametrize(
    "path", [SERVER, RESOURCE, "/oauth/token", "/oauth/register", "/oauth/revoke", "/token"]
)
async def test_browser_clients_may_read_but_not_with_credentials(world: World, path: str) -> None:
    """Pitfall 33."""
    answer = await world.http.options(path, headers={"origin": "https://app.example"})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


async def test_pages_are_not_opened_to_other_origins(world: World) -> None:
    """Pitfall 33."""
    answer = await world.http.get("/oauth/authorize")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke", "/token", "/api/auth/token"])
@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b'{"grant_type":"refresh_token"}', 400),
        ("multipart/form-data; boundary=x", b"--x--", 400),
        ("text/plain", b"grant_type=refresh_token", 400),
        ("", b"grant_type=refresh_token", 400),
        (FORM["content-type"], b"a=" + b"x" * 20_000, 413),
        (FORM["content-type"], b"\xff", 400),
        (FORM["content-type"], b"grant_type=a&grant_type=b", 400),
        (FORM["content-type"], b"&".join(b"p%d=1" % n for n in range(99)), 400),
    ],
)
async def test_only_small_forms_are_read(
    world: World, path: str, kind: str, body: bytes, status: int
) -> None:
    """Pitfalls 12 and 61."""
    answer = await world.http.post(path, content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.json()["error"] == "invalid_request"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/register", "/oauth/revoke"])
async def test_what_changes_something_is_posted(world: World, path: str) -> None:
    assert (await world.http.get(path)).status_code == 405


async def test_without_a_record_no_token_and_the_code_is_not_used_up(world: World) -> None:
    """Written down first."""
    client = await world.register()
    code = await world.code(client)
    world.trail.close()
    answer = await world.redeem(client, code)
    assert answer.status_code == 503
    assert answer.json()["error"] == "temporarily_unavailable"

    async with world.database.write() as tx:
        found = await store.find_code(tx, world.host.key, digest(code))
        assert found is not None
        assert await store.burn_code(tx, world.host.key, found, at=world.clock.now())
