"""The nouns of the gateway: who asks, for what, and what was decided.

Frozen values only - no I/O, no clock, no database. Field names follow AuthZEN 1.0
(subject, action, resource, context); `actor` follows RFC 8693 section 4.1 (`act`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Literal, NewType

import msgspec
from msgspec import UNSET, Meta, UnsetType

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


class Intent(Value, frozen=True):
    """What an agent declares its use to be for: said of itself, and proof of nothing.

    What it does not say is left out, so that to rules it is undefined and never a text.

    Attributes:
        purpose: What is to come of it.
        workflow: The undertaking that it is a part of.
    """

    purpose: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    workflow: Annotated[str, Meta(min_length=1, max_length=100)] | UnsetType = UNSET

    @classmethod
    def parse(cls, said: object) -> Intent | None:
        """Read a declaration; None if it is an object that declares nothing.

        Raises:
            ValueError: If it is anything but an object of these texts, printable and not blank:
                they are shown to people and stand in records.
        """
        intent = msgspec.convert(said, cls)
        texts = [text for text in (intent.purpose, intent.workflow) if text is not UNSET]
        if not all(text.isprintable() and text.strip() for text in texts):
            raise ValueError("an intent is printable text")
        return intent if texts else None


Whose = Literal["person", "agent"]  # permission, where one is asked about
Phase = Literal["call", "list", "stream", "token", "check"]


class AccessRequest(Value, frozen=True):
    """One question to the PDP, in AuthZEN's terms.

    Attributes:
        caller: Subject and actor.
        action: The MCP method, such as `tools/call`.
        resource: What the method is aimed at.
        arguments: The call's arguments, as parsed; policies may read them. None where there
            is no call, as for an item of a list.
        phase: Why the question is put: a `call`, an item of a `list`, an open `stream` once
            more, a `token` to be issued, or a `check` by another enforcement point.
        intent: What the agent declared with it, if anything.
    """

    caller: Caller
    action: str
    resource: Resource
    arguments: dict[str, Any] | None = None
    phase: Phase = "call"
    intent: Intent | None = None
