"""The AuthZEN Authorization API 1.0: evaluation, evaluations and search, without any HTTP.

Nothing is decided here. Questions are read, judged one after the other, written down, and what
was decided is spelled as the specification spells it. Sections are those of
https://openid.net/specs/authorization-api-1_0.html.
"""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import msgspec

from safeconduct.api.judging import Judge, Judged
from safeconduct.api.questions import (
    JSON,
    Batch,
    Search,
    Sought,
    read_batch,
    read_question,
    read_search,
)
from safeconduct.api.records import Asking, Checks
from safeconduct.api.searching import Searches
from safeconduct.core.decision import Decision, Obligation
from safeconduct.core.model import Level
from safeconduct.hosts import Host
from safeconduct.policy import public_reason

PATHS = {
    "access_evaluation_endpoint": "/access/v1/evaluation",
    "access_evaluations_endpoint": "/access/v1/evaluations",
    "search_subject_endpoint": "/access/v1/search/subject",
    "search_resource_endpoint": "/access/v1/search/resource",
    "search_action_endpoint": "/access/v1/search/action",
}
_OBLIGATIONS = sorted(str(each.__struct_config__.tag) for each in get_args(Obligation))
_RULE = (
    "A decision of true holds only if every obligation in its context is discharged. An "
    "enforcement point that does not know one of them, or cannot discharge it, must deny."
)


class Authzen:
    """Answers enforcement points."""

    def __init__(self, *, judge: Judge, searches: Searches, checks: Checks) -> None:
        self._judge = judge
        self._searches = searches
        self._checks = checks

    async def evaluation(self, asking: Asking, body: JSON) -> JSON:
        """Answer one question (section 6).

        Raises:
            GatewayError: If there is no answer; that is a no.
        """
        judged = await self._judge.judge(asking.host, read_question(body))
        await self._checks.answered(asking, [judged])
        return answer_of(judged.decision)

    async def evaluations(self, asking: Asking, body: JSON) -> JSON:
        """Answer several questions, or as many as it takes (section 7).

        Raises:
            GatewayError: If there is no answer to one of them; then there is to none.
        """
        batch = read_batch(body)
        answers = await self._judged(asking, batch)
        await self._checks.answered(asking, answers)
        said = [answer_of(each.decision) for each in answers]
        return said[0] if batch.single else {"evaluations": said}

    async def search(self, asking: Asking, body: JSON, sought: Sought) -> JSON:
        """Return one page of subjects, resources or actions (section 8).

        Raises:
            GatewayError: If there is no answer.
        """
        search = read_search(body, sought)
        page = await self._searches.page(asking.host, asking.point, search)
        found = len(page.results)
        await self._checks.searched(asking, search, looked_at=page.looked_at, found=found)
        return {
            "page": {"next_token": page.next_token, "count": found},
            "results": [_result(search, each) for each in page.results],
        }

    async def _judged(self, asking: Asking, batch: Batch) -> list[Judged]:
        answers: list[Judged] = []
        for question in batch.questions:
            answers.append(await self._judge.judge(asking.host, question))
            allowed = answers[-1].decision.allow
            if batch.semantic == "deny_on_first_deny" and not allowed:
                break
            if batch.semantic == "permit_on_first_permit" and allowed:
                break
            await asyncio.sleep(0)  # others may go first: a batch can take a while
        return answers


def metadata(host: Host) -> JSON:
    """Describe the host as a decision point (section 9); what is ours has a member of its own."""
    endpoints = {name: host.url(path) for name, path in PATHS.items()}
    ours = {"obligation_types": _OBLIGATIONS, "obligations": _RULE}
    return {"policy_decision_point": host.origin, **endpoints, "safeconduct": ours}


def answer_of(decision: Decision) -> JSON:
    """Spell a decision; what there is not is left out (section 13, JSON payloads)."""
    context: dict[str, Any] = {
        "reason": public_reason(decision.reason),
        "message": decision.message,
        "required_level": _word(decision.required_level),
        "effective_level": _word(decision.effective_level),
        "decision_id": decision.id,
        "obligations": msgspec.to_builtins(decision.obligations),
    }
    said = {name: value for name, value in context.items() if value is not None}
    return {"decision": decision.allow, "context": said}


def _result(search: Search, found: str) -> JSON:
    match search.sought:
        case "subject":
            return {"type": search.question.subject.type, "id": found}
        case "resource":
            return {"type": search.question.resource.type, "id": found}
        case "action":
            return {"name": found}


def _word(level: Level | None) -> str | None:
    return None if level is None else level.word
