"""What answers requests, built on an installation: the road, the AS, the pages, the edge."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from safeconduct import edge
from safeconduct.app.building import Installation
from safeconduct.app.checking import enforcement_routes
from safeconduct.app.connections import Connections
from safeconduct.app.judging import Judging, judges_of
from safeconduct.app.protocol import McpProtocol, Shared
from safeconduct.app.repositories import Repositories
from safeconduct.app.watching import CatalogueWatch
from safeconduct.audit import SealedArguments, Trail
from safeconduct.core.sealed_calls import SealedCalls
from safeconduct.egress import Mailer
from safeconduct.oauth import (
    Asking,
    Assertions,
    Authorizations,
    ClientAuthentication,
    Forecasts,
    Housekeeping,
    OAuthEndpoints,
    Registrations,
    Retirement,
    Standings,
    TokenRequests,
    Verifier,
)
from safeconduct.proxy import (
    Again,
    Call,
    EventIds,
    Flights,
    Gate,
    HeldCalls,
    McpEndpoint,
    Notices,
    Obligations,
    OpenRequests,
    Pipeline,
    PlainApis,
    Records,
    RequestStates,
    Returns,
    Share,
    ShareLimits,
    Shares,
    Sightings,
    Throttles,
    TransportSessions,
    share_of,
)
from safeconduct.settings import Limits, MailSettings
from safeconduct.signin import Attempts, BrowserSessions, Local, Recovery
from safeconduct.telemetry import Metrics, TrailState
from safeconduct.upstreams import Forwarder, HttpCalls
from safeconduct.web import Drawing, ErrorPages, PeoplePages, PolicyHook, Stylesheet

_FORM_BYTES = 64 * 1024


class Answering(NamedTuple):
    """The application, and what has to be kept going or stopped beside it."""

    app: ASGIApp
    protocol: Callable[..., asyncio.Protocol]
    returns: Returns
    held: HeldCalls
    sightings: Sightings
    watch: CatalogueWatch
    repositories: Repositories
    housekeeping: Housekeeping
    recovery: Recovery


def answering(
    parts: Installation,
    *,
    ready: Callable[[], Awaitable[dict[str, str]]],
    upstreams: Callable[[], Awaitable[dict[str, str]]],
) -> Answering:
    """Build everything that answers."""
    repositories = Repositories(parts)
    judges, arguments = judges_of(parts), SealedArguments(parts.root_key)
    metrics = Metrics(
        lease_seconds=_lease_seconds(parts),
        policies=repositories.ages,
        flips=lambda: (judges.flips.to_allow, judges.flips.to_deny),
        trail=functools.partial(_trail_state, parts.trail),
    )
    watch = CatalogueWatch(parts)
    door = _door(parts, metrics)
    returns, held, sightings, endpoint = _road(parts, judges, metrics, arguments, watch, door)
    doors = _sign_in(parts)
    errors, recovery = ErrorPages(doors.drawing), _recovery(parts, doors)
    pages = _pages(parts, judges, watch, recovery, doors, errors)
    oauth = _oauth(parts, judges, doors.browsers, errors)
    hook = PolicyHook(repositories.secrets, repositories.soon)
    server = parts.settings.server
    inner = Starlette(
        routes=[
            *oauth.routes(),
            *hook.routes(),
            *enforcement_routes(parts, judges, metrics, arguments),
            *pages,
        ],
        middleware=[Middleware(RequestBodyLimitMiddleware, max_body_size=_FORM_BYTES)],
        exception_handlers=errors.handlers(),
    )
    inner.router.redirect_slashes = False  # a redirect would lose a POST
    app = edge.Edge(
        inner,
        mcp=endpoint,
        away=errors.away,
        door=door,
        metrics=metrics,
        ready=ready,
        upstreams=upstreams,
        metrics_for=server.metrics,
    )
    shared = Shared(Connections(per_address=server.limits.connections_per_address))
    housekeeping = Housekeeping(parts.database, trail=parts.trail, clock=parts.clock)
    return Answering(
        app=app,
        protocol=functools.partial(McpProtocol, door=door, endpoint=endpoint, shared=shared),
        returns=returns,
        held=held,
        sightings=sightings,
        watch=watch,
        repositories=repositories,
        housekeeping=housekeeping,
        recovery=recovery,
    )


def _trail_state(trail: Trail) -> TrailState:
    problem, room = trail.problem(), trail.outage.room()
    return TrailState(trail.outage.refused, not problem, None if room is None else room.free)


def _door(parts: Installation, metrics: Metrics) -> edge.Door:
    server = parts.settings.server
    return edge.Door(
        hosts=parts.hosts,
        database=parts.database,
        feed=parts.feed,
        lease=parts.lease,
        tally=parts.tally,
        metrics=metrics,
        limits=edge.Limits(
            sign_in_per_5_minutes=server.rate_limits.sign_in_per_5_minutes,
            sign_up_per_10_minutes=server.rate_limits.sign_up_per_10_minutes,
            register_per_minute=server.rate_limits.register_per_minute,
            mcp_per_minute=server.rate_limits.mcp_per_minute,
            checks_per_minute=server.rate_limits.checks_per_minute,
            writes_per_minute=server.rate_limits.writes_per_minute,
            all_per_minute=server.rate_limits.all_per_minute,
        ),
        addresses=edge.ClientAddresses(
            tuple(ipaddress.ip_network(proxy, strict=False) for proxy in server.trusted_proxies)
        ),
    )


def _road(
    parts: Installation,
    judges: Judging,
    metrics: Metrics,
    arguments: SealedArguments,
    watch: CatalogueWatch,
    door: edge.Door,
) -> tuple[Returns, HeldCalls, Sightings, McpEndpoint]:
    decider = judges.decider
    records = Records(parts.trail, metrics, arguments)
    gate, notices = _gate(parts), Notices()
    again = Again(gate=gate, decider=decider, records=records, catch_up=door.keep_up)
    requests = OpenRequests(parts.clock, parts.inquiries)
    parts.inquiries.answer = requests.knows
    held = _held(parts, gate, notices, requests, metrics)
    obligations = Obligations(
        consents=parts.consents,
        approvals=held,
        again=again.decide,
        permissions=judges.relations,
        throttles=Throttles(parts.clock, parts.tally, share=_share(parts)),
        notify=records.notified,
        clock=parts.clock,
        background=parts.background,
    )
    transports, event_ids = TransportSessions(parts.root_key), EventIds(parts.root_key)
    states = RequestStates(parts.root_key, clock=parts.clock)
    flights = Flights(metrics, shares=_shares(parts.settings.server.limits))

    def changed(call: Call) -> None:
        watch.soon(call.caller.host, call.server.key)

    sightings = Sightings(
        parts.database,
        catalogue=parts.catalogue,
        trail=parts.trail,
        clock=parts.clock,
        unkept=judges.unkept,
        changed=changed,
    )
    returns = Returns(
        decider=decider,
        records=records,
        states=states,
        transports=transports,
        event_ids=event_ids,
        requests=requests,
        sessions=parts.sessions,
        flights=flights,
        obligations=obligations,
        sightings=sightings,
        manners=parts.manners,
        changed=changed,
        most_bytes=parts.settings.server.limits.answer_bytes,
    )
    pipeline = Pipeline(
        gate=gate,
        requests=requests,
        metrics=metrics,
        transports=transports,
        event_ids=event_ids,
        decider=decider,
        records=records,
        flights=flights,
        obligations=obligations,
        states=states,
        forwarder=Forwarder(parts.transport),
        apis=PlainApis(HttpCalls(parts.transport, parts.credentials)),
        returns=returns,
        notices=notices,
        background=parts.background,
        catch_up=door.keep_up,
    )
    body_bytes = parts.settings.server.limits.body_bytes
    return returns, held, sightings, McpEndpoint(pipeline, max_body_bytes=body_bytes)


def _shares(limits: Limits) -> Shares:
    calls = Share(host=limits.upstream_calls_per_host, person=limits.upstream_calls_per_person)
    streams = Share(
        host=limits.upstream_streams_per_host, person=limits.upstream_streams_per_person
    )
    return Shares(ShareLimits(call=calls, stream=streams))


def _share(parts: Installation) -> Callable[[int], int]:
    """Return what says how much of a limit is ours among the nodes of the database."""
    own = parts.settings.server.workers
    return lambda count: share_of(count, own=own, processes=parts.database.processes)


def _held(
    parts: Installation, gate: Gate, notices: Notices, requests: OpenRequests, metrics: Metrics
) -> HeldCalls:
    return HeldCalls(
        parts.approvals,
        gate=gate,
        sessions=parts.sessions,
        catalogue=parts.catalogue,
        notices=notices,
        requests=requests,
        metrics=metrics,
        clock=parts.clock,
        sealed=SealedCalls(parts.root_key),
    )


def _gate(parts: Installation) -> Gate:
    return Gate(
        hosts=parts.hosts,
        verifier=Verifier(parts.database, parts.feed),
        clients=parts.clients,
        sessions=parts.sessions,
        catalogue=parts.catalogue,
        clock=parts.clock,
    )


def _lease_seconds(parts: Installation) -> Callable[[], float] | None:
    return (lambda: parts.lease.remaining) if parts.database.shared else None


def _oauth(
    parts: Installation, judges: Judging, browsers: BrowserSessions, errors: ErrorPages
) -> OAuthEndpoints:
    database, trail, clock = parts.database, parts.trail, parts.clock
    return OAuthEndpoints(
        asking=Asking(
            database,
            clients=parts.clients,
            catalogue=parts.catalogue,
            browsers=browsers,
            clock=clock,
        ),
        authentication=ClientAuthentication(
            parts.clients, Assertions(database, fetcher=parts.fetcher, clock=clock)
        ),
        tokens=TokenRequests(
            database,
            standings=Standings(
                database,
                sources=judges.sources,
                pdp=judges.pdp,
                consents=parts.consents,
                sessions=parts.sessions,
                clock=clock,
            ),
            trail=trail,
            clock=clock,
        ),
        registrations=Registrations(database, trail=trail, clock=clock),
        retirement=Retirement(database, trail=trail, clock=clock),
        catalogue=parts.catalogue,
        error_page=errors.page,
    )


def _pages(
    parts: Installation,
    judges: Judging,
    watch: CatalogueWatch,
    recovery: Recovery,
    doors: _SignIn,
    errors: ErrorPages,
) -> list[BaseRoute]:
    pages = PeoplePages(
        database=parts.database,
        people=parts.people,
        ceilings=parts.ceilings,
        catalogue=parts.catalogue,
        consents=parts.consents,
        clients=parts.clients,
        authorizations=_authorizations(parts, judges),
        revocations=parts.revocations,
        browsers=doors.browsers,
        local=Local(
            database=parts.database,
            passwords=parts.passwords,
            attempts=doors.attempts,
            browsers=doors.browsers,
            trail=parts.trail,
            clock=parts.clock,
        ),
        recovery=recovery,
        reach=watch.reach,
        clock=parts.clock,
        stylesheet=doors.stylesheet,
        drawing=doors.drawing,
        errors=errors,
    )
    return list(pages.routes())


def _authorizations(parts: Installation, judges: Judging) -> Authorizations:
    return Authorizations(
        parts.database,
        clients=parts.clients,
        catalogue=parts.catalogue,
        ceilings=parts.ceilings,
        consents=parts.consents,
        forecasts=Forecasts(sources=judges.sources, pdp=judges.quiet, clock=parts.clock),
        trail=parts.trail,
        clock=parts.clock,
    )


class _SignIn(NamedTuple):
    """What several pages share."""

    stylesheet: Stylesheet
    drawing: Drawing
    attempts: Attempts
    browsers: BrowserSessions


def _sign_in(parts: Installation) -> _SignIn:
    stylesheet = Stylesheet()
    return _SignIn(
        stylesheet=stylesheet,
        drawing=Drawing(stylesheet),
        attempts=Attempts(clock=parts.clock, tally=parts.tally),
        browsers=BrowserSessions(database=parts.database, clock=parts.clock),
    )


def _recovery(parts: Installation, doors: _SignIn) -> Recovery:
    mail = parts.settings.server.mail
    return Recovery(
        database=parts.database,
        passwords=parts.passwords,
        attempts=doors.attempts,
        browsers=doors.browsers,
        trail=parts.trail,
        clock=parts.clock,
        mailer=None if mail is None else _mailer(mail),
        owner=lambda host, email: parts.settings.password_places.get((host, email), ""),
    )


def _mailer(mail: MailSettings) -> Mailer:
    return Mailer(
        host=mail.host,
        port=mail.port,
        username=mail.username or None,
        password=mail.password,
        sender=mail.sender,
        security=mail.security,
    )
