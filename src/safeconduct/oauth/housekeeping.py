"""Throws away what can no longer mean anything: late asks, codes, tokens, unused clients."""

from __future__ import annotations

from datetime import datetime, timedelta

from safeconduct import sessions
from safeconduct.audit import Event, Trail
from safeconduct.core.clock import Clock
from safeconduct.core.model import HostId, SessionId
from safeconduct.oauth import asks, assertions, registry, store
from safeconduct.oauth.registration import UNUSED_FOR
from safeconduct.oauth.revocations import end_family
from safeconduct.storage import Database, Write

_KEPT = timedelta(hours=1)
_UNUSED = "code.unused"
_RESTED = timedelta(days=120)


class Housekeeping:
    """Cleans up the authorization server's tables, for every host."""

    def __init__(self, database: Database, *, trail: Trail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock

    async def clean(self) -> None:
        """Clean up once; call it every few minutes, in any process."""
        now = self._clock.now()
        async with self._database.write() as tx:
            for host, session in await store.late_codes(tx, at=now):
                await self._end(tx, host, session)
            await store.forget_late(tx, before=now - _KEPT)
            await asks.forget_late(tx, before=now - _KEPT)
            await assertions.forget_late(tx, before=now)
            await self._forget_clients(tx)

    async def _end(self, tx: Write, host: HostId, session_id: SessionId) -> None:
        """End the session of a code: nobody came for it, so nobody ever used the session."""
        session = await sessions.by_id(tx, host, session_id)
        if session is not None and session.ended_at is None:
            self._trail.append(
                Event(
                    kind="session.ended",
                    host=host,
                    subject=session.subject,
                    client=session.client,
                    session=session.id,
                    server=session.server,
                    reason=_UNUSED,
                )
            )
        await end_family(tx, host, session_id, clock=self._clock, because=_UNUSED)

    async def _forget_clients(self, tx: Write) -> None:
        """Forget clients, but none with a live session and none that was used lately."""
        now = self._clock.now()
        # Anybody can bring documents; one that nobody consented to can be fetched again.
        await self._forget_unused(tx, "dynamic", before=now - UNUSED_FOR)
        await self._forget_unused(tx, "document", before=now - _KEPT)
        for host, client in await registry.resting(tx, since=now - _RESTED):
            if not await sessions.live(tx, host, at=now, client=client):
                await registry.remove(tx, host, client)

    async def _forget_unused(self, tx: Write, kind: registry.Kind, *, before: datetime) -> None:
        for host in await registry.hosts_with_unused(tx, before=before, kind=kind):
            await registry.forget_unused(tx, host, before=before, kind=kind)
