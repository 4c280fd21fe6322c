"""Clients of the field at the level of HTTP: the requests they are known to send, in order."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from safeconduct.core.model import ClientId, Level
from safeconduct.oauth import remove_client
from tests.oauth.world import FORM, LEDGER, ORIGIN, World, answer_of, challenge

BOTH = ["authorization_code", "refresh_token"]


class Program:
    """What differs between clients."""

    def __init__(
        self,
        name: str,
        redirect_uri: str,
        *,
        document: str | None = None,
        registration: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        authorize: dict[str, str] | None = None,
        state: str | None = "x" * 64,
        verifier: str = "v" * 43,
        token: tuple[str, ...] = ("code", "code_verifier", "redirect_uri", "resource", "client_id"),
        refresh: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.redirect_uri = redirect_uri
        self.document = document
        self.registration = registration or {}
        self.headers = headers or {}
        self.authorize = authorize or {}
        self.state = state
        self.verifier = verifier
        self.token = token
        self.refresh = refresh or {}


NATIVE = {"application_type": "native"}
CODE_LAST = ("code", "code_verifier", "client_id", "redirect_uri", "resource")
PROGRAMS = [
    Program(
        "Claude Code (ledger)",
        "http://localhost:63442/callback",
        registration=NATIVE,
        headers={"user-agent": "Bun/1.4.4", "mcp-protocol-version": "2025-11-25"},
        refresh={"resource": LEDGER},
    ),
    Program(
        "Claude Code by document",
        "http://localhost:60770/callback",
        document="https://claude.ai/oauth/claude-code-client-metadata",
        authorize={"scope": "mcp offline_access", "prompt": "consent"},
        refresh={"resource": LEDGER},
    ),
    Program(
        "Codex",
        "http://127.0.0.1:33713/callback",
        registration=NATIVE,
        token=CODE_LAST,
        refresh={"scope": "mcp", "resource": LEDGER},
    ),
    Program(
        "Codex by document",
        "http://127.0.0.1:1455/callback",
        document="https://chatgpt.com/oauth/codex/client.json",
        token=CODE_LAST,
        refresh={"scope": "mcp", "resource": LEDGER},
    ),
    Program(
        "Gemini CLI MCP Client",
        "http://localhost:34247/oauth/callback",
        headers={"accept": "application/json, application/x-www-form-urlencoded"},
        verifier="g" * 86,
    ),
    Program(
        "OpenCode",
        "http://127.0.0.1:19876/mcp/oauth/callback",
        registration={"client_uri": "https://opencode.ai"},
        refresh={"resource": LEDGER},
    ),
    Program(
        "opencode by document",
        "http://127.0.0.1:19876/callback",
        document="https://opencode.ai/oauth/opencode/client.json",
    ),
    Program(
        "MCP CLI Proxy",
        "http://localhost:17089/oauth/callback",
        registration={
            **NATIVE,
            "client_uri": "https://github.com/modelcontextprotocol/mcp-cli",
            "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d",
            "software_version": "0.15.1",
        },
        refresh={"resource": LEDGER, "scope": "mcp"},
    ),
    Program("MCP Inspector", "http://127.0.0.1:6276/oauth/callback", registration=NATIVE),
    Program("mcpc", "http://localhost:8000/callback", state=None),
    Program(
        "FastMCP Client",
        "http://localhost:57357/callback",
        registration=NATIVE,
        verifier="f" * 128,
        refresh={"resource": LEDGER},
    ),
    Program("LangChain", "http://localhost:3030/callback"),
    Program(
        "Visual Studio Code by document",
        "http://127.0.0.1:33419/",
        document="https://vscode.dev/oauth/client-metadata.json",
    ),
    Program(
        "Zed by document",
        "http://127.0.0.1:5555/callback",
        document="https://zed.dev/oauth/client-metadata.json",
    ),
    Program(
        "claude.ai by document",
        "https://claude.ai/api/mcp/auth_callback",
        document="https://claude.ai/oauth/mcp-oauth-client-metadata",
        headers={"user-agent": "python-httpx/0.28.1", "mcp-protocol-version": "2025-11-25"},
        authorize={"scope": "mcp offline_access", "prompt": "consent"},
    ),
    Program(
        "ChatGPT by document",
        "https://chatgpt.com/connector_platform_oauth_redirect",
        document="https://chatgpt.com/oauth/client.json",
    ),
]


async def discovered(world: World, program: Program) -> dict[str, Any]:
    """Read the metadata as clients do, and check what they check."""
    resource = await world.http.get(
        "/.well-known/oauth-protected-resource/mcp/ledger", headers=program.headers
    )
    assert resource.json()["resource"] == LEDGER
    (issuer,) = resource.json()["authorization_servers"]
    said = (
        await world.http.get("/.well-known/oauth-authorization-server", headers=program.headers)
    ).json()
    assert said["issuer"] == issuer
    assert "S256" in said["code_challenge_methods_supported"]
    assert "offline_access" not in said["scopes_supported"]
    return dict(said)


async def identified(world: World, program: Program, server: dict[str, Any]) -> str:
    """Return the client id, registering where the client has no document."""
    if program.document:
        assert server["client_id_metadata_document_supported"] is True
        return program.document
    body = {
        "client_name": program.name,
        "redirect_uris": [program.redirect_uri],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": "mcp",
        **program.registration,
    }
    answer = await world.http.post(server["registration_endpoint"], json=body)
    assert answer.status_code == 201
    return str(answer.json()["client_id"])


async def signed_in(
    world: World, program: Program, client: str, *, level: Level = Level.LOW, scope: str = "mcp"
) -> str:
    """Walk the browser's way and return the code, judged as clients judge the callback."""
    said = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": program.redirect_uri,
        "code_challenge": challenge(program.verifier),
        "code_challenge_method": "S256",
        "scope": scope,
        "resource": LEDGER,
        **({"state": program.state} if program.state else {}),
        **program.authorize,
    }
    url = f"/oauth/authorize?{urlencode(said)}"
    assert (await world.http.get(url)).status_code == 303  # some look before the browser does
    location = (await world.http.get(url)).headers["location"]
    ask = await world.authorizations.ask(
        world.host, location.partition("=")[2], browser="b", subject=world.alice.id
    )
    callback = await world.allow(ask, level=level)
    assert callback.startswith(program.redirect_uri + "?")
    got = answer_of(callback)
    assert got["iss"] == ORIGIN
    assert got.get("state") == program.state
    return got["code"]


@pytest.mark.requirement("T-06", "T-07", "T-09", "T-12", "AS-02", "AS-07", "AS-11")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_a_known_client_connects_refreshes_and_recovers(
    world: World, program: Program
) -> None:
    server = await discovered(world, program)
    client = await identified(world, program, server)
    code = await signed_in(world, program, client)
    known = {
        "code": code,
        "code_verifier": program.verifier,
        "client_id": client,
        "redirect_uri": program.redirect_uri,
        "resource": LEDGER,
    }
    form = {"grant_type": "authorization_code", **{name: known[name] for name in program.token}}
    answer = await world.http.post(server["token_endpoint"], data=form, headers=program.headers)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert tokens["expires_in"] > 300  # below, one client refreshes before every request
    assert await world.alive(tokens["access_token"])

    world.advance(minutes=14)
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        **program.refresh,
        "client_id": client,
    }
    answer = await world.http.post(server["token_endpoint"], data=form)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert await world.alive(tokens["access_token"])

    await world.revocations.end_person(world.host.key, world.alice.id, by="alice", because="x")
    form["refresh_token"] = tokens["refresh_token"]
    answer = await world.http.post(server["token_endpoint"], data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert await signed_in(world, program, client)  # the same client simply signs in again


@pytest.mark.requirement("AS-11")
@pytest.mark.parametrize("name", ["Claude Code (ledger)", "MCP CLI Proxy", "mcpc"])
async def test_a_client_that_was_forgotten_registers_anew(world: World, name: str) -> None:
    (program,) = [one for one in PROGRAMS if one.name == name]
    server = await discovered(world, program)
    old = await identified(world, program, server)
    code = await signed_in(world, program, old)
    answer = await world.redeem(
        old, code, redirect_uri=program.redirect_uri, code_verifier=program.verifier
    )
    async with world.database.write() as tx:
        await remove_client(tx, world.host.key, ClientId(old))

    answer = await world.refresh(old, answer.json()["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    client = await identified(world, program, server)
    assert client != old
    code = await signed_in(world, program, client)
    answer = await world.redeem(
        client, code, redirect_uri=program.redirect_uri, code_verifier=program.verifier
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("name", ["Codex", "OpenCode"])
async def test_clients_that_register_twice_in_one_go_are_one_client(
    world: World, name: str
) -> None:
    (program,) = [one for one in PROGRAMS if one.name == name]
    server = await discovered(world, program)
    assert await identified(world, program, server) == await identified(world, program, server)


async def test_claude_in_its_cloud_registers_with_a_secret(world: World) -> None:
    body = {
        "client_name": "Claude",
        "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
        "grant_types": BOTH,
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_post",
        "scope": "mcp offline_access",
    }
    said = (await world.http.post("/oauth/register", json=body)).json()
    program = Program("Claude", body["redirect_uris"][0], authorize={"prompt": "consent"})
    code = await signed_in(world, program, said["client_id"])
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": program.redirect_uri,
        "client_id": said["client_id"],
        "client_secret": said["client_secret"],
        "code_verifier": program.verifier,
        "resource": LEDGER,
    }
    assert (await world.http.post("/oauth/token", data=form)).status_code == 200


async def test_vs_code_without_metadata_uses_the_paths_at_the_root(world: World) -> None:
    uris = [
        "https://insiders.vscode.dev/redirect",
        "https://vscode.dev/redirect",
        "http://127.0.0.1/",
        "http://127.0.0.1:33418/",
    ]
    body = {"redirect_uris": uris, "token_endpoint_auth_method": "none", "grant_types": BOTH}
    said = (await world.http.post("/register", json=body)).json()
    assert said["redirect_uris"] == uris
    program = Program("VS Code", "http://127.0.0.1:50000/")
    code = await signed_in(world, program, said["client_id"])
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": program.redirect_uri,
        "client_id": said["client_id"],
        "code_verifier": program.verifier,
    }
    answer = await world.http.post("/token", content=urlencode(form), headers=FORM)
    assert answer.status_code == 200


async def test_a_step_up_gets_the_words_of_the_challenge_with_the_same_client(
    world: World,
) -> None:
    (program,) = [one for one in PROGRAMS if one.name == "FastMCP Client"]
    client = await identified(world, program, await discovered(world, program))
    await signed_in(world, program, client)
    code = await signed_in(world, program, client, level=Level.MEDIUM, scope="mcp mcp:medium")
    answer = await world.redeem(
        client, code, code_verifier=program.verifier, redirect_uri=program.redirect_uri
    )
    assert answer.json()["scope"] == "mcp mcp:medium"
