"""A request that is allowed, to be changed in one place per test."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from safeconduct.core.decision import Decision
from safeconduct.core.model import (
    AccessRequest,
    Caller,
    ClientId,
    ConsentId,
    HostId,
    Level,
    Resource,
    ServerKey,
    SessionId,
    SubjectId,
)
from safeconduct.policy import (
    ClientFacts,
    ConsentFacts,
    Environment,
    Facts,
    Pdp,
    SessionFacts,
    SubjectFacts,
    ToolFacts,
)

TICKETS = ServerKey("tickets")
T = TypeVar("T")


def a_request(*, who: str = "bob", **changes: Any) -> AccessRequest:
    caller = Caller(
        host=HostId("acme"),
        subject=SubjectId(who),
        client=ClientId("shared-agent"),
        session=SessionId(f"ses-{who}"),
        server=TICKETS,
    )
    request = AccessRequest(
        caller=caller,
        action="tools/call",
        resource=Resource(kind="tool", server=TICKETS, name="delete_issue"),
        arguments={"id": "T-7"},
    )
    return msgspec.structs.replace(request, **changes)


def decided(pdp: Pdp, request: AccessRequest, facts: Facts) -> Decision:
    """Decide where nothing is running: the engine in this process never suspends."""
    return at_once(pdp.decide(request, facts))


def at_once(coming: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine that never suspends returns."""
    try:
        coming.send(None)
    except StopIteration as done:
        returned: T = done.value
        return returned
    coming.close()
    raise AssertionError("it waited for something")


def some_facts(*, who: str = "bob", **changes: Any) -> Facts:
    facts = Facts(
        subject=SubjectFacts(
            id=SubjectId(who),
            email=f"{who}@acme.test",
            active=True,
            groups=("engineering",),
            attributes={"region": "EU"},
        ),
        client=ClientFacts(id=ClientId("shared-agent"), name="Agent", active=True),
        session=SessionFacts(id=SessionId(f"ses-{who}"), server=TICKETS, live=True),
        consent=ConsentFacts(id=ConsentId("con-1"), level=Level.HIGH, live=True),
        ceiling=Level.HIGH,
        tool=ToolFacts(known=True, enabled=True, state="pinned", level=Level.HIGH),
        relations=(),
        environment=Environment(time="2026-11-21T12:00:00Z", ip="192.0.2.7"),
    )
    return msgspec.structs.replace(facts, **changes)


def at_levels(required: Level, consent: Level | None, ceiling: Level | None) -> Facts:
    return some_facts(
        tool=ToolFacts(known=True, enabled=True, state="pinned", level=required),
        consent=consent and ConsentFacts(id=ConsentId("con-1"), level=consent, live=True),
        ceiling=ceiling,
    )
