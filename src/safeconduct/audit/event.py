"""What is written down: one event, said in the gateway's own words.

Absent members are omitted from the record, so a record holds what was known and nothing
else. No member may hold a secret: tokens appear as ids, arguments as shapes and digests.
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.model import (
    ClientId,
    ConsentId,
    HostId,
    ServerKey,
    SessionId,
    SubjectId,
    Value,
)

# The host of events that concern the installation and no tenant; no tenant reads them.
INSTALLATION = HostId("")


class AuditUnavailable(GatewayError):
    """The record cannot be written, so what it would have recorded must not happen."""

    code = Code.UNAVAILABLE

    def __init__(self, *detail: object) -> None:
        super().__init__(
            "The audit trail cannot be written, so nothing was done. Try again shortly; the"
            " gateway's log and /readyz say why.",
            *detail,
        )


class Event(Value, frozen=True, omit_defaults=True):
    """One thing that happened on a host.

    Attributes:
        kind: What happened, as `noun.verb`: `call.intent`, `call.outcome`, `call.denied`,
            `sign_in`, `sign_in.failed`, `consent.granted`, `session.opened` and so on.
        host: The tenant, or INSTALLATION.
        subject: The person whose authority was used; an operator, for administration.
        client: The agent, by its OAuth client id.
        actor_chain: Actors between the person and the client, nearest first (RFC 8693 `act`).
        token_id: Names the token without being it.
        method: The MCP method or the endpoint.
        arguments: The shape of the arguments, see `redacted_shape`; never their values.
        body_sha256: Digest of the exact bytes that were judged and forwarded.
        decision: `allow`, `deny`, `error` or `pending`.
        rules: Ids of the rules that matched.
        required_level: Levels are words: `low`, `medium`, `high`.
        bundle: Digest of the rules and data that decided.
        obligations: What the allow depended on.
        facts: What the decision was computed from, but for the arguments.
        sealed_arguments: The arguments, encrypted for the installation: with the facts and the
            bundle, the decision can be computed again. See `SealedArguments`.
        unfit: What of the arguments, or of the result, does not fit the schema of the tool: a
            place and a type, without any value.
        omitted: What is left out although there was some, and why; see `Keeping`.
        of: Id of the intent this outcome closes.
        outcome: `ok`, `tool_error`, `rpc_error`, `upstream_failed`, `cancelled` and so on.
        ms: Milliseconds from the request's first byte to this record.
    """

    kind: str
    host: HostId
    # who
    subject: SubjectId | None = None
    subject_email: str | None = None
    client: ClientId | None = None
    client_name: str | None = None
    agent_fingerprint: str | None = None
    workflow: str | None = None
    actor_chain: tuple[str, ...] | None = None
    session: SessionId | None = None
    consent: ConsentId | None = None
    token_id: str | None = None
    # what
    server: ServerKey | None = None
    method: str | None = None
    resource_kind: str | None = None
    resource: str | None = None
    scope: str | None = None
    arguments: dict[str, str] | None = None
    body_sha256: str | None = None
    tool_hash: str | None = None
    # decision
    decision: str | None = None
    decision_id: str | None = None
    reason: str | None = None
    rules: tuple[str, ...] | None = None
    required_level: str | None = None
    granted_level: str | None = None
    ceiling: str | None = None
    effective_level: str | None = None
    approval: str | None = None
    bundle: str | None = None
    obligations: tuple[Any, ...] | None = None
    facts: msgspec.Raw | None = None
    sealed_arguments: str | None = None
    unfit: str | None = None
    omitted: dict[str, str] | None = None
    decision_ms: float | None = None
    # outcome
    of: str | None = None
    outcome: str | None = None
    upstream_status: int | None = None
    bytes_out: int | None = None
    ms: float | None = None
    # where
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    detail: dict[str, Any] | None = None
