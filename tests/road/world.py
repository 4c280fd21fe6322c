"""The gateway as it is installed, two hosts, one scriptable upstream, and people with tokens.

Everything is the real thing, built from configuration text. Requests go in through the ASGI
application, or over a loopback socket where streams and broken connections matter.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import uvicorn
import yaml

from safeconduct import hosts, people, relations, settings
from safeconduct.app import Gateway, Installation, gateway, judges_of
from safeconduct.app.building import DATABASE_FILE
from safeconduct.app.serving import configured
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import (
    Caller,
    ClientId,
    HostId,
    Level,
    ServerKey,
    SessionId,
    SubjectId,
)
from safeconduct.hosts import Host
from safeconduct.oauth import Authorizations, Forecasts
from safeconduct.people import Person
from safeconduct.policy import OwnRules, keep
from safeconduct.relations import Ceilings
from safeconduct.upstreams import (
    PINNED,
    TOOL,
    Override,
    Wanted,
    decide_review,
    find_review,
    observe,
    save,
    wanted,
)
from tests.fixtures.tables import migrated_file
from tests.road.upstream import MODERN_VERSION, PATIENCE_SECONDS, Upstream, upstream

ACME, OTHER = "https://acme.test", "https://other.test"
CALLBACK = "https://agent.test/callback"
VERIFIER = "v" * 64
MODERN, LEGACY = MODERN_VERSION, "2025-11-25"
LEGACY_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
VERSIONS = (MODERN, *LEGACY_VERSIONS)
ACCEPT = "application/json, text/event-stream"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
_RATES = dict.fromkeys(
    (
        "sign_in_per_5_minutes",
        "sign_up_per_10_minutes",
        "register_per_minute",
        "mcp_per_minute",
        "checks_per_minute",
        "writes_per_minute",
        "all_per_minute",
    ),
    1_000_000,
)


def host_settings(key: str, url: str, **more: Any) -> dict[str, Any]:
    """Describe a host: two people, two servers on one upstream, two agents."""
    return {
        "key": key,
        "name": key.title(),
        "origin": f"https://{key}.test",
        "people": [
            {"email": f"alice@{key}.test", "name": "Alice", "groups": ["engineering"]},
            {"email": f"bob@{key}.test", "name": "Bob"},
        ],
        "servers": [
            {
                "key": name,
                "name": name.title(),
                "url": url,
                "tools": {"get_hidden": {"enabled": False}},
            }
            for name in ("tickets", "notes")
        ],
        "access": [
            {"person": f"{who}@{key}.test", "server": server, "ceiling": "high"}
            for who in ("alice", "bob")
            for server in ("tickets", "notes")
        ],
        "clients": [
            {"id": client, "name": client.title(), "redirect_uris": [CALLBACK]}
            for client in ("agent", "assistant")
        ],
    } | more


@dataclass(frozen=True)
class Tokens:
    """What an agent holds after signing in."""

    access: str
    refresh: str
    session: SessionId
    subject: SubjectId


def caller_of(tokens: Tokens, *, client: str = "agent", server: str = "tickets") -> Caller:
    """Return the caller that the gate makes of somebody's token."""
    return Caller(
        host=HostId("acme"),
        subject=tokens.subject,
        client=ClientId(client),
        session=tokens.session,
        server=ServerKey(server),
    )


def body_of(
    method: str,
    params: dict[str, Any] | None = None,
    *,
    version: str = MODERN,
    message_id: Any = 1,
    capabilities: dict[str, Any] | None = None,
) -> bytes:
    """Write a request as a client of this revision does."""
    params = dict(params or {})
    if version == MODERN:
        extra = {"io.modelcontextprotocol/clientCapabilities": capabilities or {}}
        params["_meta"] = META | extra | params.get("_meta", {})
    message = {"jsonrpc": "2.0", "id": message_id, "method": method, "params": params}
    return json.dumps(message).encode()


def headers_of(
    method: str, params: dict[str, Any] | None = None, *, version: str = MODERN
) -> dict[str, str]:
    """Write the headers that go with it."""
    headers = {"accept": ACCEPT, "content-type": "application/json"}
    headers["mcp-protocol-version"] = version
    if version == MODERN:
        headers["mcp-method"] = method
        name = (params or {}).get("uri" if method == "resources/read" else "name")
        if name is not None and method in {"tools/call", "resources/read", "prompts/get"}:
            headers["mcp-name"] = name
    return headers


class World:
    """One installation under test."""

    def __init__(
        self,
        running: Gateway,
        directory: Path,
        upstream: Upstream,
        clock: ManualClock,
        transport: httpx2.AsyncBaseTransport,
    ) -> None:
        self.gateway = running
        self.parts: Installation = running._parts
        self.directory = directory
        self.upstream = upstream
        self.clock = clock
        self.port = 0
        self.http = httpx2.AsyncClient(transport=transport, base_url=ACME, timeout=PATIENCE_SECONDS)
        self.authorizations = self._authorizations()

    @property
    def audit(self) -> Path:
        return self.directory / "data" / "audit"

    def host(self, key: str = "acme") -> Host:
        found = self.parts.hosts.at(f"{key}.test")
        assert found is not None
        return found

    async def person(self, email: str, host: str = "acme") -> Person:
        async with self.parts.database.read() as tx:
            found = await people.by_email(tx, HostId(host), email)
        assert found is not None
        return found[0]

    async def tokens(
        self,
        person: str = "alice",
        client: str = "agent",
        server: str = "tickets",
        *,
        host: str = "acme",
        level: Level = Level.HIGH,
        days: float = 30,
        resource: str | None = None,
    ) -> Tokens:
        """Sign a person in, let them consent, and redeem the code."""
        code = await self.code(
            person, client, server, host=host, level=level, days=days, resource=resource
        )
        pair = await self.redeem(code, client, host=host)
        assert pair.status_code == 200, pair.text
        said = pair.json()
        found = await self.access(said["access_token"], host)
        return Tokens(said["access_token"], said["refresh_token"], found.session, found.subject)

    async def access(self, token: str, host: str = "acme") -> Any:
        from safeconduct.oauth import Verifier

        verifier = Verifier(self.parts.database, self.parts.feed)
        found = await verifier.find(HostId(host), token)
        assert found is not None
        return found

    async def ask(
        self, client: str, server: str, *, host: str = "acme", resource: str | None = None
    ) -> str:
        """Begin an authorization; returns the id of the ask."""
        origin = self.host(host).origin
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": CALLBACK,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "resource": resource or f"{origin}/mcp/{server}",
            "state": "xyz",
        }
        answer = await self.http.get(f"{origin}/oauth/authorize?{urlencode(query)}")
        assert answer.status_code == 303, answer.text
        return str(dict(parse_qsl(urlsplit(answer.headers["location"]).query))["request"])

    async def code(
        self,
        person: str,
        client: str,
        server: str,
        *,
        host: str = "acme",
        level: Level = Level.HIGH,
        days: float = 30,
        resource: str | None = None,
    ) -> str:
        ask_id = await self.ask(client, server, host=host, resource=resource)
        tenant, who = self.host(host), await self.person(f"{person}@{host}.test", host)
        ask = await self.authorizations.ask(tenant, ask_id, browser="b", subject=who.id)
        location = await self.authorizations.approve(
            tenant,
            ask,
            person=who,
            browser="b",
            server=ServerKey(server),
            level=level,
            expires_at=self.clock.now() + timedelta(days=days),
            ip="127.0.0.1",
            user_agent=None,
        )
        return dict(parse_qsl(urlsplit(location).query))["code"]

    async def redeem(self, code: str, client: str, *, host: str = "acme") -> httpx2.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "client_id": client,
            "code_verifier": VERIFIER,
        }
        return await self.http.post(f"{self.host(host).origin}/oauth/token", data=form)

    async def send(
        self,
        token: str | None,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        version: str = MODERN,
        path: str = "/mcp/tickets",
        origin: str = ACME,
        message_id: Any = 1,
        body: bytes | None = None,
        capabilities: dict[str, Any] | None = None,
        headers: dict[str, str | None] | None = None,
    ) -> httpx2.Response:
        """Send one message in process and return the whole answer."""
        said: dict[str, str | None] = {**headers_of(method, params, version=version)}
        if token is not None:
            said["authorization"] = f"Bearer {token}"
        said |= headers or {}
        content = body or body_of(
            method, params, version=version, message_id=message_id, capabilities=capabilities
        )
        return await self.http.post(
            f"{origin}{path}",
            content=content,
            headers={name: value for name, value in said.items() if value is not None},
        )

    async def call(
        self, token: str | None, name: str = "get_issue", **more: Any
    ) -> httpx2.Response:
        """Call a tool."""
        arguments = more.pop("arguments", {"id": "T-7"})
        meta = more.pop("meta", None)
        params = {"name": name, "arguments": arguments} | ({"_meta": meta} if meta else {})
        return await self.send(token, "tools/call", params, **more)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Read the audit segments from the disk."""
        lines = [
            json.loads(line)
            for path in sorted(self.audit.glob("*.jsonl"))
            for line in path.read_bytes().splitlines()
        ]
        return [line for line in lines if kind is None or line["kind"] == kind]

    async def ceiling(
        self, level: Level | None, *, person: str = "alice", server: str = "tickets"
    ) -> None:
        """Set the highest level a person may grant."""
        who = await self.person(f"{person}@acme.test")
        subject = relations.person(who.id)
        async with self.parts.database.write() as tx:
            for each in Level:
                edge = relations.ceiling_tuple(ServerKey(server), each, subject)
                await relations.remove(tx, HostId("acme"), edge)
            if level is not None:
                edge = relations.ceiling_tuple(ServerKey(server), level, subject)
                await relations.write(
                    tx, HostId("acme"), edge, source="access", at=self.clock.now()
                )

    async def override(self, name: str, said: Override | None, server: str = "tickets") -> None:
        """Say something else about a tool, as an admin does."""
        async with self.parts.database.write() as tx:
            about = await wanted(tx, HostId("acme"), ServerKey(server))
            assert about is not None
            overrides = dict(about.overrides)
            overrides.pop(name, None)
            if said is not None:
                overrides[name] = said
            await save(
                tx,
                HostId("acme"),
                Wanted(
                    key=about.key,
                    name=about.name,
                    url=about.url,
                    description=about.description,
                    tools=about.tools,
                    overrides=overrides,
                ),
            )

    async def crawl(self, server: str = "tickets") -> list[str]:
        """Read the upstream again; returns what went into quarantine."""
        async with self.parts.database.read() as tx:
            about = await wanted(tx, HostId("acme"), ServerKey(server))
        assert about is not None
        found = await self.parts.crawler.crawl(about.url)
        async with self.parts.database.write() as tx:
            observed = await observe(
                tx,
                HostId("acme"),
                about,
                eras=found.eras,
                spellings=found.spellings,
                omissions=found.omissions,
                others=found.others,
                unread=found.unread,
                at=self.clock.now(),
            )
            return observed.quarantined

    async def accept(self, name: str, server: str = "tickets", *, kind: str = TOOL) -> bool:
        """Accept what waits, as an operator does who has just read it."""
        host, key = HostId("acme"), ServerKey(server)
        async with self.parts.database.write() as tx:
            found = await find_review(tx, host, key, kind, name)
            if found is None or found.state == PINNED:
                return False
            await decide_review(tx, host, key, kind, name, digest=found.digest, accept=True)
            return True

    async def policies(self, **said: Any) -> None:
        """Change what the host's admin has set."""
        import msgspec

        host = self.host()
        changed = msgspec.structs.replace(
            host, policies=msgspec.structs.replace(host.policies, **said)
        )
        async with self.parts.database.write() as tx:
            await hosts.save(tx, changed)
        await self.parts.hosts.refresh()

    async def rules(self, own: OwnRules) -> None:
        """Let the host decide by these rules too."""
        async with self.parts.database.write() as tx:
            about = {"source": "a test", "version": None, "at": self.clock.now()}
            await keep(tx, HostId("acme"), own, signer=self.parts.shelf.signer, **about)
        await self.policies(policy_bundle=own.digest)

    async def revoke(self, tokens: Tokens, host: str = "acme") -> None:
        await self.parts.revocations.end_session(
            HostId(host), tokens.session, by="test", because="test.revoked"
        )

    def _authorizations(self) -> Authorizations:
        parts, judges = self.parts, judges_of(self.parts)
        return Authorizations(
            parts.database,
            clients=parts.clients,
            catalogue=parts.catalogue,
            ceilings=Ceilings(parts.database, parts.feed),
            consents=parts.consents,
            forecasts=Forecasts(sources=judges.sources, pdp=judges.quiet, clock=parts.clock),
            trail=parts.trail,
            clock=parts.clock,
        )


class InProcess(httpx2.ASGITransport):
    """Hands the answer over in the loop's next turn at the soonest, as every connection does."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await super().handle_async_request(request)
        await asyncio.sleep(0)
        return answer


class Loopback(httpx2.AsyncHTTPTransport):
    """Carries requests for every host to one port of this machine."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return await super().handle_async_request(request)


class Line:
    """A client made of a socket, for what no HTTP library would send, or read piece by piece."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def post(
        self,
        token: str,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        version: str = MODERN,
        path: str = "/mcp/tickets",
        message_id: Any = 1,
        more: tuple[str, ...] = (),
    ) -> None:
        body = body_of(method, params, version=version, message_id=message_id)
        headers = headers_of(method, params, version=version)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"authorization: Bearer {token}", f"content-length: {len(body)}", *more]
        await self.raw(f"POST {path} HTTP/1.1", lines, body)

    async def raw(self, first: str, lines: list[str], body: bytes = b"") -> None:
        head = "\r\n".join([first, "host: acme.test", *lines, "", ""]).encode("latin-1")
        self.writer.write(head + body)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read the status and the headers."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), headers

    async def chunk(self) -> bytes:
        """Read one chunk of a stream; b"" at its end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            return (await self.reader.readexactly(size + 2))[:-2]

    async def whole(self) -> tuple[int, dict[str, str], bytes]:
        """Read a response with a known length."""
        status, headers = await self.head()
        length = int(headers.get("content-length", "0"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            return status, headers, await self.reader.readexactly(length)

    def hang_up(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def line(world: World) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port, limit=1 << 20)
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


async def eventually(world: World, kind: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait until the trail holds so many records of a kind."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(found := world.events(kind)) < count:
            await asyncio.sleep(0.01)  # the trail's file offers nothing to wait for
    return found


@contextmanager
def locked(world: World) -> Iterator[None]:
    """Let nobody else write to the store, as while another process holds on to it."""
    file = world.directory / "data" / "safeconduct.db"
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full_disk() -> Iterator[None]:
    """Let every write to a file fail, as on a full disk; sockets still work."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@asynccontextmanager
async def listening(running: Gateway, parts: Installation) -> AsyncIterator[int]:
    """Serve over a loopback socket, as the command does; yields the port."""
    server = uvicorn.Server(configured(running, parts.settings))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not server.started:
                await asyncio.sleep(0.01)  # uvicorn offers nothing to wait for
        try:
            yield port
        finally:
            running.stop()
            server.should_exit = True
            await task


@asynccontextmanager
async def world_at(
    directory: Path,
    *,
    asgi: bool = False,
    server: dict[str, Any] | None = None,
    acme: dict[str, Any] | None = None,
    other: dict[str, Any] | None = None,
    upkeep: bool = False,
    before: Callable[[Upstream], None] | None = None,
) -> AsyncIterator[World]:
    """Start an installation with two hosts, reached over a socket or as an ASGI application.

    Args:
        upkeep: Whether servers are read and listened to unasked; most tests count what is sent.
        before: Prepares the upstream for its first reading.
    """
    clock = ManualClock()
    async with upstream() as behind:
        if before is not None:
            before(behind)
        text = yaml.safe_dump(
            {
                "server": {
                    "listen": "127.0.0.1:0",
                    "data_dir": str(directory / "data"),
                    "allow_loopback_upstreams": True,
                    "rate_limits": _RATES,
                }
                | (server or {}),
                "hosts": [
                    host_settings("acme", behind.url, **(acme or {})),
                    host_settings("other", behind.url, **(other or {})),
                ],
            }
        )
        said = settings.parse(text, base=directory, environ={})
        if "database" not in (server or {}) and not (directory / "data").exists():
            migrated_file(directory / "data" / DATABASE_FILE)
        async with gateway(said, clock=clock, upkeep=upkeep) as running, AsyncExitStack() as stack:
            behind.seen.clear()
            parts = running._parts
            await parts.hosts.refresh()
            port = await stack.enter_async_context(listening(running, parts))
            transport = InProcess(running) if asgi else Loopback(port)
            world = World(running, directory, behind, clock, transport)
            world.port = port
            stack.push_async_callback(world.http.aclose)
            yield world
            assert behind.failures == []
