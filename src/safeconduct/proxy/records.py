"""What the road writes down: intent before effect, outcome after, refusals always.

`durability` is the trail's; a call of level high waits for the disk whatever it is.
"""

from __future__ import annotations

import hashlib
import time

import msgspec

from safeconduct.audit import Event, SealedArguments, Trail, redacted_shape
from safeconduct.core.decision import Decision
from safeconduct.core.model import Level
from safeconduct.proxy.calls import Call
from safeconduct.telemetry import Metrics

_MAX_USER_AGENT = 200


class Records:
    """Writes the entries of calls."""

    def __init__(self, trail: Trail, metrics: Metrics, arguments: SealedArguments) -> None:
        self._trail = trail
        self._metrics = metrics
        self._arguments = arguments

    async def intent(self, call: Call, decision: Decision) -> str:
        """Record a decision; when this returns, it may have its effect.

        Returns:
            The record's id, or "" for an allowed message that leaves no record.

        Raises:
            AuditUnavailable: If it cannot be written; then nothing may happen.
        """
        self._metrics.decided(allow=decision.allow)
        if decision.allow and not call.row.recorded:
            return ""
        return await self._decided(call, decision, "call.intent")

    async def resumed(self, call: Call, decision: Decision) -> str:
        """Record the decision on a call that was held, beside its intent, as `intent` does."""
        self._metrics.decided(allow=decision.allow)
        return await self._decided(call, decision, "call.resumed")

    def _sealed(self, call: Call, decision: Decision) -> str | None:
        if not call.message.arguments or not decision.arguments:
            return None
        return self._arguments.sealed_json(call.caller.host, decision.arguments)

    def notified(self, call: Call, decision: Decision, about: str) -> None:
        """Record that somebody should hear of a call, as its policy obliges to.

        Raises:
            AuditUnavailable: If it cannot be written; then nothing may happen.
        """
        self._trail.append(
            Event(
                kind="call.notified",
                host=call.caller.host,
                subject=call.caller.subject,
                client=call.caller.client,
                session=call.caller.session,
                server=call.server.key,
                method=call.message.method,
                resource=call.message.name or None,
                decision_id=decision.id,
                detail={"about": about},
                request_id=call.exchange.id,
            )
        )

    def outcome(
        self, call: Call, record: str, outcome: str, *, status: int | None = None, sent: int = 0
    ) -> None:
        """Record how an intent ended; one that never ends this way is evidence too."""
        if not record:
            return
        milliseconds = _since(call)
        self._metrics.ended(outcome, milliseconds)
        self._trail.append(
            Event(
                kind="call.outcome",
                host=call.caller.host,
                subject=call.caller.subject,
                client=call.caller.client,
                session=call.caller.session,
                server=call.server.key,
                method=call.message.method,
                resource=call.message.name or None,
                of=record,
                outcome=outcome,
                upstream_status=status,
                bytes_out=sent,
                ms=milliseconds,
                request_id=call.exchange.id,
            )
        )

    async def _decided(self, call: Call, decision: Decision, kind: str) -> str:
        record = self._trail.append(self._event(call, decision, kind))
        await self._trail.settled(critical=decision.required_level is Level.HIGH)
        return record

    def _event(self, call: Call, decision: Decision, kind: str) -> Event:
        message, agent = call.message, call.exchange.headers.text(b"user-agent")
        return Event(
            kind=kind if decision.allow else "call.denied",
            host=call.caller.host,
            subject=call.caller.subject,
            client=call.caller.client,
            client_name=call.client.name,
            session=call.caller.session,
            server=call.server.key,
            method=message.method,
            resource_kind=call.row.kind,
            resource=message.name or None,
            arguments=redacted_shape(message.arguments) if message.arguments else None,
            body_sha256=hashlib.sha256(message.raw).hexdigest(),
            decision="allow" if decision.allow else "deny",
            decision_id=decision.id,
            reason=decision.reason,
            required_level=_word(decision.required_level),
            effective_level=_word(decision.effective_level),
            bundle=decision.bundle,
            rules=decision.rules or None,
            obligations=decision.obligations or None,
            facts=msgspec.Raw(decision.basis) if decision.basis else None,
            sealed_arguments=self._sealed(call, decision),
            ms=_since(call),
            ip=call.exchange.ip,
            user_agent=agent[:_MAX_USER_AGENT] if agent else None,
            request_id=call.exchange.id,
        )


def _since(call: Call) -> float:
    return round((time.perf_counter() - call.exchange.began) * 1000, 3)


def _word(level: Level | None) -> str | None:
    return None if level is None else level.word
