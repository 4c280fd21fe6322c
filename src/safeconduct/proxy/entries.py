"""The two records every recorded call has: what was decided on it, and how it ended.

Each is an `audit.Event` with the members it needs, in the same order, and made by position:
that costs a fraction of the whole event, and every call makes both.
"""

from __future__ import annotations

import hashlib
import time

import msgspec
from msgspec import UNSET, UnsetType

from safeconduct.audit import MOST_NAMES, Kept, redacted_shape
from safeconduct.core.decision import Decision, Obligation
from safeconduct.core.model import ClientId, HostId, Level, ServerKey, SessionId, SubjectId
from safeconduct.proxy.calls import Call
from safeconduct.proxy.messages import JSON

_MAX_USER_AGENT = 200
# What was refused is told in less: a caller chooses these, and may be refused without an end.
_REFUSED_NAME, _REFUSED_NAMES = 256, 16
_WORDS = ("", *(level.word for level in Level))  # by number; the property costs three calls


class Decided(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A decision on a call; see `audit.Event` for the members."""

    kind: str
    host: HostId
    subject: SubjectId
    client: ClientId
    client_name: str
    workflow: str | UnsetType  # left out where none was declared
    session: SessionId
    server: ServerKey
    method: str
    resource_kind: str
    resource: str | None = None
    arguments: dict[str, str] | None = None
    body_sha256: str | None = None
    decision: str | None = None
    decision_id: str | None = None
    reason: str | None = None
    rules: tuple[str, ...] | None = None
    required_level: str | None = None
    effective_level: str | None = None
    bundle: str | None = None
    obligations: tuple[Obligation, ...] | None = None
    facts: msgspec.Raw | None = None
    sealed_arguments: str | None = None
    unfit: str | None = None
    omitted: dict[str, str] | None = None
    ms: float | None = None
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


class Ended(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How a call ended; see `audit.Event` for the members."""

    kind: str
    host: HostId
    subject: SubjectId
    client: ClientId
    session: SessionId
    server: ServerKey
    method: str
    resource: str | None = None
    of: str | None = None
    outcome: str | None = None
    upstream_status: int | None = None
    bytes_out: int | None = None
    ms: float | None = None
    request_id: str | None = None


def decided(
    call: Call,
    decision: Decision,
    kind: str,
    arguments: JSON | None,
    kept: Kept,
) -> Decided:
    """Describe a decision.

    Args:
        kind: What the record is called if the call was allowed.
        arguments: The message's.
        kept: What of them and of the facts the record may hold.
    """
    exchange, caller, message = call.exchange, call.caller, call.message
    agent = exchange.headers.text(b"user-agent")
    intent = message.intent
    required, effective = decision.required_level, decision.effective_level
    sealed, facts, omitted = kept
    name, most = message.name, MOST_NAMES
    if not decision.allow:
        kind, name, most = "call.denied", name[:_REFUSED_NAME], _REFUSED_NAMES
    return Decided(
        kind,
        caller.host,
        caller.subject,
        caller.client,
        call.client.name,
        UNSET if intent is None else intent.workflow,
        caller.session,
        call.server.key,
        message.method,
        call.row.kind,
        name or None,
        redacted_shape(arguments, most=most) if arguments else None,
        hashlib.sha256(message.raw).hexdigest(),
        "allow" if decision.allow else "deny",
        decision.id,
        decision.reason,
        decision.rules or None,
        None if required is None else _WORDS[required],
        None if effective is None else _WORDS[effective],
        decision.bundle,
        decision.obligations or None,
        msgspec.Raw(facts) if facts else None,
        sealed,
        decision.unfit or None,
        omitted,
        since(exchange.began),
        exchange.ip,
        agent[:_MAX_USER_AGENT] if agent else None,
        exchange.id,
    )


def since(began: float) -> float:
    """Return the milliseconds since a `time.perf_counter()`, to the microsecond."""
    return round((time.perf_counter() - began) * 1_000_000) / 1000
