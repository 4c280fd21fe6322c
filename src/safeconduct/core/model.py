"""The nouns of the gateway: who asks, for what, and what was decided.

Frozen values only - no I/O, no clock, no database. Field names follow AuthZEN 1.0
(subject, action, resource, context); `actor` follows RFC 8693 section 4.1 (`act`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NewType

import msgspec

HostId = NewType("HostId", str)
SubjectId = NewType("SubjectId", str)
ClientId = NewType("ClientId", str)
ServerKey = NewType("ServerKey", str)
SessionId = NewType("SessionId", str)
ConsentId = NewType("ConsentId", str)


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every value that crosses a boundary: immutable, keyword-only, strict.

    Subclasses repeat `frozen=True`: at run time it is inherited, but type checkers want
    to read it.
    """


class Level(IntEnum):
    """How much a tool can do, and how much a person lets an agent do. Levels are ordered.

    low reads, medium writes, high destroys; each includes the ones below it.
    """

    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def word(self) -> str:
        """The level as people, policies and records spell it: `low`, `medium` or `high`."""
        return _WORDS[self]

    @classmethod
    def parse(cls, word: str) -> Level:
        """Read a level's word.

        Raises:
            ValueError: If the word is not exactly `low`, `medium` or `high`.
        """
        for level, spelled in _WORDS.items():
            if word == spelled:
                return level
        raise ValueError(f"{word!r} is not a level; use low, medium or high")


_WORDS = {Level.LOW: "low", Level.MEDIUM: "medium", Level.HIGH: "high"}


class Caller(Value, frozen=True):
    """Who stands behind a call, derived from a live session and nothing else.

    Attributes:
        host: The tenant the session belongs to.
        subject: The person whose authority is used.
        client: The OAuth client (the agent) acting for that person.
        session: The live connection under the person's consent.
        server: The one upstream the session was opened for.
    """

    host: HostId
    subject: SubjectId
    client: ClientId
    session: SessionId
    server: ServerKey


class Resource(Value, frozen=True):
    """What is acted on: a tool, a resource or a prompt of a server, or the server itself.

    Attributes:
        kind: `tool`, `resource`, `prompt` or `server`.
        server: The upstream's key.
        name: The tool's or prompt's name, the resource's URI, or "" for the server itself.
    """

    kind: str
    server: ServerKey
    name: str = ""


class AccessRequest(Value, frozen=True):
    """One question to the PDP, in AuthZEN's terms.

    Attributes:
        caller: Subject and actor.
        action: The MCP method, such as `tools/call`.
        resource: What the method is aimed at.
        arguments: The call's arguments, as parsed; policies may read them.
    """

    caller: Caller
    action: str
    resource: Resource
    arguments: dict[str, Any] | None = None


class Decision(Value, frozen=True):
    """The PDP's answer.

    `allow` has no default: nobody becomes allowed by leaving a field out.

    Attributes:
        id: Names this decision in the log and in the caller's error.
        allow: Whether the call may go on.
        reason: Stable machine text, such as `ceiling.exceeded`.
        message: One sentence for the reader: what happened and what to do next.
        required_level: Level the action needs, or None where levels do not apply.
        effective_level: min(granted, ceiling) of this caller, or None when there is none.
        step_up: True only where the person could raise the level by consenting again:
            the ceiling allows it and the consent does not.
        bundle: Digest of the rules and data that decided.
    """

    id: str
    allow: bool
    reason: str
    message: str
    bundle: str
    required_level: Level | None = None
    effective_level: Level | None = None
    step_up: bool = False
