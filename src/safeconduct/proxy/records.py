"""What the road writes down: intent before effect, outcome after, refusals always.

`durability` is the trail's; a call of level high waits for the disk whatever it is.
"""

from __future__ import annotations

from safeconduct.audit import Event, Keeping, SealedArguments, Trail
from safeconduct.core.decision import Decision
from safeconduct.core.model import Level
from safeconduct.proxy.calls import Call
from safeconduct.proxy.entries import Ended, decided, since
from safeconduct.telemetry import Metrics

_HIGH = Level.HIGH


class Records:
    """Writes the entries of calls."""

    def __init__(self, trail: Trail, metrics: Metrics, arguments: SealedArguments) -> None:
        self._trail = trail
        self._patient = trail.durability == "disk"
        self._metrics = metrics
        self._keeping = Keeping(arguments)

    async def intent(self, call: Call, decision: Decision) -> str:
        """Record a decision; when this returns, it may have its effect.

        Returns:
            The record's id, or "" for an allowed message that leaves no record.

        Raises:
            AuditUnavailable: If it cannot be written; then nothing may happen.
        """
        if decision.allow and not call.row.recorded:
            self._metrics.decided(allow=True)
            return ""
        record = self._append(call, decision, "call.intent")
        if self._patient or decision.required_level is _HIGH:
            await self._trail.settled(critical=decision.required_level is _HIGH)
        self._metrics.decided(allow=decision.allow)  # what is not on record does not happen
        return record

    async def resumed(self, call: Call, decision: Decision) -> str:
        """Record the decision on a call that was held, beside its intent, as `intent` does."""
        record = self._append(call, decision, "call.resumed")
        await self._trail.settled(critical=decision.required_level is _HIGH)
        self._metrics.decided(allow=decision.allow)
        return record

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

    def misfit(self, call: Call, problem: str) -> None:
        """Record that a result is not what its tool promises, by the end of the loop's turn."""
        self._trail.note(
            Event(
                kind="call.unfit",
                host=call.caller.host,
                subject=call.caller.subject,
                client=call.caller.client,
                session=call.caller.session,
                server=call.server.key,
                method=call.message.method,
                resource=call.message.name or None,
                decision_id=None if call.decision is None else call.decision.id,
                unfit=problem,
                request_id=call.exchange.id,
            )
        )

    def outcome(
        self,
        call: Call,
        record: str,
        outcome: str,
        *,
        status: int | None = None,
        sent: int = 0,
    ) -> None:
        """Record how an intent ended, by the end of the event loop's turn.

        An intent that never ends this way is evidence too.
        """
        if not record:
            return
        exchange, caller, message = call.exchange, call.caller, call.message
        milliseconds = since(exchange.began)
        self._metrics.ended(outcome, milliseconds)
        self._trail.note(
            Ended(
                "call.outcome",
                caller.host,
                caller.subject,
                caller.client,
                caller.session,
                call.server.key,
                message.method,
                message.name or None,
                record,
                outcome,
                status,
                sent,
                milliseconds,
                exchange.id,
            )
        )

    def _append(self, call: Call, decision: Decision, kind: str) -> str:
        arguments, caller, keeping = call.message.arguments, call.caller, self._keeping
        given = decision.arguments if arguments else b""
        host, who, agent = caller.host, caller.subject, caller.client
        if decision.allow:
            kept = keeping.allowed(host, who, agent, given, decision.basis)
        else:
            ip = call.exchange.ip
            kept = keeping.refused(host, who, agent, given, decision.basis, ip=ip)
        return self._trail.append(decided(call, decision, kind, arguments, kept))
