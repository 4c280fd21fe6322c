"""What a person allowed, to whom, until when - and the buttons that end it now."""

from __future__ import annotations

from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from safeconduct import consent as consents
from safeconduct import sessions
from safeconduct.consent import Consent
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import ClientId, ConsentId, SubjectId, Value
from safeconduct.hosts import Host
from safeconduct.oauth import Clients, Revocations
from safeconduct.sessions import Session
from safeconduct.signin import form_token
from safeconduct.storage import Database
from safeconduct.upstreams import Catalogue
from safeconduct.web.desk import Desk, Signed, host_of, visitor_of
from safeconduct.web.drawing import see_other
from safeconduct.web.login import SIGN_OUT, login_path
from safeconduct.web.names import Way, cleaned, cut, way_back
from safeconduct.web.screen import level_name

_PURPOSE = "account"
_MOST_ENDED = 50
ENDED_BY_PERSON = "person.revoked"
# The record keeps machine text; the person is told who, and what it was about.
_ENDED_BECAUSE = {
    ENDED_BY_PERSON: "by you",
    "operator.revoked": "by an admin",
    "client.blocked": "by an admin, who blocked the agent",
    "client.removed": "by an admin, who removed the agent",
    "server.removed": "by an admin, who removed the server",
    "ceiling.none": "by an admin, who closed the server to you",
}


class Given(Value, frozen=True):
    """One consent as its owner sees it."""

    consent: Consent
    server_name: str
    level_name: str
    live: bool
    connections: int
    used_at: datetime | None
    ended_because: str


class AgentCard(Value, frozen=True):
    """Everything one agent was allowed."""

    name: str
    short: str
    way: Way
    given: tuple[Given, ...]
    connections: int


class AccountPages:
    """`/account`, and `/`."""

    def __init__(
        self,
        *,
        desk: Desk,
        database: Database,
        catalogue: Catalogue,
        clients: Clients,
        revocations: Revocations,
        clock: Clock,
    ) -> None:
        self._desk = desk
        self._database = database
        self._catalogue = catalogue
        self._clients = clients
        self._revocations = revocations
        self._clock = clock

    def routes(self) -> list[Route]:
        guarded = self._desk.guarded
        return [
            Route("/", self.home, methods=["GET"]),
            Route("/account", guarded(self.show), methods=["GET"]),
            Route("/account/end", guarded(self.end), methods=["POST"]),
        ]

    async def home(self, _request: Request) -> Response:
        return RedirectResponse("/account", status_code=303)

    async def show(self, request: Request) -> Response:
        signed = await self._desk.signed_in(request)
        if signed is None:
            return see_other(login_path("/account"))
        host, handle = host_of(request), signed.handle.reveal()
        given = await self._given(host, signed)
        live = [one for one in given if one.live]
        ended = [one for one in given if not one.live][:_MOST_ENDED]
        return self._desk.drawing.page(
            host,
            "account.html",
            person=signed.person,
            agents=await self._by_agent(host, live),
            ended=await self._by_agent(host, ended),
            connections=sum(one.connections for one in live),
            csrf=form_token(handle, purpose=_PURPOSE),
            sign_out_csrf=form_token(handle, purpose=SIGN_OUT),
        )

    async def end(self, request: Request) -> Response:
        """End one consent or all; when the answer leaves, no call is allowed by them."""
        signed = await self._desk.signed_in(request)
        if signed is None:
            return see_other(login_path("/account"))
        fields = await self._desk.form(request, purpose=_PURPOSE, signed=signed)
        host, person = host_of(request), signed.person
        who = {"by": person.email, "because": ENDED_BY_PERSON, "ip": visitor_of(request).ip}
        if fields.get("everything") == "yes":
            await self._revocations.end_person(host.key, person.id, **who)
        else:
            consent = await self._own(host, person.id, ConsentId(fields.get("consent", "")))
            await self._revocations.end_consent(host.key, consent.id, **who)
        return see_other("/account")

    async def _own(self, host: Host, subject: SubjectId, wanted: ConsentId) -> Consent:
        async with self._database.read() as tx:
            found = await consents.by_id(tx, host.key, wanted)
        if found is None or found.subject != subject:
            raise Refused(Code.NOT_FOUND, "You have no such consent.")
        return found

    async def _given(self, host: Host, signed: Signed) -> list[Given]:
        now = self._clock.now()
        async with self._database.read() as tx:
            mine = await consents.of_person(tx, host.key, signed.person.id)
            live = await sessions.live(tx, host.key, at=now, subject=signed.person.id)
        return [await self._one(host, consent, live, now.timestamp()) for consent in mine]

    async def _one(
        self, host: Host, consent: Consent, live: list[Session], seconds: float
    ) -> Given:
        server = await self._catalogue.get(host.key, consent.server)
        open_ = [
            session
            for session in live
            if session.client == consent.client and session.server == consent.server
        ]
        return Given(
            consent=consent,
            server_name=cleaned(server.name) if server else consent.server,
            level_name=level_name(consent.level),
            live=consent.live_at(seconds),
            connections=len(open_),
            used_at=max((session.used_at for session in open_), default=None),
            ended_because=_ENDED_BECAUSE.get(consent.ended_because or "", "by an admin"),
        )

    async def _by_agent(self, host: Host, given: list[Given]) -> list[AgentCard]:
        by_client: dict[ClientId, list[Given]] = {}
        for one in given:
            by_client.setdefault(one.consent.client, []).append(one)
        return [await self._card(host, client, mine) for client, mine in by_client.items()]

    async def _card(self, host: Host, client: ClientId, given: list[Given]) -> AgentCard:
        known = self._clients.held(host, client) or await self._clients.get(host, client)
        name = cleaned(known.name if known else client) or "An agent without a name"
        return AgentCard(
            name=name,
            short=cut(name),
            way=way_back(given[0].consent.redirect_uri),
            given=tuple(given),
            connections=sum(one.connections for one in given),
        )
