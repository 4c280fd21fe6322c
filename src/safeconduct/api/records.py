"""What is written down about questions: who asked, about whom and what, and what was answered.

A record is there before its answer is given. A search is one record, not one for each thing it
looked at: nothing was asked about those.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from safeconduct.api.judging import Judged
from safeconduct.api.questions import Search
from safeconduct.audit import (
    MOST_NAMES,
    Event,
    Keeping,
    Kept,
    SealedArguments,
    Trail,
    redacted_shape,
)
from safeconduct.core.model import Level, Value
from safeconduct.hosts import Host
from safeconduct.policy import Device
from safeconduct.telemetry import Metrics

_LONGEST = 200
_REFUSED_NAMES = 16
_ENCODER = msgspec.json.Encoder()


class Asking(Value, frozen=True):
    """One request of an enforcement point.

    Attributes:
        point: Its id.
        device: From where it came.
        request_id: How the enforcement point calls the request, if it does.
        began: `time.perf_counter()` at its beginning.
    """

    host: Host
    point: str
    device: Device
    request_id: str | None
    began: float


class Checks:
    """Writes the entries of questions."""

    def __init__(self, trail: Trail, metrics: Metrics, arguments: SealedArguments) -> None:
        self._trail = trail
        self._metrics = metrics
        self._keeping = Keeping(arguments)

    async def answered(self, asking: Asking, answers: Sequence[Judged]) -> None:
        """Record answers; when this returns, they may be given.

        Raises:
            AuditUnavailable: If one cannot be written; then none may be given.
        """
        for judged in answers:
            self._trail.append(self._event(asking, judged))
        critical = any(each.decision.required_level is Level.HIGH for each in answers)
        await self._trail.settled(critical=critical)
        for judged in answers:  # an answer that is not on record is not given
            self._metrics.decided(allow=judged.decision.allow)

    async def searched(self, asking: Asking, search: Search, *, looked_at: int, found: int) -> None:
        """Record a search; when this returns, its results may be given.

        Raises:
            AuditUnavailable: If it cannot be written.
        """
        question = search.question
        self._trail.append(
            Event(
                kind="check.searched",
                host=asking.host.key,
                method=question.action or None,
                resource_kind=question.resource.type,
                resource=question.resource.id or None,
                ip=asking.device.ip,
                user_agent=asking.device.user_agent or None,
                request_id=asking.request_id,
                ms=_since(asking),
                detail={
                    "enforcement_point": asking.point,
                    "sought": search.sought,
                    "subject": _subject(question.subject.type, question.subject.id),
                    "looked_at": looked_at,
                    "found": found,
                },
            )
        )
        await self._trail.settled()

    def _event(self, asking: Asking, judged: Judged) -> Event:
        question, decision, party = judged.question, judged.decision, judged.party
        human, arguments, intent = party.person, judged.arguments, judged.intent
        sealed, facts, omitted = self._kept(asking, judged)
        return Event(
            kind="check.allowed" if decision.allow else "check.denied",
            host=asking.host.key,
            subject=None if human is None else human.id,
            client=party.client.id or None,
            client_name=party.client.name or None,
            workflow=None if intent is None or intent.workflow is UNSET else intent.workflow,
            session=judged.session,
            token_id=judged.token_id,
            scope=judged.scope,
            server=judged.server,
            method=question.action,
            resource_kind=question.resource.type,
            resource=question.resource.id,
            arguments=_shape(arguments, allowed=decision.allow),
            decision="allow" if decision.allow else "deny",
            decision_id=decision.id,
            reason=decision.reason,
            required_level=_word(decision.required_level),
            effective_level=_word(decision.effective_level),
            bundle=decision.bundle or None,
            rules=decision.rules or None,
            obligations=decision.obligations or None,
            facts=msgspec.Raw(facts) if facts else None,
            sealed_arguments=sealed,
            omitted=omitted,
            ms=_since(asking),
            ip=asking.device.ip,
            user_agent=asking.device.user_agent or None,
            request_id=asking.request_id,
            detail=_detail(asking, judged),
        )

    def _kept(self, asking: Asking, judged: Judged) -> Kept:
        """Say what the record holds of the arguments and facts of one answer."""
        decision, host, who = judged.decision, asking.host.key, asking.point
        given = b""
        if judged.arguments:
            with contextlib.suppress(ValueError, TypeError):  # no JSON: that was a deny
                given = _ENCODER.encode(judged.arguments)
        if decision.allow:
            return self._keeping.allowed(host, who, "", given, decision.basis)
        ip = asking.device.ip
        return self._keeping.refused(host, who, "", given, decision.basis, ip=ip)


def _shape(arguments: Mapping[str, Any] | None, *, allowed: bool) -> dict[str, str] | None:
    if not arguments:
        return None
    return redacted_shape(arguments, most=MOST_NAMES if allowed else _REFUSED_NAMES)


def _detail(asking: Asking, judged: Judged) -> dict[str, Any]:
    subject = judged.question.subject
    detail: dict[str, Any] = {
        "enforcement_point": asking.point,
        "subject": _subject(subject.type, subject.id),
    }
    if judged.path:
        detail["path"] = list(judged.path)
    return detail


def _subject(kind: str, identity: str) -> str:
    return f"{kind}:{identity}"[:_LONGEST]


def _since(asking: Asking) -> float:
    return round((time.perf_counter() - asking.began) * 1000, 3)


def _word(level: Level | None) -> str | None:
    return None if level is None else level.word
