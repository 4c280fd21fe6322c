"""A request that is allowed, to be changed in one place per test."""

from __future__ import annotations

from typing import Any

import msgspec

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
    SessionFacts,
    SubjectFacts,
    ToolFacts,
)

TICKETS = ServerKey("tickets")


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
        environment=Environment(time="2026-11-21T12:00:00Z", ip="192.0.2.7"),
    )
    return msgspec.structs.replace(facts, **changes)


def at_levels(required: Level, consent: Level | None, ceiling: Level | None) -> Facts:
    return some_facts(
        tool=ToolFacts(known=True, enabled=True, state="pinned", level=required),
        consent=consent and ConsentFacts(id=ConsentId("con-1"), level=consent, live=True),
        ceiling=ceiling,
    )
