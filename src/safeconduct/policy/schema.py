"""The input document as a type, and the JSON schema that is published of it.

What rules see as `input` is a contract with hosts: docs/policy-input.schema.json is this
module's text, and a test reads every document that is written against it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeconduct.core.decision import Word
from safeconduct.core.model import Caller, ConsentId, Intent, Phase, Resource, Value
from safeconduct.policy.facts import (
    ClientFacts,
    Environment,
    RelationFact,
    SessionFacts,
    SubjectFacts,
    ToolState,
)


class ConsentInput(Value, frozen=True):
    """What this person allowed this agent on this server.

    Attributes:
        live: Not revoked and not expired.
        granted_at: RFC 3339.
        expires_at: RFC 3339, or null for "until revoked".
    """

    id: ConsentId
    level: Word
    live: bool
    granted_at: str
    expires_at: str | None


class ToolInput(Value, frozen=True):
    """The thing asked for, as the host's catalogue knows it."""

    known: bool
    enabled: bool
    state: ToolState
    level: Word


class PolicyInput(Value, frozen=True):
    """Everything a rule may read.

    Attributes:
        phase: Why the question is put.
        caller: Subject and actor, as ids.
        action: The MCP method, or `oauth/token`.
        resource: What the method is aimed at.
        arguments: The call's arguments; empty where there is no call.
        ceiling: The highest level an admin lets this person grant here, or null.
        relations: Answers to the bindings' questions and the host's own.
        intent: What the agent declared its use to be for, or null. Inputs recorded before there
            were declarations lack it.
    """

    phase: Phase
    caller: Caller
    action: str
    resource: Resource
    arguments: dict[str, Any]
    subject: SubjectFacts
    client: ClientFacts
    session: SessionFacts | None
    consent: ConsentInput | None
    ceiling: Word | None
    tool: ToolInput
    relations: tuple[RelationFact, ...]
    environment: Environment
    intent: Intent | None = None


def input_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of the input document."""
    schema = msgspec.json.schema(PolicyInput)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "input", **schema}
