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
    ClientId,
    ConsentId,
    Level,
    ServerKey,
    SessionId,
    SubjectId,
    Value,
)


class SubjectFacts(Value, frozen=True):
    """The person whose authority is used; attributes are whatever the directory says."""

    id: SubjectId
    email: str
    active: bool
    groups: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}


class ClientFacts(Value, frozen=True):
    """The agent acting for that person. `active` is False once an admin blocked it."""

    id: ClientId
    name: str
    active: bool


class SessionFacts(Value, frozen=True):
    """The connection the call came through, and the one server it was opened for."""

    id: SessionId
    server: ServerKey
    live: bool


class ConsentFacts(Value, frozen=True):
    """What this person allowed this agent on this server.

    Attributes:
        live: Not revoked and not expired at the time of the decision.
        expires_at: RFC 3339, or None for "until revoked".
    """

    id: ConsentId
    level: Level
    live: bool
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
    state: Literal["pinned", "changed", "new"]
    level: Level


class Environment(Value, frozen=True):
    """When and from where: RFC 3339 time, the client's address, its User-Agent."""

    time: str
    ip: str
    user_agent: str = ""


class Facts(Value, frozen=True):
    """What is true at the time of one request; nothing has a default that could allow."""

    subject: SubjectFacts
    client: ClientFacts
    session: SessionFacts | None
    consent: ConsentFacts | None
    ceiling: Level | None
    tool: ToolFacts
    environment: Environment


def document(request: AccessRequest, facts: Facts) -> bytes:
    """Write the input document: the request, the facts, and levels as words.

    Raises:
        ValueError, TypeError, msgspec.EncodeError: If an argument or attribute is not JSON.
    """
    consent, tool = facts.consent, facts.tool
    members = {
        "caller": request.caller,
        "action": request.action,
        "resource": request.resource,
        "arguments": {} if request.arguments is None else request.arguments,
        "subject": facts.subject,
        "client": facts.client,
        "session": facts.session,
        "consent": consent
        and {
            "id": consent.id,
            "level": consent.level.word,
            "live": consent.live,
            "expires_at": consent.expires_at,
        },
        "ceiling": None if facts.ceiling is None else facts.ceiling.word,
        "tool": {
            "known": tool.known,
            "enabled": tool.enabled,
            "state": tool.state,
            "level": tool.level.word,
        },
        "environment": facts.environment,
    }
    return msgspec.json.encode(members)
