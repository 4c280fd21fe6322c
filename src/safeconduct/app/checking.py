"""What enforcement points may ask and say, on the same PDP as the road of calls."""

from __future__ import annotations

from starlette.routing import BaseRoute

from safeconduct.api import (
    Authzen,
    AuthzenEndpoints,
    BundleEndpoint,
    Checks,
    Introspection,
    IntrospectionEndpoint,
    Judge,
    Naming,
    PolicyEndpoints,
    RelationEndpoints,
    ReviewEndpoints,
    Searches,
)
from safeconduct.app.building import Installation
from safeconduct.app.judging import Judging
from safeconduct.app.offering import PutRules
from safeconduct.app.policies import bundle_of
from safeconduct.app.reviewing import Reviews
from safeconduct.audit import SealedArguments
from safeconduct.oauth import Verifier
from safeconduct.policy import Bundle
from safeconduct.proxy import methods_of
from safeconduct.telemetry import Metrics


def enforcement_routes(
    parts: Installation, by: Judging, metrics: Metrics, arguments: SealedArguments
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
    introspection = Introspection(
        verifier=Verifier(parts.database, parts.feed),
        sessions=parts.sessions,
        judge=judge,
        checks=checks,
        clock=parts.clock,
    )
    return [
        *endpoints.routes(),
        *IntrospectionEndpoint(introspection).routes(),
        *_bundles(parts).routes(),
        *_relations(parts).routes(),
        *_policies(parts).routes(),
        *ReviewEndpoints(Reviews(parts.database, parts.trail)).routes(),
    ]


def _bundles(parts: Installation) -> BundleEndpoint:
    shipped = Bundle.shipped()
    return BundleEndpoint(lambda host: bundle_of(host, parts.shelf, shipped))


def _relations(parts: Installation) -> RelationEndpoints:
    return RelationEndpoints(
        database=parts.database,
        people=parts.people,
        editor=parts.editor,
        clock=parts.clock,
        root_key=parts.root_key,
    )


def _policies(parts: Installation) -> PolicyEndpoints:
    return PolicyEndpoints(
        database=parts.database, signer=parts.shelf.signer, offering=PutRules(parts)
    )
