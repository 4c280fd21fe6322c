"""Ends what ran out, and writes it down: what is past its time grants nothing already.

Decisions never wait for this. It makes the end visible in the log and cuts streams that
would otherwise notice at their next keep-alive.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from safeconduct import consent as consents
from safeconduct import relations, sessions
from safeconduct.app.building import Installation
from safeconduct.audit import Event
from safeconduct.sessions import Session
from safeconduct.storage import Write

_TUPLES = 1000  # at a time
_APPROVALS_KEPT = timedelta(days=90)
_EXPIRED = "expired"


class Expiring:
    """Ends sessions, consents, relations and requests for approval past their time."""

    def __init__(self, parts: Installation) -> None:
        self._parts = parts

    async def end_what_ran_out(self) -> int:
        """End them; returns how many sessions there were."""
        parts, now = self._parts, self._parts.clock.now()
        async with parts.database.write() as tx:
            found = await sessions.run_out(tx, at=now)
            for session in found:
                because = "absolute limit" if session.ends_at <= now else "idle limit"
                await self._end(tx, session, because, now)
            await self._end_consents(tx, now)
            await self._end_relations(tx, now)
        await parts.approvals.expire()
        await parts.approvals.forget(before=now - _APPROVALS_KEPT)
        return len(found)

    async def _end(self, tx: Write, session: Session, because: str, now: datetime) -> None:
        self._parts.trail.append(
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

    async def _end_consents(self, tx: Write, now: datetime) -> None:
        """Note that consents ran out, and end sessions under them that have time left."""
        for consent in await consents.run_out(tx, at=now):
            self._parts.trail.append(
                Event(
                    kind="consent.ended",
                    host=consent.host,
                    subject=consent.subject,
                    client=consent.client,
                    server=consent.server,
                    consent=consent.id,
                    reason=consents.EXPIRED,
                )
            )
            under = await sessions.live(
                tx,
                consent.host,
                at=now,
                subject=consent.subject,
                client=consent.client,
                server=consent.server,
            )
            for session in under:
                await self._end(tx, session, consents.EXPIRED, now)
            await consents.note_run_out(tx, consent)

    async def _end_relations(self, tx: Write, now: datetime) -> None:
        for host, edge in await relations.expired(tx, at=now, most=_TUPLES):
            self._parts.trail.append(
                Event(
                    kind="relation.removed",
                    host=host,
                    resource_kind="relation",
                    resource=str(edge),
                    reason=_EXPIRED,
                )
            )
            await relations.remove(tx, host, edge)
