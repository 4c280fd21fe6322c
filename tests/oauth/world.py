"""The authorization server of two hosts on a real database, driven over HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from safeconduct import hosts, people, relations, upstreams
from safeconduct.audit import Trail
from safeconduct.consent import Consents
from safeconduct.core.clock import ManualClock
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId, Level, ServerKey
from safeconduct.egress import FetchedDocument
from safeconduct.hosts import Host, Policies
from safeconduct.oauth import (
    Ask,
    Asking,
    Assertions,
    Authorizations,
    ClientAuthentication,
    Clients,
    Forecasts,
    Housekeeping,
    OAuthEndpoints,
    Registrations,
    Retirement,
    Revocations,
    Standings,
    TokenRequests,
    Verifier,
)
from safeconduct.people import People, Person
from safeconduct.policy import Answered, Bundle, Embedded, FactSources, HostPolicy, Pdp
from safeconduct.relations import Ceilings
from safeconduct.sessions import Sessions
from safeconduct.signin import SESSION_COOKIE, BrowserSessions
from safeconduct.storage import Database, Epoch, Feed
from safeconduct.upstreams import Catalogue, Wanted
from tests.fixtures.keys import ROOT_KEY
from tests.fixtures.tables import with_tables

ORIGIN = "https://acme.test"
LEDGER = f"{ORIGIN}/mcp/ledger"
NATIVE = "http://127.0.0.1:33713/callback"
WEB = "https://agent.example/cb"
VERIFIER = "v" * 43
FORM = {"content-type": "application/x-www-form-urlencoded"}


def challenge(verifier: str = VERIFIER) -> str:
    return (
        base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    )


class Web:
    """The world outside: documents by URL. What it does not have cannot be fetched."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[bytes, int | None]] = {}
        self.asked: list[str] = []

    def publish(self, url: str, document: object, *, max_age: int | None = None) -> None:
        self.documents[url] = (json.dumps(document).encode(), max_age)

    async def get_json(
        self, url: str, *, max_bytes: int = 5120, seconds: float = 5.0
    ) -> FetchedDocument:
        await asyncio.sleep(0)  # the real one suspends
        self.asked.append(url)
        if url not in self.documents or len(self.documents[url][0]) > max_bytes:
            raise Refused(Code.UPSTREAM_FAILED, "the document could not be fetched")
        body, max_age = self.documents[url]
        return FetchedDocument(body=body, headers={}, max_age_seconds=max_age)


class NoRelations:
    """Where nobody has stored any relation."""

    async def answer(
        self, host: HostId, asked: Sequence[tuple[str, str, str]], **_: Any
    ) -> list[Answered]:
        return [Answered(allowed=False) for _each in asked]


class World:
    """Everything wired as the application does it."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.clock = ManualClock()
        self.web = Web()
        self.feed = Feed(Epoch(directory / "epoch"))
        self.database = Database(url, feed=self.feed, clock=self.clock)
        self.trail = Trail(directory / "audit", clock=self.clock, root_key=ROOT_KEY)
        self.people = People(self.database, self.feed)
        self.ceilings = Ceilings(self.database, self.feed)
        self.consents = Consents(self.database, self.feed)
        self.sessions = Sessions(self.database, self.feed, clock=self.clock)
        self.catalogue = Catalogue(self.database, self.feed)
        self.clients = Clients(self.database, self.feed, clock=self.clock, fetcher=self.web)
        self.verifier = Verifier(self.database, self.feed)
        self.registrations = Registrations(
            self.database, trail=self.trail, clock=self.clock, most_unused=5
        )
        self.authorizations = Authorizations(
            self.database,
            clients=self.clients,
            catalogue=self.catalogue,
            ceilings=self.ceilings,
            consents=self.consents,
            forecasts=Forecasts(sources=self._sources(), pdp=Pdp(self.policy), clock=self.clock),
            trail=self.trail,
            clock=self.clock,
        )
        self.browsers = BrowserSessions(database=self.database, clock=self.clock)
        self.revocations = Revocations(self.database, trail=self.trail, clock=self.clock)
        self.housekeeping = Housekeeping(self.database, trail=self.trail, clock=self.clock)
        self.bundle = Bundle.shipped()
        self.engine = Embedded(self.bundle)
        self.endpoints = self._endpoints()
        self.host = Host(key=HostId("acme"), name="Acme", origin=ORIGIN, policies=Policies())
        self.other = Host(
            key=HostId("other"), name="Other", origin="https://other.test", policies=Policies()
        )
        self.alice: Person
        self.bob: Person
        self.ip = "203.0.113.9"
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(self._app()), base_url=ORIGIN)

    def _app(self) -> ASGIApp:
        """The edge, which finds the tenant, around the endpoints."""
        starlette = Starlette(routes=[*self.endpoints.routes()])

        async def edge(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = {"host": self.host, "ip": self.ip}
            await starlette(scope, receive, send)

        return edge

    async def open(self) -> None:
        await with_tables(self.database)
        await self.feed.start(self.database)
        self.trail.open()
        async with self.database.write() as tx:
            for host in (self.host, self.other):
                await hosts.save(tx, host)
                for key in ("ledger", "notes"):
                    await upstreams.save(
                        tx,
                        host.key,
                        Wanted(key=ServerKey(key), name=key.title(), url=f"https://{key}.test/mcp"),
                    )
            self.alice = await people.create(
                tx, self.host.key, email="alice@acme.test", name="Alice", at=self.clock.now()
            )
            self.bob = await people.create(
                tx, self.host.key, email="bob@acme.test", name="Bob", at=self.clock.now()
            )
        await self.ceiling(self.alice, Level.MEDIUM)
        await self.ceiling(self.bob, Level.HIGH)

    async def close(self) -> None:
        await self.http.aclose()
        self.trail.close()
        await self.database.close()

    async def ceiling(self, person: Person, level: Level | None, server: str = "ledger") -> None:
        subject = relations.person(person.id)
        async with self.database.write() as tx:
            for any_level in Level:
                edge = relations.ceiling_tuple(ServerKey(server), any_level, subject)
                await relations.remove(tx, self.host.key, edge)
            if level is not None:
                edge = relations.ceiling_tuple(ServerKey(server), level, subject)
                await relations.write(tx, self.host.key, edge, source="test", at=self.clock.now())

    def advance(self, **span: float) -> None:
        self.clock.advance(timedelta(**span))

    def policies(self, **policies: Any) -> None:
        self.host = Host(
            key=self.host.key,
            name=self.host.name,
            origin=self.host.origin,
            policies=Policies(**policies),
        )

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        lines = [
            json.loads(line)
            for path in sorted((self.directory / "audit").glob("*.jsonl"))
            for line in path.read_text().splitlines()
        ]
        return [line for line in lines if kind is None or line.get("kind") == kind]

    async def register(self, *redirect_uris: str, **said: Any) -> str:
        body = {
            "client_name": "Agent",
            "redirect_uris": list(redirect_uris or (NATIVE,)),
            "token_endpoint_auth_method": "none",
            **said,
        }
        answer = await self.http.post("/oauth/register", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["client_id"])

    async def sign_in(self, person: Person) -> None:
        """Let whoever sits at the browser be this person from here on."""
        async with self.database.write() as tx:
            handle = await self.browsers.open(tx, self.host.key, person.id)
        self.http.headers["cookie"] = f"{SESSION_COOKIE}={handle.reveal()}"

    async def authorize(self, client: str, **said: str | None) -> httpx2.Response:
        wanted = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": NATIVE,
            "state": "s t&te",
            "code_challenge": challenge(),
            "code_challenge_method": "S256",
            "scope": "mcp",
            "resource": LEDGER,
        } | said
        query = urlencode({name: value for name, value in wanted.items() if value is not None})
        return await self.http.get(f"/oauth/authorize?{query}")

    async def ask(
        self, client: str, *, person: Person | None = None, browser: str = "b", **said: str | None
    ) -> Ask:
        answer = await self.authorize(client, **said)
        location = answer.headers["location"]
        assert location.startswith(f"{self.host.origin}/consent?request="), location
        return await self.authorizations.ask(
            self.host,
            location.partition("=")[2],
            browser=browser,
            subject=(person or self.alice).id,
        )

    async def allow(
        self,
        ask: Ask,
        *,
        person: Person | None = None,
        browser: str = "b",
        level: Level = Level.LOW,
        server: str = "ledger",
        days: float | None = 30,
    ) -> str:
        until = None if days is None else self.clock.now() + timedelta(days=days)
        return await self.authorizations.approve(
            self.host,
            ask,
            person=person or self.alice,
            browser=browser,
            server=ServerKey(server),
            level=level,
            expires_at=until,
            ip="203.0.113.9",
            user_agent="test",
        )

    async def code(
        self, client: str, *, level: Level = Level.LOW, person: Person | None = None, **said: Any
    ) -> str:
        """Walk from authorize to the code."""
        ask = await self.ask(client, person=person, **said)
        return answer_of(await self.allow(ask, level=level, person=person))["code"]

    async def post(
        self, path: str, *, headers: dict[str, str] | None = None, **said: str | None
    ) -> httpx2.Response:
        body = urlencode({name: value for name, value in said.items() if value is not None})
        return await self.http.post(path, content=body, headers={**FORM, **(headers or {})})

    async def redeem(self, client: str, code: str, **said: str | None) -> httpx2.Response:
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "client_id": client,
            "redirect_uri": NATIVE,
            "resource": LEDGER,
        }
        return await self.post("/oauth/token", **(form | said))

    async def refresh(self, client: str, token: str, **said: str | None) -> httpx2.Response:
        form: dict[str, str | None] = {
            "grant_type": "refresh_token",
            "refresh_token": token,
            "client_id": client,
        }
        return await self.post("/oauth/token", **(form | said))

    async def tokens(self, client: str, **said: Any) -> dict[str, Any]:
        """Walk from authorize to the tokens."""
        answer = await self.redeem(client, await self.code(client, **said))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def alive(self, access: str) -> bool:
        """Say whether a token would open a call, as the caller of the verifier judges it."""
        found = await self.verifier.find(self.host.key, access)
        if found is None or found.expires_at <= self.clock.seconds():
            return False
        session = await self.sessions.get(self.host.key, found.session)
        return session is not None and session.live_at(self.clock.seconds())

    def policy(self, _host: HostId) -> HostPolicy:
        return HostPolicy(engine=self.engine, bundle=self.bundle.digest)

    def _sources(self) -> FactSources:
        return FactSources(
            people=self.people,
            consents=self.consents,
            ceilings=self.ceilings,
            relationships=NoRelations(),
            policies=self.policy,
            clock=self.clock,
        )

    def _endpoints(self) -> OAuthEndpoints:
        standings = Standings(
            self.database,
            sources=self._sources(),
            pdp=Pdp(self.policy),
            consents=self.consents,
            sessions=self.sessions,
            clock=self.clock,
        )
        return OAuthEndpoints(
            asking=Asking(
                self.database,
                clients=self.clients,
                catalogue=self.catalogue,
                browsers=self.browsers,
                clock=self.clock,
                most_waiting=20,
            ),
            authentication=ClientAuthentication(
                self.clients, Assertions(self.database, fetcher=self.web, clock=self.clock)
            ),
            tokens=TokenRequests(
                self.database, standings=standings, trail=self.trail, clock=self.clock
            ),
            registrations=self.registrations,
            retirement=Retirement(self.database, trail=self.trail, clock=self.clock),
            catalogue=self.catalogue,
            error_page=_page,
        )


def answer_of(location: str) -> dict[str, str]:
    """Read the parameters of a redirect."""
    pairs = parse_qsl(urlsplit(location).query, keep_blank_values=True)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def _page(_request: Request, status: int, title: str, text: str) -> Response:
    return Response(f"{title}\n{text}", status_code=status, media_type="text/plain")


@asynccontextmanager
async def world_at(
    directory: Path, url: str, *, before: Callable[[Database], Awaitable[None]] | None = None
) -> AsyncIterator[World]:
    """Open a world on a database, after whatever makes that database empty."""
    world = World(directory, url)
    if before is not None:
        await before(world.database)
    await world.open()
    try:
        yield world
    finally:
        await world.close()
