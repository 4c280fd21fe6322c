"""What decides, built once: the same PDP and facts serve calls, lists, streams and tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from safeconduct import edge
from safeconduct.app.building import Installation
from safeconduct.app.relating import RelationAnswers
from safeconduct.app.shadowing import Flips
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId
from safeconduct.policy import FactSources, HostPolicy, Pdp
from safeconduct.proxy import Decider, Fitting, Unkept
from safeconduct.storage import Lease


class Judging(NamedTuple):
    """The PDP and those who ask it, where its facts come from, what answers about relations.

    Attributes:
        quiet: The same, telling nobody: for questions about what is not so yet.
        policies: Finds a host's policy, and none once the lease has run out.
        flips: What the rules of shadows would have decided otherwise.
    """

    pdp: Pdp
    quiet: Pdp
    sources: FactSources
    relations: RelationAnswers
    decider: Decider
    policies: Callable[[HostId], HostPolicy]
    flips: Flips
    unkept: Unkept


def judges_of(parts: Installation) -> Judging:
    """Build what decides."""
    policies = parts.policies.of
    relations = RelationAnswers(parts.backend, parts.people, policies, parts.clock)
    leased = _while_leased(parts.lease, policies)
    sources = FactSources(
        people=parts.people,
        consents=parts.consents,
        ceilings=parts.ceilings,
        relationships=relations,
        policies=policies,
        clock=parts.clock,
    )
    flips = Flips(parts.trail)
    pdp, unkept = Pdp(leased, told=flips.note), Unkept()
    return Judging(
        pdp=pdp,
        quiet=Pdp(leased),
        sources=sources,
        relations=relations,
        decider=Decider(
            hosts=parts.hosts,
            sources=sources,
            pdp=pdp,
            sessions=parts.sessions,
            fitting=Fitting(),
            background=parts.background,
            unkept=unkept,
        ),
        policies=leased,
        flips=flips,
        unkept=unkept,
    )


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
