"""Clients that cannot run here, request by request, from the first probe to the refused call.

How they sign in is told more fully beside the authorization server; here the same programs
go on to speak MCP, and read our answers as they are known to.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.gateway import Site

pytestmark = pytest.mark.slow

BOTH = ["authorization_code", "refresh_token"]
VERIFIER = "e" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")
VSCODE = "https://vscode.dev/oauth/client-metadata.json"
CLAUDE = "https://claude.ai/oauth/mcp-oauth-client-metadata"
CHATGPT = "https://chatgpt.com/oauth/client.json"
CALLBACK = "http://localhost:8787/callback"


class Emulation:
    """A program in front of the gateway's tickets."""

    def __init__(self, site: Site, http: httpx2.AsyncClient, path: str = "/mcp/tickets") -> None:
        self.site = site
        self.http = http
        self.resource = f"{site.origin}{path}"
        self.headers = {"accept": "application/json, text/event-stream"}
        self.version = "2025-11-25"
        self._session: dict[str, str] = {}

    async def challenged(self) -> dict[str, Any]:
        """Knock without a token; return the description the challenge points to."""
        answer = await self.post("initialize", self._hello())
        assert answer.status_code == 401
        assert "error=" not in answer.headers["www-authenticate"]
        pointer = answer.headers["www-authenticate"].partition('resource_metadata="')[2]
        headers = {**self.headers, "mcp-protocol-version": self.version}
        described = await self.http.get(pointer.partition('"')[0], headers=headers)
        assert described.json()["resource"] == self.resource
        assert described.json()["authorization_servers"] == [self.site.origin]
        return dict(described.json())

    async def offers_documents(self, path: str = "") -> None:
        """Read the server's metadata as those do that have a document and would use it."""
        answer = await self.http.get(f"/.well-known/oauth-authorization-server{path}")
        server = answer.json()
        assert server["issuer"] == self.site.origin
        assert server["client_id_metadata_document_supported"] is True
        assert server["authorization_response_iss_parameter_supported"] is True
        assert "none" in server["token_endpoint_auth_methods_supported"]
        assert server["token_endpoint"] == f"{self.site.origin}/oauth/token"

    async def register(self, **body: Any) -> dict[str, Any]:
        answer = await self.http.post("/oauth/register", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def code(self, client: str, redirect_uri: str, **more: str) -> str:
        """Have Alice allow Medium; return the code that came back to this very address."""
        asked = {
            "client_id": client,
            "response_type": "code",
            "code_challenge": CHALLENGE.decode(),
            "code_challenge_method": "S256",
            "scope": "mcp",
            "resource": self.resource,
            "redirect_uri": redirect_uri,
            "state": "c3RhdGU==",
            **more,
        }
        link = f"{self.site.origin}/oauth/authorize?{urlencode(asked)}"
        landed = await self.site.allow(link, server="tickets")
        assert landed.startswith(f"{redirect_uri}?")
        told = parse_qs(urlsplit(landed).query)
        assert told["state"] == ["c3RhdGU=="]
        assert told["iss"] == [self.site.origin]
        return told["code"][0]

    async def redeem(self, client: str, redirect_uri: str, code: str, **more: str) -> Any:
        answer = await self.token(
            grant_type="authorization_code",
            code=code,
            redirect_uri=redirect_uri,
            client_id=client,
            code_verifier=VERIFIER,
            resource=self.resource,
            **more,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def token(self, **form: str) -> httpx2.Response:
        return await self.http.post("/oauth/token", data=form)

    async def connect(self, client: str, redirect_uri: str, **more: str) -> Any:
        """Sign in and shake hands; from then on calls carry the token."""
        secret = {name: more.pop(name) for name in ("client_secret",) if name in more}
        code = await self.code(client, redirect_uri, **more)
        tokens = await self.redeem(client, redirect_uri, code, **secret)
        await self.shake_hands(tokens["access_token"])
        return tokens

    async def shake_hands(self, token: str) -> None:
        self.headers["authorization"] = f"Bearer {token}"
        self._session = {}
        answer = await self.post("initialize", self._hello())
        assert answer.status_code == 200, answer.text
        assert _result(answer)["result"]["protocolVersion"] == self.version
        if session := answer.headers.get("mcp-session-id"):
            self._session = {"mcp-session-id": session}
        self._session["mcp-protocol-version"] = self.version

    async def uses_what_it_may(self) -> None:
        """A denied call is an answer like any other: 401 and 403 would start a new sign-in."""
        read = await self.call("get_issue", {"key": "T-7"})
        denied = await self.call("delete_issue", {"key": "T-7"})
        assert "T-7" in json.dumps(_result(read)["result"])
        assert denied.status_code == 200
        assert _result(denied)["error"]["code"] == 4030
        assert "high" in _result(denied)["error"]["message"].lower()

    async def call(self, name: str, arguments: dict[str, Any]) -> httpx2.Response:
        return await self.post("tools/call", {"name": name, "arguments": arguments})

    async def post(self, method: str, params: dict[str, Any]) -> httpx2.Response:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {**self.headers, **self._session}
        return await self.http.post(self.resource, json=body, headers=headers)

    def _hello(self) -> dict[str, Any]:
        client = {"name": "emulation", "version": "1.0"}
        return {"protocolVersion": self.version, "capabilities": {}, "clientInfo": client}


def _result(answer: httpx2.Response) -> Any:
    """Read an answer, whichever of the two forms it has."""
    if answer.headers["content-type"].startswith("application/json"):
        return answer.json()
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    return json.loads(events[-1])


@pytest.fixture
async def http(site: Site) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=site.origin, timeout=30) as client:
        yield client


@pytest.fixture
def program(site: Site, http: httpx2.AsyncClient) -> Emulation:
    return Emulation(site, http)


@pytest.mark.parametrize("redirect_uri", [CALLBACK, "cursor://anysphere.cursor-mcp/oauth/callback"])
async def test_cursor(program: Emulation, redirect_uri: str) -> None:
    program.version = "2025-06-18"
    await program.challenged()
    uris = [
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "https://www.cursor.com/agents/mcp/oauth/callback",
        CALLBACK,
    ]
    client = await program.register(
        client_name="Cursor", redirect_uris=uris, token_endpoint_auth_method="none"
    )
    assert client["redirect_uris"] == uris
    await program.connect(client["client_id"], redirect_uri)
    await program.uses_what_it_may()


@pytest.mark.requirement("RS-01", "RS-02", "RS-13")
@pytest.mark.parametrize("path", ["/mcp/tickets", "/mcp/tickets/"])
@pytest.mark.parametrize("port", [33418, 59656])
async def test_vscode_by_document(
    site: Site, http: httpx2.AsyncClient, path: str, port: int
) -> None:
    """It compares the described resource with what its user typed, slash and all."""
    program = Emulation(site, http, path)
    program.headers |= {
        "accept": "text/event-stream, application/json",
        "user-agent": "Visual Studio Code/1.106.0",
    }
    await program.challenged()
    await program.offers_documents()
    await program.connect(VSCODE, f"http://127.0.0.1:{port}/")
    await program.uses_what_it_may()


async def test_vscode_by_registration(program: Emulation) -> None:
    server = (await program.http.get("/.well-known/oauth-authorization-server")).json()
    wanted = ("authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code")
    client = await program.register(
        client_name="Visual Studio Code",
        redirect_uris=[
            "https://insiders.vscode.dev/redirect",
            "https://vscode.dev/redirect",
            "http://127.0.0.1/",
            "http://127.0.0.1:33418/",
        ],
        grant_types=[grant for grant in wanted if grant in server["grant_types_supported"]],
        response_types=["code"],
        token_endpoint_auth_method="none",
        application_type="native",
    )
    await program.connect(client["client_id"], "http://127.0.0.1:50123/")
    await program.uses_what_it_may()


@pytest.mark.parametrize("how", ["document", "registration"])
async def test_claude_in_its_cloud(program: Emulation, how: str) -> None:
    """Two refreshes of one token, close together, both end in a session that works."""
    redirect_uri = "https://claude.ai/api/mcp/auth_callback"
    await program.challenged()
    await program.offers_documents()
    client, secret = CLAUDE, {}
    if how == "registration":
        made = await program.register(
            client_name="Claude",
            redirect_uris=[redirect_uri],
            grant_types=BOTH,
            token_endpoint_auth_method="client_secret_post",
            scope="mcp offline_access",
        )
        client, secret = made["client_id"], {"client_secret": made["client_secret"]}
    more = {"scope": "mcp offline_access", "prompt": "consent"}
    tokens = await program.connect(client, redirect_uri, **more, **secret)
    await program.uses_what_it_may()

    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    for answer in await asyncio.gather(
        *(program.token(**form, client_id=client, **secret) for _ in range(2))
    ):
        assert answer.status_code == 200, answer.text
        await program.shake_hands(answer.json()["access_token"])


async def test_chatgpt(program: Emulation) -> None:
    """It asks for the metadata below the server's path, and compares the issuer as text."""
    await program.challenged()
    await program.offers_documents("/mcp/tickets")
    await program.connect(CHATGPT, "https://chatgpt.com/connector_platform_oauth_redirect")
    await program.uses_what_it_may()


async def test_five_processes_of_an_old_claude_code_refresh_at_once(program: Emulation) -> None:
    """None of them may lose the session."""
    redirect_uri = "http://localhost:51234/callback"
    made = await program.register(
        client_name="Claude Code",
        redirect_uris=[redirect_uri],
        grant_types=BOTH,
        token_endpoint_auth_method="none",
    )
    client = made["client_id"]
    tokens = await program.connect(client, redirect_uri)

    form = {"grant_type": "refresh_token", "client_id": client}
    form["refresh_token"] = tokens["refresh_token"]
    answers = await asyncio.gather(*(program.token(**form) for _ in range(5)))

    for answer in answers:
        assert answer.status_code == 200, answer.text
        await program.shake_hands(answer.json()["access_token"])
        again = await program.token(**form | {"refresh_token": answer.json()["refresh_token"]})
        assert again.status_code == 200, again.text


async def test_a_stale_registration_is_made_anew(program: Emulation) -> None:
    stale = await program.token(
        grant_type="refresh_token", refresh_token="sc_rt_gone", client_id="sc_client_gone"
    )
    assert (stale.status_code, stale.json()["error"]) == (401, "invalid_client")

    client = await program.register(
        client_name="Stale",
        redirect_uris=[CALLBACK],
        grant_types=BOTH,
        token_endpoint_auth_method="none",
    )
    await program.connect(client["client_id"], CALLBACK)
    await program.uses_what_it_may()
