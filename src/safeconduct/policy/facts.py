"""Everything a decision may use, gathered before the rules run.

Facts belong to ONE person: session and consent are those of the request's caller. The rules
check that once more (`binding.rego`). The input document made here is what the rules see as
`input` and what a decision can be replayed from; its member names are a contract with hosts.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from safeconduct.core.model import (
    AccessRequest,
    Caller,
    ClientId,
    ConsentId,
    Intent,
    Level,
    Resource,
    ServerKey,
    SessionId,
    SubjectId,
    Value,
)

ToolState = Literal["pinned", "changed", "new"]


class SubjectFacts(Value, frozen=True):
    """The person whose authority is used; attributes are whatever the directory says."""

    id: SubjectId
    email: str
    active: bool
    groups: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}


class ClientFacts(Value, frozen=True):
    """The agent acting for that person.

    Attributes:
        active: False once an admin blocked it.
        kind: How it is known: `registered` beforehand, by a metadata `document`, by having
            registered itself (`dynamic`), or "" where that is not known.
    """

    id: ClientId
    name: str
    active: bool
    kind: str = ""


class SessionFacts(Value, frozen=True):
    """The connection the call came through, and the one server it was opened for."""

    id: SessionId
    server: ServerKey
    live: bool


class ConsentFacts(Value, frozen=True):
    """What this person allowed this agent on this server.

    Attributes:
        live: Not revoked and not expired at the time of the decision.
        granted_at: RFC 3339; when the person last said yes.
        expires_at: RFC 3339, or None for "until revoked".
    """

    id: ConsentId
    level: Level
    live: bool
    granted_at: str = ""
    expires_at: str | None = None


class ToolFacts(Value, frozen=True):
    """The thing asked for, as the host's catalogue knows it.

    Attributes:
        known: The catalogue has it.
        enabled: An admin left it switched on.
        state: `pinned` when it is as an admin last saw it.
        level: The level it needs.
    """

    known: bool
    enabled: bool
    state: ToolState
    level: Level


class Environment(Value, frozen=True):
    """When, from where and with what.

    Attributes:
        time: RFC 3339, in UTC, to the second.
        ip: The client's address.
        software: What the client calls itself in the message: its name and version.
        revision: The protocol revision it speaks.
    """

    time: str
    ip: str
    user_agent: str = ""
    software: str = ""
    revision: str = ""


class RelationFact(Value, frozen=True):
    """The answer to one question that a binding, or the host's rules, put to the relations.

    Attributes:
        name: How the host's rules call the question; "" for a binding.
        object: What was asked about; "" where the call names no object.
        required: Whether a no refuses the call, as it does for bindings.
        path: The tuples and permissions that led to a yes.
    """

    name: str
    object: str
    permission: str
    subject: str
    allowed: bool
    required: bool
    path: tuple[str, ...] = ()


class Facts(Value, frozen=True):
    """What is true at the time of one request; nothing has a default that could allow."""

    subject: SubjectFacts
    client: ClientFacts
    session: SessionFacts | None
    consent: ConsentFacts | None
    ceiling: Level | None
    tool: ToolFacts
    relations: tuple[RelationFact, ...]
    environment: Environment


class Input(Value, frozen=True):
    """The input document in pieces; arguments stand apart, since they may be secret.

    Attributes:
        settled: The beginning of `basis`: all of it but the environment, its last member.
        basis: Everything but the arguments, as JSON.
        arguments: Those, as JSON.
    """

    settled: bytes
    basis: bytes
    arguments: bytes

    @property
    def document(self) -> bytes:
        return b'{"arguments":%b,%b' % (self.arguments, self.basis[1:])


class _Consent(msgspec.Struct, gc=False):
    id: ConsentId
    level: str | None
    live: bool
    granted_at: str
    expires_at: str | None


class _Tool(msgspec.Struct, gc=False):
    known: bool
    enabled: bool
    state: str
    level: str | None


class _Settled(msgspec.Struct, gc=False):
    """What the document says before the environment: one call of C writes all of it."""

    phase: str
    caller: Caller
    action: str
    resource: Resource
    subject: SubjectFacts
    client: ClientFacts
    session: SessionFacts | None
    consent: _Consent | None
    ceiling: str | None
    tool: _Tool
    relations: tuple[RelationFact, ...]
    intent: Intent | None


def document(request: AccessRequest, facts: Facts) -> Input:
    """Write the input document: the request, the facts, and levels as words.

    Raises:
        ValueError, TypeError, msgspec.EncodeError: If an argument or attribute is not JSON.
    """
    yes, tool, encode = facts.consent, facts.tool, _ENCODER.encode
    consent = (
        None
        if yes is None
        else _Consent(yes.id, _WORDS[yes.level], yes.live, yes.granted_at, yes.expires_at)
    )
    settled = encode(
        _Settled(
            request.phase,
            request.caller,
            request.action,
            request.resource,
            facts.subject,
            facts.client,
            facts.session,
            consent,
            _WORDS[facts.ceiling or 0],
            _Tool(tool.known, tool.enabled, tool.state, _WORDS[tool.level]),
            facts.relations,
            request.intent,
        )
    )[:-1]
    arguments = request.arguments
    return Input(
        settled=settled,
        basis=b'%b,"environment":%b}' % (settled, encode(facts.environment)),
        arguments=b"{}" if arguments is None else encode(arguments),
    )


_ENCODER = msgspec.json.Encoder()
_WORDS = (None, *(level.word for level in Level))  # by number; no level has none
