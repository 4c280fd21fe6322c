"""A host with servers, agents and people, and its pages: all real but for the outer layer."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from safeconduct import relations, upstreams
from safeconduct.consent import Consents
from safeconduct.core.model import HostId, Level, ServerKey
from safeconduct.egress import Fetcher
from safeconduct.hosts import Host, SignInPolicy
from safeconduct.oauth import (
    Asking,
    Authorizations,
    Clients,
    Forecasts,
    Registrations,
    Revocations,
)
from safeconduct.people import People
from safeconduct.policy import Bundle, Embedded, FactSources, HostPolicy, Pdp
from safeconduct.relations import Ceilings
from safeconduct.upstreams import Catalogue, Override, Wanted
from safeconduct.web import Drawing, ErrorPages, PeoplePages, Stylesheet
from tests.oauth.world import NoRelations
from tests.signin.place import PASSWORD, Place, open_place

CALLBACK = "http://localhost:33418/callback"
WEB_CALLBACK = "https://agent.example/cb"
_TOOLS = {
    "get_issue": "Read one ticket",
    "search_issues": "Find tickets by words, people or labels",
    "list_projects": "List projects you can see",
    "create_issue": "Open a ticket in your name",
    "add_comment": "Comment in your name",
    "update_issue": "Change fields of a ticket",
    "assign_issue": "Give a ticket to somebody",
    "delete_issue": "Delete a ticket and its comments for good",
    "purge_archive": "Empty the archive for the whole team",
    "get_secret": "Not for anybody",
}


class Outer:
    """Stands in for the outer layer: finds the host, knows the address."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope.setdefault("state", {})
            scope["state"].update(host=self._world.host, ip=self._world.ip)
        await self._app(scope, receive, send)


class Rules:
    """What decides: the built-in rules, and those a test adds."""

    def __init__(self) -> None:
        self._bundle = Bundle.shipped()
        self._engine = Embedded(self._bundle)

    def add(self, rego: str) -> None:
        """Let the host's own rules be these from here on."""
        self._bundle = Bundle.shipped().with_files({"own.rego": rego.encode()})
        self._engine = Embedded(self._bundle)

    def of(self, _host: HostId) -> HostPolicy:
        return HostPolicy(engine=self._engine, bundle=self._bundle.digest)


def _forecasts(place: Place, consents: Consents, ceilings: Ceilings, rules: Rules) -> Forecasts:
    sources = FactSources(
        people=People(place.database, place.feed),
        consents=consents,
        ceilings=ceilings,
        relationships=NoRelations(),
        policies=rules.of,
        clock=place.clock,
    )
    return Forecasts(sources=sources, pdp=Pdp(rules.of), clock=place.clock)


@dataclass
class World:
    """The place, and everything its pages show."""

    place: Place
    host: Host
    app: ASGIApp
    consents: Consents
    revocations: Revocations
    registrations: Registrations
    catalogue: Catalogue
    rules: Rules
    ip: str = "203.0.113.7"
    silent: set[str] = field(default_factory=set)  # servers that do not answer

    def browser(self) -> httpx2.AsyncClient:
        """Return a browser of sorts: cookies, no scripts, redirects by hand."""
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app),
            base_url=self.host.origin,
            headers={"accept": "text/html", "user-agent": "Browser/1"},
        )

    async def register(self, *, name: str = "Claude Code", redirect_uri: str = CALLBACK) -> str:
        """Let an agent register itself; returns its client id."""
        body = {
            "client_name": name,
            "redirect_uris": [redirect_uri],
            "token_endpoint_auth_method": "none",
        }

        answer = await self.registrations.register(self.host, msgspec.json.encode(body), ip=None)
        return str(answer["client_id"])

    def authorize(
        self,
        client: str,
        *,
        redirect_uri: str = CALLBACK,
        resource: str | None = None,
        scope: str = "mcp",
    ) -> str:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(b"v" * 43).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": redirect_uri,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
            "state": "s1",
            "scope": scope,
        }
        if resource is not None:
            query["resource"] = self.host.url(resource)
        return f"/oauth/authorize?{urlencode(query)}"


@contextlib.asynccontextmanager
async def open_world(
    directory: Path, *, origin: str = "https://acme.example", policy: SignInPolicy | None = None
) -> AsyncIterator[World]:
    async with open_place(directory, origin=origin, policy=policy) as place:
        await _seed(place)
        async with contextlib.aclosing(Fetcher()) as fetcher:
            yield _build(place, fetcher)


def _build(place: Place, fetcher: Fetcher) -> World:
    database, feed, clock, trail = place.database, place.feed, place.clock, place.trail
    clients = Clients(database, feed, clock=clock, fetcher=fetcher)
    catalogue, ceilings = Catalogue(database, feed), Ceilings(database, feed)
    consents = Consents(database, feed)
    asking = Asking(
        database, clients=clients, catalogue=catalogue, browsers=place.browsers, clock=clock
    )
    revocations = Revocations(database, trail=trail, clock=clock)
    stylesheet = Stylesheet()
    drawing = Drawing(stylesheet)
    errors = ErrorPages(drawing)
    silent: set[str] = set()
    rules = Rules()

    async def reach(_host: HostId, server: ServerKey) -> bool:
        return server not in silent

    pages = PeoplePages(
        database=database,
        people=People(database, feed),
        ceilings=ceilings,
        catalogue=catalogue,
        consents=consents,
        clients=clients,
        authorizations=Authorizations(
            database,
            clients=clients,
            catalogue=catalogue,
            ceilings=ceilings,
            consents=consents,
            forecasts=_forecasts(place, consents, ceilings, rules),
            trail=trail,
            clock=clock,
        ),
        revocations=revocations,
        browsers=place.browsers,
        local=place.local,
        recovery=place.recovery,
        reach=reach,
        clock=clock,
        stylesheet=stylesheet,
        drawing=drawing,
        errors=errors,
    )

    async def authorize(request: Request) -> Response:
        return RedirectResponse(
            await asking.begin(request.state.host, request.scope["query_string"]), status_code=303
        )

    async def broken(_request: Request) -> Response:
        raise ZeroDivisionError("secret detail")

    async def quoted(request: Request) -> Response:
        return errors.page(request, 400, "Stopped", "\u202egpj.exe\u3164 <b>\ndid not register it.")

    app = Starlette(
        routes=[
            *pages.routes(),
            Route("/oauth/authorize", authorize),
            Route("/broken", broken),
            Route("/quoted", quoted),
        ],
        exception_handlers=errors.handlers(),
    )
    world = World(
        place=place,
        host=place.host,
        app=app,
        consents=consents,
        revocations=revocations,
        registrations=Registrations(database, trail=trail, clock=clock),
        catalogue=catalogue,
        rules=rules,
        silent=silent,
    )
    world.app = Outer(app, world)
    return world


async def _seed(place: Place) -> None:
    host, now = place.host.key, place.clock.now()
    tickets = Wanted(
        key=ServerKey("tickets"),
        name="Tickets",
        url="https://user:hidden@tickets.acme.example/mcp?key=hidden",
        overrides={"get_secret": Override(enabled=False)},
    )
    wiki = Wanted(key=ServerKey("wiki"), name="Wiki", url="https://wiki.acme.example/mcp")
    closed = Wanted(key=ServerKey("payroll"), name="Payroll", url="https://pay.acme.example/mcp")
    definitions: list[dict[str, Any]] = [
        {"name": name, "description": text, "inputSchema": {"type": "object"}}
        for name, text in _TOOLS.items()
    ]
    async with place.database.write() as tx:
        for server, offers in (
            (tickets, definitions),
            (wiki, definitions[:2]),
            (closed, definitions),
        ):
            await upstreams.save(tx, host, server)
            await upstreams.observe(tx, host, server, eras=("modern",), spellings=[offers], at=now)
        changed = {**definitions[4], "description": "Now does something else"}
        await upstreams.observe(
            tx,
            host,
            tickets,
            eras=("modern",),
            spellings=[[*definitions[:4], changed, *definitions[5:]]],
            at=now,
        )
        for key, level in (("tickets", Level.MEDIUM), ("wiki", Level.LOW)):
            edge = relations.ceiling_tuple(ServerKey(key), level, relations.person(place.alice))
            await relations.write(tx, host, edge, source="test", at=now)


class Page(HTMLParser):
    """A page as a script without eyes reads it: forms with fields and buttons, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.raw = text
        self.fields: dict[str, dict[str, str]] = {}
        self.buttons: list[tuple[str, dict[str, str]]] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._form = ""
        self._button: dict[str, str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if tag == "form":
            self._form = values.get("action", "")
            self.fields.setdefault(self._form, {})
        elif tag == "input" and values.get("type") == "hidden":
            self.fields[self._form][values["name"]] = values["value"]
        elif tag == "button":
            self._button = values
            self.buttons.append(("", values))

    def handle_endtag(self, tag: str) -> None:
        if tag == "button":
            self._button = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._button is not None:
            name, values = self.buttons[-1]
            self.buttons[-1] = (name + data, values)

    def named(self) -> list[str]:
        """Return the names of the buttons, in order."""
        return [" ".join(name.split()) for name, _ in self.buttons]


async def sign_in(
    browser: httpx2.AsyncClient, *, email: str = "alice@acme.test", return_to: str = "/account"
) -> httpx2.Response:
    page = Page((await browser.get("/login", params={"return_to": return_to})).text)
    return await browser.post(
        "/login", data={**page.fields["/login"], "email": email, "password": PASSWORD}
    )


async def come_to_consent(
    world: World, browser: httpx2.AsyncClient, client: str, **more: Any
) -> str:
    """Walk from the client's link to the consent page; returns its path."""
    answer = await browser.get(world.authorize(client, **more))
    path = urlsplit(answer.headers["location"])
    return f"{path.path}?{path.query}"


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
