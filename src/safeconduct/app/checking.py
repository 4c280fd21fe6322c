"""Decisions, wired once: for the road of calls, and for enforcement points outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from starlette.routing import BaseRoute

from safeconduct import edge
from safeconduct.api import Authzen, AuthzenEndpoints, Checks, Judge, Naming, Searches
from safeconduct.app.building import Installation
from safeconduct.app.policies import HostPolicies
from safeconduct.app.relating import RelationAnswers
from safeconduct.audit import SealedArguments
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId
from safeconduct.policy import FactSources, HostPolicy, Pdp
from safeconduct.proxy import Decider, methods_of
from safeconduct.storage import Lease
from safeconduct.telemetry import Metrics


class Deciding(NamedTuple):
    """What decides; `policies` finds none once the lease has run out."""

    decider: Decider
    relations: RelationAnswers
    policies: Callable[[HostId], HostPolicy]


def deciding(parts: Installation) -> Deciding:
    """Build what decides."""
    policies = HostPolicies(parts.hosts).of
    relations = RelationAnswers(parts.relations, parts.people, policies, parts.clock)
    leased = _while_leased(parts.lease, policies)
    decider = Decider(
        sources=FactSources(
            people=parts.people,
            consents=parts.consents,
            ceilings=parts.ceilings,
            relationships=relations,
            policies=policies,
            clock=parts.clock,
        ),
        pdp=Pdp(leased),
        sessions=parts.sessions,
    )
    return Deciding(decider, relations, leased)


def enforcement_routes(
    parts: Installation, by: Deciding, metrics: Metrics, arguments: SealedArguments
) -> list[BaseRoute]:
    """Build what answers enforcement points, on the same decisions as the road."""
    naming, methods = Naming(parts.people, parts.clients), methods_of()
    judge = Judge(
        naming=naming,
        sessions=parts.sessions,
        catalogue=parts.catalogue,
        decider=by.decider,
        relations=by.relations,
        policies=by.policies,
        methods=methods,
        clock=parts.clock,
    )
    searches = Searches(
        judge=judge,
        naming=naming,
        database=parts.database,
        people=parts.people,
        catalogue=parts.catalogue,
        relations=by.relations,
        methods=methods,
        clock=parts.clock,
        root_key=parts.root_key,
    )
    checks = Checks(parts.trail, metrics, arguments)
    endpoints = AuthzenEndpoints(Authzen(judge=judge, searches=searches, checks=checks))
    return list(endpoints.routes())


def _while_leased(
    lease: Lease, policies: Callable[[HostId], HostPolicy]
) -> Callable[[HostId], HostPolicy]:
    """Find no policy once the lease has run out.

    The door looks too, but a call may wait long after it, and a stream has passed it already.
    """

    def find(host: HostId) -> HostPolicy:
        if lease.lapsed:
            raise Refused(Code.UNAVAILABLE, edge.OUT_OF_TOUCH)
        return policies(host)

    return find
