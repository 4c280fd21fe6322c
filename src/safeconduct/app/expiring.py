"""Ends what ran out, and writes it down: a session past its limits grants nothing already.

Decisions never wait for this. It makes the end visible in the log and cuts streams that
would otherwise notice at their next keep-alive.
"""

from __future__ import annotations

from datetime import timedelta

from safeconduct import relations, sessions
from safeconduct.app.building import Installation
from safeconduct.audit import Event

_TUPLES = 1000  # at a time
_APPROVALS_KEPT = timedelta(days=90)


class Expiring:
    """Ends sessions and requests for approval past their limits, and forgets expired relations."""

    def __init__(self, parts: Installation) -> None:
        self._parts = parts

    async def end_what_ran_out(self) -> int:
        """End them; returns how many sessions there were."""
        parts, now = self._parts, self._parts.clock.now()
        async with parts.database.write() as tx:
            found = await sessions.run_out(tx, at=now)
            for session in found:
                because = "absolute limit" if session.ends_at <= now else "idle limit"
                parts.trail.append(
                    Event(
                        kind="session.ended",
                        host=session.host,
                        subject=session.subject,
                        client=session.client,
                        session=session.id,
                        server=session.server,
                        reason=because,
                    )
                )
                await sessions.end(tx, session.host, session.id, at=now, because=because)
            gone = await relations.expired(tx, at=now, most=_TUPLES)
            for host, edge in gone:
                await relations.remove(tx, host, edge)
        await parts.approvals.expire()
        await parts.approvals.forget(before=now - _APPROVALS_KEPT)
        return len(found)
