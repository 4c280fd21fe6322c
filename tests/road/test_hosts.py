"""Two hosts in one process: what one of them gave out is nothing at the other. Every route.

The same request is sent twice: to the host it was made for, where it does something, and to
the other, where it must do nothing and show nothing. A route without a row here fails.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from safeconduct.audit import read
from safeconduct.consent import by_id, of_person
from safeconduct.core.model import ConsentId, HostId, ServerKey, SessionId
from safeconduct.signin import FORM_COOKIE, SESSION_COOKIE, BrowserSessions, form_token, links
from safeconduct.signin.links import Purpose
from safeconduct.upstreams import Wanted, save
from tests.api.asking import points
from tests.road.upstream import Seen, Wire
from tests.road.world import ACME, CALLBACK, LEGACY, OTHER, VERIFIER, Tokens, World, world_at

PASSWORD = "correct horse battery"
POINT, OTHER_POINT = "s" * 20, "t" * 20
FORM = {"content-type": "application/x-www-form-urlencoded"}


@dataclass
class Given:
    """What acme gave out."""

    world: World
    tokens: Tokens
    client: str
    handle: str

    async def get(self, path: str, origin: str, **query: str) -> httpx2.Response:
        return await self.world.http.get(
            f"{origin}{path}", params=query, headers={"cookie": self._cookies()}
        )

    async def post(
        self, path: str, origin: str, purpose: str = "", **fields: str
    ) -> httpx2.Response:
        """Submit a form of ours: the cookies agree with the token, only the host differs."""
        fields["csrf"] = form_token(self.handle, purpose=purpose)
        return await self.world.http.post(
            f"{origin}{path}", data=fields, headers={"cookie": self._cookies()}
        )

    def _cookies(self) -> str:
        return f"{SESSION_COOKIE}={self.handle}; {FORM_COOKIE}={self.handle}"

    async def code(self) -> str:
        return await self.world.code("alice", "agent", "tickets")

    async def link(self, purpose: Purpose) -> str:
        async with self.world.parts.database.write() as tx:
            token = await links.issue(
                tx,
                HostId("acme"),
                purpose,
                email="alice@acme.test",
                at=self.world.clock.now(),
            )
        return token.reveal()

    async def consent_lives(self) -> bool:
        async with self.world.parts.database.read() as tx:
            found = await by_id(tx, HostId("acme"), await self.consent())
        return found is not None and found.ended_at is None

    async def consent(self) -> ConsentId:
        """Return what alice allowed last."""
        async with self.world.parts.database.read() as tx:
            return (await of_person(tx, HostId("acme"), self.tokens.subject))[0].id

    async def signed_in(self) -> bool:
        return (await self.get("/account", ACME)).status_code == 200


@pytest.fixture(scope="module")
async def given(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Given]:
    directory = tmp_path_factory.mktemp("hosts")
    (directory / "password").write_text(PASSWORD)
    url = "http://127.0.0.1:1/mcp"  # nobody answers: a server that only acme has
    may = {"mesh": "write", "foreign": "write"}
    acme = points(directory, relations=may, policy=may, tools=may, mesh=POINT)
    acme |= {"people": _people(directory)}
    other = points(directory, relations=may, policy=may, tools=may, foreign=OTHER_POINT)
    async with world_at(directory, acme=acme, other=other) as world:
        await world.parts.hosts.refresh()
        tokens = await world.tokens()
        said = await world.http.post(
            f"{ACME}/oauth/register",
            json={"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"},
        )
        browsers = BrowserSessions(database=world.parts.database, clock=world.clock)
        async with world.parts.database.write() as tx:
            handle = await browsers.open(tx, HostId("acme"), tokens.subject)
            await save(tx, HostId("acme"), Wanted(key=ServerKey("ledger"), name="Ledger", url=url))
        yield Given(world, tokens, said.json()["client_id"], handle.reveal())


def _people(directory: Path) -> list[dict[str, Any]]:
    return [
        {
            "email": "alice@acme.test",
            "name": "Alice",
            "password": {"file": str(directory / "password")},
            "groups": ["engineering"],
        },
        {"email": "bob@acme.test", "name": "Bob"},
    ]


def _shows_nothing(answer: httpx2.Response) -> None:
    assert "acme" not in answer.text.lower()
    assert "alice" not in answer.text.lower()
    assert "acme" not in str(answer.headers).lower()


async def mcp(given: Given) -> None:
    there = await given.world.call(given.tokens.access, origin=OTHER)
    assert there.status_code == 401
    _shows_nothing(there)
    common = await given.world.call(given.tokens.access, origin=OTHER, path="/mcp")
    assert common.status_code == 401
    assert (await given.world.call(given.tokens.access)).status_code == 200


def transport(verb: str, path: str) -> Callable[[Given], Awaitable[None]]:
    """Check the older era's other requests: opening a stream, and ending a transport session."""

    async def check(given: Given) -> None:
        world = given.world
        sealed = await _initialized(world, given.tokens.access)
        stranger = await world.tokens(host="other", resource=f"{OTHER}{path}")
        world.upstream.seen.clear()
        for token, status in ((given.tokens.access, 401), (stranger.access, 404)):
            there = await _older(world, OTHER, token, verb=verb, path=path, session=sealed)
            assert there.status_code == status
            _shows_nothing(there)
        assert world.upstream.seen == []
        here = {"version": LEGACY, "headers": {"mcp-session-id": sealed}}
        assert (await world.call(given.tokens.access, **here)).status_code == 200

    return check


async def _initialized(world: World, token: str, path: str = "/mcp/tickets") -> str:
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {}}
    unsaid = {"mcp-protocol-version": None}
    answer = await world.send(
        token, "initialize", params, version=LEGACY, path=path, headers=unsaid
    )
    return str(answer.headers["mcp-session-id"])


async def _older(
    world: World, origin: str, token: str, *, verb: str, path: str, session: str
) -> httpx2.Response:
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "text/event-stream",
        "mcp-protocol-version": LEGACY,
        "mcp-session-id": session,
    }
    return await world.http.request(verb, f"{origin}{path}", headers=headers)


def authorize(path: str) -> Callable[[Given], Awaitable[None]]:
    async def check(given: Given) -> None:
        for origin, status in ((OTHER, 400), (ACME, 303)):
            answer = await given.get(
                path,
                origin,
                response_type="code",
                client_id=given.client,
                redirect_uri=CALLBACK,
                code_challenge="x" * 42 + "w",
                code_challenge_method="S256",
                resource=f"{origin}/mcp/tickets",
            )
            assert answer.status_code == status
            assert ("location" in answer.headers) == (origin == ACME)
        foreign = await given.get(
            path,
            OTHER,
            response_type="code",
            client_id="agent",
            redirect_uri=CALLBACK,
            code_challenge="x" * 42 + "w",
            code_challenge_method="S256",
            resource=f"{ACME}/mcp/tickets",
        )
        assert "request=" not in foreign.headers.get("location", "")

    return check


def token(path: str) -> Callable[[Given], Awaitable[None]]:
    async def check(given: Given) -> None:
        code = await given.code()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "client_id": "agent",
            "code_verifier": VERIFIER,
        }
        there = await given.world.http.post(f"{OTHER}{path}", data=form)
        assert there.json()["error"] == "invalid_grant"
        here = await given.world.http.post(f"{ACME}{path}", data=form)
        assert here.status_code == 200
        refresh = {
            "grant_type": "refresh_token",
            "client_id": "agent",
            "refresh_token": here.json()["refresh_token"],
        }
        there = await given.world.http.post(f"{OTHER}{path}", data=refresh)
        assert there.json()["error"] == "invalid_grant"
        assert (await given.world.http.post(f"{ACME}{path}", data=refresh)).status_code == 200
        unknown = refresh | {"client_id": given.client}
        there = await given.world.http.post(f"{OTHER}{path}", data=unknown)
        assert there.json()["error"] == "invalid_client"

    return check


def register(path: str) -> Callable[[Given], Awaitable[None]]:
    async def check(given: Given) -> None:
        body = {
            "redirect_uris": [CALLBACK],
            "client_name": "Same",
            "token_endpoint_auth_method": "none",
        }
        ids = [
            (await given.world.http.post(f"{origin}{path}", json=body)).json()["client_id"]
            for origin in (ACME, OTHER, ACME)
        ]
        assert ids[0] == ids[2] != ids[1]

    return check


async def revoke(given: Given) -> None:
    tokens = await given.world.tokens(client="assistant")
    form = {"token": tokens.access, "client_id": "assistant"}
    assert (await given.world.http.post(f"{OTHER}/oauth/revoke", data=form)).status_code == 200
    assert (await given.world.call(tokens.access)).status_code == 200
    assert (await given.world.http.post(f"{ACME}/oauth/revoke", data=form)).status_code == 200
    assert (await given.world.call(tokens.access)).status_code == 401


async def introspect(given: Given) -> None:
    async def ask(origin: str, secret: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {secret}"}
        form = {"token": given.tokens.access}
        url = f"{origin}/oauth/introspect"
        return await given.world.http.post(url, data=form, headers=headers)

    assert (await ask(ACME, POINT)).json()["sub"] == given.tokens.subject
    there = await ask(OTHER, POINT)
    assert there.status_code == 401
    _shows_nothing(there)
    assert (await ask(ACME, OTHER_POINT)).status_code == 401
    assert (await ask(OTHER, OTHER_POINT)).json() == {"active": False}


def document(path: str) -> Callable[[Given], Awaitable[None]]:
    async def check(given: Given) -> None:
        there = await given.get(path, OTHER)
        assert there.status_code == 200
        assert OTHER in there.text
        _shows_nothing(there)

    return check


def document_of(path: str) -> Callable[[Given], Awaitable[None]]:
    async def check(given: Given) -> None:
        suffix = "" if "protected" not in path else "/ledger"
        there = await given.get(f"{path}{suffix}", OTHER)
        assert there.status_code == (404 if suffix else 200)
        _shows_nothing(there)
        assert (await given.get(f"{path}{suffix}", ACME)).status_code == 200

    return check


def nothing(path: str) -> Callable[[Given], Awaitable[None]]:
    async def check(given: Given) -> None:
        for origin in (ACME, OTHER):
            assert (await given.get(path, origin)).status_code == 404

    return check


async def stylesheet(given: Given) -> None:
    """The same for everybody."""


async def home(given: Given) -> None:
    for origin in (ACME, OTHER):
        assert (await given.get("/", origin)).headers["location"] == "/account"


async def account(given: Given) -> None:
    assert "alice" in (await given.get("/account", ACME)).text.lower()
    there = await given.get("/account", OTHER)
    assert there.status_code == 303
    _shows_nothing(there)


async def account_end(given: Given) -> None:
    for fields in ({"consent": await given.consent()}, {"everything": "yes"}):
        there = await given.post("/account/end", OTHER, "account", **fields)
        assert there.headers.get("location", "/login").startswith("/login")
        assert await given.consent_lives()
    stranger = await _stranger(given)
    answer = await given.world.http.post(
        f"{OTHER}/account/end",
        data={
            "consent": await given.consent(),
            "csrf": form_token(stranger, purpose="account"),
        },
        headers={"cookie": f"{SESSION_COOKIE}={stranger}"},
    )
    assert answer.status_code == 404
    assert await given.consent_lives()


async def _stranger(given: Given) -> str:
    """Sign alice of the other host in."""
    world = given.world
    person = await world.person("alice@other.test", "other")
    browsers = BrowserSessions(database=world.parts.database, clock=world.clock)
    async with world.parts.database.write() as tx:
        return (await browsers.open(tx, HostId("other"), person.id)).reveal()


async def login(given: Given) -> None:
    there = await given.get("/login", OTHER)
    assert there.status_code == 200
    _shows_nothing(there)


async def sign_in(given: Given) -> None:
    fields = {"email": "alice@acme.test", "password": PASSWORD}
    there = await given.post("/login", OTHER, "sign_in", **fields)
    assert there.status_code in {400, 401, 422}
    assert SESSION_COOKIE + "=" not in there.headers.get("set-cookie", "")
    fields["csrf"] = form_token("sc_fc_fresh", purpose="sign_in")
    here = await given.world.http.post(
        f"{ACME}/login", data=fields, headers={"cookie": f"{FORM_COOKIE}=sc_fc_fresh"}
    )
    assert SESSION_COOKIE + "=" in here.headers.get("set-cookie", ""), here.status_code


async def sign_out(given: Given) -> None:
    await given.post("/logout", OTHER, "sign_out")
    assert await given.signed_in()


def ask(path: str, verb: str) -> Callable[[Given], Awaitable[None]]:
    async def check(given: Given) -> None:
        ask_id = await given.world.ask("agent", "tickets")
        stranger = await _stranger(given)
        headers = {"cookie": f"{SESSION_COOKIE}={stranger}"}
        csrf = form_token(stranger, purpose=f"consent {ask_id}")
        fields = {
            "request": ask_id,
            "csrf": csrf,
            "level": "low",
            "server": "tickets",
            "duration": "1d",
            "do": "allow",
        }
        if verb == "GET":
            there = await given.world.http.get(
                f"{OTHER}{path}", params={"request": ask_id}, headers=headers
            )
        else:
            there = await given.world.http.post(f"{OTHER}{path}", data=fields, headers=headers)
        assert there.status_code == (404 if path == "/consent" else 303)
        assert "code=" not in there.headers.get("location", "")
        _shows_nothing(there)
        here = await given.get("/consent", ACME, request=ask_id)
        assert "code=" in here.headers["location"]  # allowed before, so nobody is asked again

    return check


def mailbox(name: str, verb: str) -> Callable[[Given], Awaitable[None]]:
    async def check(given: Given) -> None:
        purpose = Purpose.RESET if name == "reset" else Purpose.SIGN_UP
        link = await given.link(purpose)
        if verb == "GET":
            there = await given.get(f"/login/{name}", OTHER, token=link)
        else:
            there = await given.post(
                f"/login/{name}",
                OTHER,
                name,
                token=link,
                email="alice@acme.test",
                name="Mallory",
                password="another long password",
            )
        assert SESSION_COOKIE + "=" not in there.headers.get("set-cookie", "")
        assert "alice" not in there.text.lower()
        async with given.world.parts.database.read() as tx:
            kept = await links.address_of(
                tx, HostId("acme"), purpose, token=link, at=given.world.clock.now()
            )
        assert kept == "alice@acme.test"
        assert await given.signed_in()

    return check


async def policy_hook(given: Given) -> None:
    """The secret of one host's webhook is nothing to another, and no secret is none at all."""
    for key in (b"", b"the secret of acme"):
        signature = hmac.digest(key, b"{}", hashlib.sha256).hex()
        answer = await given.world.http.post(
            f"{OTHER}/hooks/policy",
            content=b"{}",
            headers={"x-hub-signature-256": f"sha256={signature}"},
        )
        assert answer.status_code == 401
        _shows_nothing(answer)


async def operations(given: Given) -> None:
    """What the process says about itself names no host."""
    for path in ("/healthz", "/readyz", "/metrics"):
        _shows_nothing(await given.get(path, OTHER))


def check(path: str) -> Callable[[Given], Awaitable[None]]:
    """Ask with acme's secret: at acme about its people, at the other about the same."""
    questions: dict[str, dict[str, Any]] = {
        "subject": {"type": "user", "id": "alice@acme.test"},
        "action": {"name": "tools/call"},
        "resource": {"type": "tool", "id": "tickets/get_issue"},
        "context": {"agent": "agent"},
    }

    async def ask(given: Given, origin: str, secret: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {secret}"}
        return await given.world.http.post(f"{origin}{path}", json=questions, headers=headers)

    async def both(given: Given) -> None:
        here = await ask(given, ACME, POINT)
        assert here.status_code == 200
        assert here.json().get("decision") or here.json()["results"]
        there = await ask(given, OTHER, POINT)
        assert there.status_code == 401
        _shows_nothing(there)
        assert (await ask(given, ACME, OTHER_POINT)).status_code == 401
        foreign = await ask(given, OTHER, OTHER_POINT)
        assert foreign.status_code == 200
        assert not foreign.json().get("decision")
        if path.endswith("subject"):  # which finds the other host's own people
            assert "acme" not in foreign.text
        else:
            assert not foreign.json().get("results")
            _shows_nothing(foreign)

    return both


async def policy_bundle(given: Given) -> None:
    """Each host's rules are for its own enforcement points alone."""

    async def ask(origin: str, secret: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {secret}"}
        return await given.world.http.get(f"{origin}/policy/bundle.tar.gz", headers=headers)

    for origin, secret, status in (
        (ACME, POINT, 200),
        (OTHER, POINT, 401),
        (ACME, OTHER_POINT, 401),
        (OTHER, OTHER_POINT, 200),
    ):
        answer = await ask(origin, secret)
        assert answer.status_code == status
        if origin == OTHER:
            _shows_nothing(answer)


def tuples(verb: str) -> Callable[[Given], Awaitable[None]]:
    """List or write with acme's secret: at acme its tuples, at the other nothing."""
    edge = "ticket:T-acme#assignee@person:p_1"

    async def ask(given: Given, origin: str, secret: str, verb: str = verb) -> httpx2.Response:
        headers = {"authorization": f"Bearer {secret}"}
        body = {"json": {"writes": [edge]}} if verb == "POST" else {}
        url = f"{origin}/api/v1/relations"
        return await given.world.http.request(verb, url, headers=headers, **body)

    async def both(given: Given) -> None:
        there = await ask(given, OTHER, POINT)
        assert there.status_code == 401
        _shows_nothing(there)
        assert (await ask(given, ACME, OTHER_POINT)).status_code == 401
        assert edge not in (await ask(given, ACME, POINT, "GET")).text
        assert (await ask(given, ACME, POINT, "POST")).json()["written"] == [edge]
        assert edge in (await ask(given, ACME, POINT, "GET")).text
        foreign = await ask(given, OTHER, OTHER_POINT, "GET")
        assert foreign.json()["relations"]
        _shows_nothing_of(foreign, edge, given.tokens.subject)
        headers = {"authorization": f"Bearer {POINT}"}
        url = f"{ACME}/api/v1/relations"
        await given.world.http.post(url, json={"deletes": [edge]}, headers=headers)

    return both


def rules(
    verb: str, path: str = "", body: dict[str, Any] | None = None
) -> Callable[[Given], Awaitable[None]]:
    """Read or change rules with acme's secret: at acme as far as it may, at the other nothing."""

    async def ask(given: Given, origin: str, secret: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {secret}"}
        more = {} if body is None else {"json": body}
        url = f"{origin}/api/v1/policy{path}"
        return await given.world.http.request(verb, url, headers=headers, **more)

    async def both(given: Given) -> None:
        there = await ask(given, OTHER, POINT)
        assert there.status_code == 401
        _shows_nothing(there)
        assert (await ask(given, ACME, OTHER_POINT)).status_code == 401
        own = 200 if verb == "GET" else 409  # their rules are not put, and were never others
        assert (await ask(given, ACME, POINT)).status_code == own
        foreign = await ask(given, OTHER, OTHER_POINT)
        assert foreign.status_code == own
        _shows_nothing(foreign)

    return both


def reviews(verb: str, path: str) -> Callable[[Given], Awaitable[None]]:
    """Read or decide what servers changed with acme's secret: at the other it is nobody's."""

    async def ask(given: Given, origin: str, secret: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {secret}"}
        url = f"{origin}/api/v1/servers/tickets{path}"
        return await given.world.http.request(verb, url, headers=headers)

    async def both(given: Given) -> None:
        there = await ask(given, OTHER, POINT)
        assert there.status_code == 401
        _shows_nothing(there)
        assert (await ask(given, ACME, OTHER_POINT)).status_code == 401
        own = (await ask(given, ACME, POINT)).status_code
        # Without the hash that was read nothing is decided; this server has no instructions.
        expected = 404 if path.startswith("/instructions") else 200 if verb == "GET" else 428
        assert own == expected
        _shows_nothing(await ask(given, OTHER, OTHER_POINT))

    return both


def _shows_nothing_of(answer: httpx2.Response, *secrets: str) -> None:
    assert not any(each in answer.text for each in secrets)


CHECKS = [f"/access/v1/{each}" for each in ("evaluation", "evaluations")]
CHECKS += [f"/access/v1/search/{each}" for each in ("subject", "resource", "action")]
REVIEWS = "/api/v1/servers/{server}"
DISCOVERY = ("oauth-authorization-server", "openid-configuration", "oauth-protected-resource")
TABLE: dict[tuple[str, str], Callable[[Given], Awaitable[None]]] = {
    ("POST", "/mcp"): mcp,
    ("POST", "/mcp/{server}"): mcp,
    ("GET", "/mcp/{server}"): transport("GET", "/mcp/tickets"),
    ("DELETE", "/mcp/{server}"): transport("DELETE", "/mcp/tickets"),
    ("GET", "/mcp"): transport("GET", "/mcp"),
    ("DELETE", "/mcp"): transport("DELETE", "/mcp"),
    ("GET", "/healthz"): operations,
    ("GET", "/readyz"): operations,
    ("GET", "/metrics"): operations,
    ("GET", "/oauth/authorize"): authorize("/oauth/authorize"),
    ("GET", "/authorize"): authorize("/authorize"),
    ("POST", "/oauth/token"): token("/oauth/token"),
    ("POST", "/token"): token("/token"),
    ("POST", "/api/auth/token"): token("/api/auth/token"),
    ("POST", "/oauth/register"): register("/oauth/register"),
    ("POST", "/register"): register("/register"),
    ("POST", "/oauth/revoke"): revoke,
    ("POST", "/oauth/introspect"): introspect,
    ("POST", "/hooks/policy"): policy_hook,
    ("GET", "/policy/bundle.tar.gz"): policy_bundle,
    **{("POST", path): check(path) for path in CHECKS},
    ("GET", "/api/v1/relations"): tuples("GET"),
    ("POST", "/api/v1/relations"): tuples("POST"),
    **{("GET", f"/api/v1/policy{path}"): rules("GET", path) for path in ("", "/files", "/history")},
    ("PUT", "/api/v1/policy"): rules("PUT", "", {"files": {}}),
    ("PATCH", "/api/v1/policy/data/{member}"): rules("PATCH", "/data/own", {"value": 1}),
    ("POST", "/api/v1/policy/rollback"): rules("POST", "/rollback", {"bundle": "0" * 64}),
    **{
        (verb, f"{REVIEWS}{rest}"): reviews(verb, path)
        for verb, rest, path in (
            ("GET", "/review", "/review"),
            ("GET", "/instructions", "/instructions"),
            ("POST", "/instructions/accept", "/instructions/accept"),
            ("POST", "/instructions/refuse", "/instructions/refuse"),
            ("GET", "/{kind:str}", "/tools"),
            ("GET", "/{kind:str}/{name:path}", "/tools/get_issue"),
            ("POST", "/{kind:str}/{name:path}/accept", "/tools/get_issue/accept"),
            ("POST", "/{kind:str}/{name:path}/refuse", "/tools/get_issue/refuse"),
        )
    },
    ("GET", "/.well-known/authzen-configuration"): document("/.well-known/authzen-configuration"),
    **{("GET", f"/.well-known/{name}"): document(f"/.well-known/{name}") for name in DISCOVERY},
    **{
        ("GET", f"/.well-known/{name}/mcp{{rest:path}}"): document_of(f"/.well-known/{name}/mcp")
        for name in DISCOVERY
    },
    ("GET", "/mcp/.well-known/{rest:path}"): nothing("/mcp/.well-known/openid-configuration"),
    ("GET", "/mcp/{server}/.well-known/{rest:path}"): nothing("/mcp/ledger/.well-known/x"),
    ("GET", "/static/pages.css"): stylesheet,
    ("GET", "/favicon.ico"): stylesheet,
    ("GET", "/"): home,
    ("GET", "/account"): account,
    ("POST", "/account/end"): account_end,
    ("GET", "/login"): login,
    ("POST", "/login"): sign_in,
    ("POST", "/logout"): sign_out,
    ("GET", "/consent"): ask("/consent", "GET"),
    ("POST", "/consent"): ask("/consent", "POST"),
    ("POST", "/consent/leave"): ask("/consent/leave", "POST"),
    **{
        (verb, f"/login/{name}"): mailbox(name, verb)
        for name in ("forgot", "create", "reset", "confirm")
        for verb in ("GET", "POST")
    },
}


async def _answered(given: Given, path: str) -> set[tuple[str, str]]:
    """List what the MCP endpoint answers, by asking: it has no table of routes."""
    world, typed = given.world, path.replace("{server}", "tickets")
    token = (await world.tokens(client="assistant", resource=f"{ACME}{typed}")).access
    session = await _initialized(world, token, typed)
    world.upstream.scripts["GET"] = _nothing_new
    answers = {
        verb: await _older(world, ACME, token, verb=verb, path=typed, session=session)
        for verb in ("GET", "POST", "PUT", "PATCH", "DELETE")
    }
    del world.upstream.scripts["GET"]
    assert 401 not in {answer.status_code for answer in answers.values()}
    return {(verb, path) for verb, answer in answers.items() if answer.status_code != 405}


async def _nothing_new(_seen: Seen, wire: Wire) -> None:
    await wire.begin_stream()
    await wire.end_stream()


def _routes(world: World) -> set[tuple[str, str]]:
    """List what the application answers; HEAD and OPTIONS follow their neighbours."""
    inner = world.gateway._answers.app._app  # type: ignore[attr-defined]  # the edge's inside
    assert isinstance(inner, Starlette)
    found = {
        (method, _named(route.path))
        for route in inner.routes
        for method in route.methods - {"HEAD", "OPTIONS"}
    }
    edge = {("GET", path) for path in ("/healthz", "/readyz", "/metrics")}
    return found | edge


def _named(path: str) -> str:
    return "/static/pages.css" if path.endswith(".css") else path


@pytest.mark.requirement("X-01", "S-10")
async def test_every_route_is_in_the_table(given: Given) -> None:
    endpoints = [await _answered(given, path) for path in ("/mcp", "/mcp/{server}")]

    assert _routes(given.world).union(*endpoints) == TABLE.keys()


@pytest.mark.requirement("X-01", "X-02", "S-10")
@pytest.mark.parametrize(("verb", "path"), TABLE, ids=str)
async def test_what_one_host_gave_out_is_nothing_at_the_other(
    given: Given, verb: str, path: str
) -> None:
    await TABLE[verb, path](given)


@pytest.mark.requirement("X-01", "X-02")
async def test_the_rules_of_a_host_decide_nothing_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.rego").write_text(_NOTHING_TODAY)
    async with world_at(tmp_path, acme={"policy": {"directory": "rules"}}) as world:
        mine, theirs = await world.tokens(), await world.tokens(host="other")

        said = (await world.call(mine.access)).json()
        assert said["error"]["data"]["reason"] == "policy.nothing"
        assert "result" in (await world.call(theirs.access, origin=OTHER)).json()
        (denied,), (allowed,) = world.events("call.denied"), world.events("call.intent")
        assert denied["bundle"] != allowed["bundle"]


_NOTHING_TODAY = """package safeconduct.host

import rego.v1

deny contains {"reason": "nothing", "message": "Nothing today."} if input.phase != "token"
"""


@pytest.mark.requirement("X-01", "L-02")
async def test_the_audit_records_of_a_host_are_its_own(given: Given) -> None:
    there = await given.world.tokens(host="other")
    await given.world.call(given.tokens.access)
    await given.world.call(there.access, origin=OTHER)

    own = list(read(given.world.audit, host=HostId("other")))

    assert own
    assert all(record["host"] == "other" for record in own)
    written = json.dumps(own)
    assert there.subject in written
    for secret in (given.tokens.subject, given.tokens.session, given.client, given.handle):
        assert secret not in written


@pytest.mark.requirement("X-01", "S-10", "Z-26")
async def test_a_session_is_ended_on_its_own_host_only(given: Given) -> None:
    tokens = await given.world.tokens(client="assistant")
    revocations = given.world.parts.revocations
    session = SessionId(tokens.session)

    ended = await revocations.end_session(
        HostId("other"), session, by="mallory", because="test.other"
    )

    assert not ended
    assert (await given.world.call(tokens.access)).status_code == 200
    subject = tokens.subject
    assert not await revocations.end_person(
        HostId("other"), subject, by="mallory", because="test.other"
    )
    assert (await given.world.call(tokens.access)).status_code == 200


@pytest.mark.requirement("X-01", "SEC-04")
async def test_a_browser_session_is_found_on_its_own_host_only(given: Given) -> None:
    browsers = BrowserSessions(database=given.world.parts.database, clock=given.world.clock)

    assert await browsers.find(HostId("acme"), given.handle) is not None
    assert await browsers.find(HostId("other"), given.handle) is None
