"""The decision: which server, how much, how long - or not at all.

A GET only shows. Every POST carries a token made for this browser and this request, and
what it asks is judged again by the authorization server: the page is a courtesy, not a
guard.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.consent import Consents
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.core.model import HostId, Level, ServerKey, Value
from safeconduct.hosts import Host
from safeconduct.oauth import Ask, Authorizations
from safeconduct.relations import Ceilings
from safeconduct.signin import form_token
from safeconduct.upstreams import Catalogue, Server
from safeconduct.web import durations
from safeconduct.web.desk import Desk, Signed, host_of, read_form, read_query, visitor_of
from safeconduct.web.drawing import see_other
from safeconduct.web.login import LoginPages, login_path
from safeconduct.web.names import cleaned
from safeconduct.web.refusals import STATUS, DeadEnd
from safeconduct.web.screen import (
    Agent,
    agent,
    choice,
    chosen_level,
    refusals_of,
    screen,
    starting_level,
)

# Reads a server's tools now; says whether it answered.
Reach = Callable[[HostId, ServerKey], Awaitable[bool]]

_OVER = DeadEnd(title="There is nothing to decide here")
_ENDS = {Code.NOT_FOUND: _OVER, Code.CONFLICT: _OVER}
_ASK_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Entered(Value, frozen=True):
    """What the form shows as chosen."""

    level: Level
    duration: str
    until: str = ""


class Visit(Value, frozen=True):
    """A signed-in person in front of one request of one client."""

    host: Host
    signed: Signed
    ask: Ask
    agent: Agent


class ConsentPages:
    """`/consent`."""

    def __init__(
        self,
        *,
        desk: Desk,
        login: LoginPages,
        authorizations: Authorizations,
        catalogue: Catalogue,
        ceilings: Ceilings,
        consents: Consents,
        reach: Reach,
        clock: Clock,
    ) -> None:
        self._desk = desk
        self._login = login
        self._authorizations = authorizations
        self._catalogue = catalogue
        self._ceilings = ceilings
        self._consents = consents
        self._reach = reach
        self._clock = clock

    def routes(self) -> list[Route]:
        guarded = self._desk.guarded
        return [
            Route("/consent", guarded(self.show, _ENDS), methods=["GET"]),
            Route("/consent", guarded(self.decide, _ENDS), methods=["POST"]),
            Route("/consent/leave", guarded(self.leave, _ENDS), methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        query = read_query(request)
        ask_id = _ask_id(query.get("request"))
        signed = await self._desk.signed_in(request)
        if signed is None:
            return see_other(login_path(_path(ask_id)))
        visit = await self._visit(request, ask_id, signed)
        again = await self._resume(request, visit)
        if again is not None:
            return see_other(again)
        server = await self._server(visit, query.get("server"))
        if server is None:
            return await self._draw_choice(visit)
        if not await self._reach(visit.host.key, server.key):
            return self._draw_silent(visit, server)
        # What has just been read may say more than what we held.
        known = await self._server(visit, server.key) or server
        return await self._draw(request, visit, known)

    async def decide(self, request: Request) -> Response:
        fields = await read_form(request)
        ask_id = _ask_id(fields.get("request"))
        signed = await self._desk.signed_in(request)
        if signed is None:
            return see_other(login_path(_path(ask_id)))
        self._desk.require_own(request, fields, purpose=_purpose(ask_id), signed=signed)
        visit = await self._visit(request, ask_id, signed)
        if fields.get("do") == "deny":
            return see_other(await self._deny(request, visit))
        server = await self._server(visit, fields.get("select") or fields.get("server"))
        if server is None:
            return await self._draw_choice(visit, refused=True)
        if "select" in fields:
            return see_other(f"{_path(ask_id)}&server={quote(server.key, safe='')}")
        return await self._chosen(request, visit, server, fields)

    async def leave(self, request: Request) -> Response:
        """Sign out and come back to the same request as somebody else: "not you?"."""
        fields = await read_form(request)
        ask_id = _ask_id(fields.get("request"))
        signed = await self._desk.signed_in(request)
        response = see_other(login_path(_path(ask_id)))
        if signed is not None:
            self._desk.require_own(request, fields, purpose=_purpose(ask_id), signed=signed)
            await self._authorizations.release(
                host_of(request), ask_id, browser=signed.session.id, subject=signed.person.id
            )
            await self._login.leave(request, response, signed)
        return response

    async def _chosen(
        self, request: Request, visit: Visit, server: Server, fields: dict[str, str]
    ) -> Response:
        policy = visit.host.policies.consent
        entered = _entered(fields, default=durations.default(policy))
        if fields.get("do") != "allow":  # `preview`, and whatever else: show, never grant
            return await self._draw(request, visit, server, entered=entered)
        now = self._clock.now()
        try:
            level = _level(fields)
            ends = durations.ends_at(entered.duration, entered.until, policy=policy, now=now)
            url = await self._approve(request, visit, server.key, level, ends)
        except GatewayError as error:
            if error.code not in (Code.FORBIDDEN, Code.INVALID_PARAMS):
                raise
            return await self._draw(request, visit, server, entered=entered, error=error)
        return see_other(url)

    async def _approve(
        self,
        request: Request,
        visit: Visit,
        server: ServerKey,
        level: Level,
        expires_at: datetime | None,
    ) -> str:
        visitor = visitor_of(request)
        return await self._authorizations.approve(
            visit.host,
            visit.ask,
            person=visit.signed.person,
            browser=visit.signed.session.id,
            server=server,
            level=level,
            expires_at=expires_at,
            ip=visitor.ip,
            user_agent=visitor.user_agent,
        )

    async def _resume(self, request: Request, visit: Visit) -> str | None:
        visitor = visitor_of(request)
        return await self._authorizations.resume(
            visit.host,
            visit.ask,
            person=visit.signed.person,
            browser=visit.signed.session.id,
            ip=visitor.ip,
            user_agent=visitor.user_agent,
        )

    async def _deny(self, request: Request, visit: Visit) -> str:
        visitor = visitor_of(request)
        return await self._authorizations.deny(
            visit.host,
            visit.ask,
            person=visit.signed.person,
            browser=visit.signed.session.id,
            ip=visitor.ip,
            user_agent=visitor.user_agent,
        )

    async def _visit(self, request: Request, ask_id: str, signed: Signed) -> Visit:
        host = host_of(request)
        ask = await self._authorizations.ask(
            host, ask_id, browser=signed.session.id, subject=signed.person.id
        )
        client = ask.client
        about = agent(
            host,
            name=client.name,
            kind=client.kind,
            published_at=client.document_host,
            redirect_uri=ask.redirect_uri,
        )
        return Visit(host=host, signed=signed, ask=ask, agent=about)

    async def _open(self, visit: Visit) -> dict[ServerKey, Level]:
        person = visit.signed.person
        return await self._ceilings.of(visit.host.key, person.id, person.groups)

    async def _server(self, visit: Visit, chosen: str | None) -> Server | None:
        """Return the server in question if the person may use it at all."""
        key = visit.ask.server or (visit.ask.suggested if chosen is None else chosen)
        if not key or ServerKey(key) not in await self._open(visit):
            return None
        return await self._catalogue.get(visit.host.key, ServerKey(key))

    async def _draw_choice(self, visit: Visit, *, refused: bool = False) -> Response:
        ceilings = await self._open(visit)
        fixed = visit.ask.server
        choices = [
            choice(server, ceilings[server.key])
            for server in await self._catalogue.every(visit.host.key)
            if server.key in ceilings and fixed in (None, server.key)
        ]
        return self._page(
            visit,
            "servers.html",
            status=403 if refused else 200,
            choices=choices,
            fixed=fixed,
            error="The server you chose is not open to you. Nothing was granted."
            if refused
            else None,
        )

    def _draw_silent(self, visit: Visit, server: Server) -> Response:
        return self._page(
            visit,
            "silent.html",
            status=200,
            server_name=cleaned(server.name),
            again=f"{_path(visit.ask.id)}&server={quote(server.key, safe='')}",
            fixed=visit.ask.server is not None,
        )

    async def _draw(
        self,
        request: Request,
        visit: Visit,
        server: Server,
        *,
        entered: Entered | None = None,
        error: GatewayError | None = None,
    ) -> Response:
        policy = visit.host.policies.consent
        ceiling = (await self._open(visit))[server.key]
        person = visit.signed.person
        before = await self._consents.get(
            visit.host.key, person.id, visit.ask.client.id, server.key
        )
        foreseen = await self._authorizations.foresee(
            visit.host, visit.ask, person, server, visitor_of(request).ip
        )
        shown = screen(server, ceiling, before=before, forecasts=foreseen)
        if entered is None:
            entered = Entered(
                level=starting_level(ceiling, before, start=policy.start),
                duration=durations.default(policy),
            )
        return self._page(
            visit,
            "consent.html",
            status=200 if error is None else STATUS[error.code],
            screen=shown,
            level=chosen_level(shown, entered.level),
            refusals=refusals_of(shown),
            can_allow=any(step.open for step in shown.steps),
            duration=entered.duration,
            until=entered.until,
            durations=durations.offered(policy),
            custom=durations.CUSTOM,
            longest_days=policy.longest_days,
            now=self._clock.now(),
            fixed=visit.ask.server is not None,
            endless=policy.until_revoked,
            error=None if error is None else error.public,
            wrong=_field(error, entered),
        )

    def _page(self, visit: Visit, template: str, *, status: int, **values: object) -> Response:
        handle = visit.signed.handle.reveal()
        return self._desk.drawing.page(
            visit.host,
            template,
            status=status,
            form_targets=(visit.agent.way.form_target,),
            csrf=form_token(handle, purpose=_purpose(visit.ask.id)),
            request_id=visit.ask.id,
            agent=visit.agent,
            person=visit.signed.person,
            **values,
        )


def _path(ask_id: str) -> str:
    return f"/consent?request={quote(ask_id, safe='')}"


def _purpose(ask_id: str) -> str:
    return f"consent {ask_id}"


def _ask_id(text: str | None) -> str:
    if not text or _ASK_ID.fullmatch(text) is None:
        raise Refused(Code.NOT_FOUND, "This page belongs to no request. Start again in your agent.")
    return text


def _level(fields: dict[str, str]) -> Level:
    try:
        return Level.parse(fields.get("level", ""))
    except ValueError as error:
        raise Refused(Code.FORBIDDEN, "Choose a trust level.") from error


def _entered(fields: dict[str, str], *, default: str) -> Entered:
    word = fields.get("level", "")
    return Entered(
        level=Level.parse(word) if word in {level.word for level in Level} else Level.LOW,
        duration=fields.get("duration", default),
        until=fields.get("until", "")[:40],
    )


def _field(error: GatewayError | None, entered: Entered) -> str | None:
    """Return the name of the control an error is about."""
    if error is None:
        return None
    if error.code is Code.FORBIDDEN:
        return "level"
    return "until" if entered.duration == durations.CUSTOM else "duration"
