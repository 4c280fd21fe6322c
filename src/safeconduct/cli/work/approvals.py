"""Shows calls that wait for an operator, and says yes or no to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from safeconduct import approvals, people
from safeconduct.approvals import MOST_REASON, Approval
from safeconduct.cli.failures import Failed
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import Desk, at_desk, run
from safeconduct.core.model import SubjectId


def list_approvals(asked: Asked, *, everything: bool) -> None:
    """Print the requests."""
    columns = ("id", "person", "agent", "server", "name", "level", "role", "arguments")
    more = ("state", "decided_by", "reason") if everything else ("expires",)
    asked.out.rows(
        run(lambda: _listed(asked, everything=everything)),
        *(*columns, *more),
        nothing="Nothing was asked yet." if everything else "No call waits for an approval.",
    )


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
            raise Failed(f"Host {host} has no such request. See: safeconduct approvals list")
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
        return [_row(each, emails, now) for each in found]


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
