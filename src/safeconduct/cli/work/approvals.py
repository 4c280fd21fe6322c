"""Shows calls that wait for an operator, and says yes or no to them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from safeconduct import approvals, people
from safeconduct.approvals import MOST_REASON, Approval
from safeconduct.cli.failures import Failed
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import Desk, at_desk, run
from safeconduct.core.model import SubjectId
from safeconduct.core.printing import spelled
from safeconduct.core.sealed_calls import SealedCalls

_LONGEST_VALUE = 60
_LIST = "safeconduct approvals list"


def list_approvals(asked: Asked, *, everything: bool) -> None:
    """Print the requests, those that wait with what they say; that is on record first."""
    columns = (
        "id",
        "person",
        "agent",
        "server",
        "name",
        "level",
        "role",
        "purpose",
        "beside",
        "says",
    )
    more = ("state", "decided_by", "reason") if everything else ("expires",)
    asked.out.rows(
        run(lambda: _listed(asked, everything=everything)),
        *(*columns, *more),
        nothing="Nothing was asked yet." if everything else "No call waits for an approval.",
    )


def show(asked: Asked, approval: str) -> None:
    """Print one request with everything the call says; that is on record first.

    Raises:
        Failed: If there is no such request.
    """
    row = run(lambda: _shown(asked, approval))
    if asked.as_json:
        asked.out.value(row)
        return
    for name, value in row.items():
        if name not in {"arguments", "beside", "says", "call"}:
            asked.out.line(f"{name.replace('_', ' ')}: {'-' if value is None else value}")
    asked.out.line("the call:")
    if row["call"] is None:
        asked.out.line("  It was not kept, or cannot be opened here. What there is of it:")
        for each in row["arguments"]:
            asked.out.line(f"  {each}")
        return
    if row["beside"]:
        asked.out.line(f"  (beside its arguments it says: {', '.join(row['beside'])})")
    for line in json.dumps(row["call"], indent=2, ensure_ascii=False).split("\n"):
        asked.out.line(f"  {spelled(line)}")


def decide(asked: Asked, approval: str, *, approve: bool, reason: str | None) -> None:
    """Say yes or no.

    Raises:
        Failed: If there is no such request, or it does not wait any more.
    """
    if reason is not None and not 0 < len(reason.strip()) <= MOST_REASON:
        raise Failed(f"The reason is a text of 1 to {MOST_REASON} characters.")
    decided = run(lambda: _decided(asked, approval, approve=approve, reason=reason))
    if approve:
        said = (
            f"Approved. The call goes through once; if its agent has given up waiting, it may "
            f"make the same call again until {decided.expires_at:%H:%M:%S} UTC."
        )
    else:
        said = "Refused. The agent is told why."
    asked.out.sentence(said, id=approval, state=decided.state, expires=decided.expires_at)


async def _decided(asked: Asked, name: str, *, approve: bool, reason: str | None) -> Approval:
    async with at_desk(asked) as desk:
        queue, host = desk.parts.approvals, desk.host.key
        done = await queue.decide(host, name, approve=approve, by=desk.by, reason=reason)
        found = await queue.get(host, name)
        if found is None:
            raise Failed(f"Host {host} has no such request. See: {_LIST}")
        if not done:
            state = _state(found, desk.parts.clock.now())
            by = "" if found.decided_by is None else f" (decided by {found.decided_by})"
            raise Failed(f"This request is {state} already{by}; nothing was changed.")
        return found


async def _listed(asked: Asked, *, everything: bool) -> list[dict[str, Any]]:
    async with at_desk(asked) as desk:
        host, now = desk.host.key, desk.parts.clock.now()
        async with desk.parts.database.read() as tx:
            found = (
                await approvals.every(tx, host)
                if everything
                else await approvals.waiting(tx, host, at=now)
            )
        emails = await _emails(desk)
        return [
            _row(each, emails, now) | _content(desk, each, look=_state(each, now) == "pending")
            for each in found
        ]


async def _shown(asked: Asked, name: str) -> dict[str, Any]:
    async with at_desk(asked) as desk:
        found = await desk.parts.approvals.get(desk.host.key, name)
        if found is None:
            raise Failed(f"Host {desk.host.key} has no such request. See: {_LIST}")
        emails, now = await _emails(desk), desk.parts.clock.now()
        return _row(found, emails, now) | _content(desk, found, look=True)


def _content(desk: Desk, approval: Approval, *, look: bool) -> dict[str, Any]:
    """Return what the call of a request says, once it is on record that somebody looks."""
    if not look:
        return {"call": None, "says": None, "beside": None}
    desk.parts.approvals.read(approval, by=desk.by)
    sealed = SealedCalls(desk.parts.root_key)
    call = sealed.open(approval.host, approval.id, approval.sealed)
    if call is None:
        says = [f"{name}: {it}" for name, it in approval.arguments.items()]
        return {"call": None, "says": says, "beside": None}
    arguments = call.params.get("arguments")
    spoken = arguments if isinstance(arguments, dict) else {}
    beside = {
        name: value
        for name, value in call.params.items()
        if value is not spoken and not (name in {"name", "uri"} and value == approval.name)
    } | {f"_meta.{name}": value for name, value in call.meta.items()}
    return {
        "call": {"params": call.params, "meta": call.meta},
        "says": [f"{name}={_brief(value)}" for name, value in spoken.items()],
        "beside": [f"{name}={_brief(value)}" for name, value in beside.items()],
    }


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


async def _emails(desk: Desk) -> dict[SubjectId, str]:
    async with desk.parts.database.read() as tx:
        return {each.id: each.email for each in await people.every(tx, desk.host.key)}


def _row(approval: Approval, emails: dict[SubjectId, str], now: datetime) -> dict[str, Any]:
    return {
        "id": approval.id,
        "person": emails.get(approval.subject, approval.subject),
        "agent": approval.client,
        "server": approval.server,
        "method": approval.method,
        "name": approval.name,
        "level": None if approval.level is None else approval.level.word,
        "role": approval.role,
        "purpose": approval.purpose,
        "workflow": approval.workflow,
        "arguments": [f"{name}: {shape}" for name, shape in approval.arguments.items()],
        "session": approval.session,
        "decision_id": approval.decision_id,
        "asked": approval.asked_at,
        "expires": approval.expires_at,
        "state": _state(approval, now),
        "decided_by": approval.decided_by,
        "decided": approval.decided_at,
        "reason": approval.reason,
    }


def _state(approval: Approval, now: datetime) -> str:
    """Return what a request is by now; the row may not have been touched since it ran out."""
    late = approval.state == "pending" and approval.expires_at <= now
    return "expired" if late else approval.state
