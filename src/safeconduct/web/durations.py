"""How long a consent may last: what is offered, and what a choice means."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from safeconduct.core.errors import Code, Refused
from safeconduct.hosts import ConsentPolicy

CUSTOM = "Custom"
UNTIL_REVOKED = "Until revoked"
_SPANS = {
    "1 hour": timedelta(hours=1),
    "1 day": timedelta(days=1),
    "1 week": timedelta(weeks=1),
    "30 days": timedelta(days=30),
    "90 days": timedelta(days=90),
}
_DEFAULT = "90 days"
# What a datetime-local field sends (HTML, section 2.3.5.5): no offset.
_LOCAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?")


def offered(policy: ConsentPolicy) -> list[str]:
    """Return the choices of a host, shortest first."""
    longest = timedelta(days=policy.longest_days)
    spans = [name for name, span in _SPANS.items() if span <= longest]
    return [*spans, CUSTOM, *([UNTIL_REVOKED] if policy.until_revoked else [])]


def default(policy: ConsentPolicy) -> str:
    """Return 90 days, or the longest a host allows below that."""
    choices = offered(policy)
    if _DEFAULT in choices:
        return _DEFAULT
    spans = [choice for choice in choices if choice in _SPANS]
    return spans[-1] if spans else CUSTOM


def ends_at(choice: str, until: str, *, policy: ConsentPolicy, now: datetime) -> datetime | None:
    """Return when a consent ends, or None for until revoked.

    Args:
        choice: One of `offered`.
        until: For `Custom`, what a `datetime-local` field sends; read as UTC.
        policy: What the host allows.
        now: The present.

    Raises:
        Refused: INVALID_PARAMS, with what to do, if the choice is not one.
    """
    if choice not in offered(policy):
        raise Refused(Code.INVALID_PARAMS, "Choose a duration from the list.")
    if choice == UNTIL_REVOKED:
        return None
    if choice in _SPANS:
        return now + _SPANS[choice]
    return _custom(until, policy=policy, now=now)


def _custom(until: str, *, policy: ConsentPolicy, now: datetime) -> datetime:
    try:
        if _LOCAL.fullmatch(until) is None:
            raise ValueError(until)  # noqa: TRY301  one answer for both ways of being no time
        end = datetime.fromisoformat(until).replace(tzinfo=UTC)
    except ValueError as error:
        raise Refused(
            Code.INVALID_PARAMS, "Enter the date and time until which it lasts."
        ) from error
    if end <= now:
        raise Refused(Code.INVALID_PARAMS, "Choose a time in the future.")
    if end > now + timedelta(days=policy.longest_days):
        raise Refused(
            Code.INVALID_PARAMS,
            f"Choose a time within {policy.longest_days} days. An admin set that limit.",
        )
    return end
