"""Ending things: a session, a consent, an access, an agent, everything a person allowed.

Written down first; when a call returns, every view of this process knows, and every other
process finds out before its next decision. Ending a session ends its tokens.
"""

from __future__ import annotations

from collections.abc import Iterable

from safeconduct import consent as consents
from safeconduct import sessions
from safeconduct.audit import Event, Trail
from safeconduct.consent import Consent
from safeconduct.core.clock import Clock
from safeconduct.core.model import ClientId, ConsentId, HostId, ServerKey, SessionId, SubjectId
from safeconduct.oauth import store
from safeconduct.sessions import Session
from safeconduct.storage import Database, Write


class Revocations:
    """Ends what was granted, for whoever may: the page's, console's or command's business."""

    def __init__(self, database: Database, *, trail: Trail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock

    async def end_session(
        self, host: HostId, session: SessionId, *, by: str, because: str, ip: str | None = None
    ) -> bool:
        """End one session; returns False if it was not live.

        Args:
            host: The tenant's key.
            session: What to end.
            by: Who wants it, as the record shall name them.
            because: Why, in machine text such as `person.revoked`.
            ip: From where, when somebody sits there.
        """
        async with self._database.write() as tx:
            live = await sessions.live(tx, host, at=self._clock.now())
            ending = [one for one in live if one.id == session]
            await self._end_sessions(tx, ending, by=by, because=because, ip=ip)
        return bool(ending)

    async def end_consent(
        self, host: HostId, consent: ConsentId, *, by: str, because: str, ip: str | None = None
    ) -> bool:
        """End one consent and every session under it; False if it had ended already."""
        async with self._database.write() as tx:
            found = await consents.by_id(tx, host, consent)
            if found is None:
                return False
            return bool(await self._end_consents(tx, [found], by=by, because=because, ip=ip))

    async def end_access(
        self,
        host: HostId,
        subject: SubjectId,
        server: ServerKey,
        *,
        by: str,
        because: str,
        ip: str | None = None,
    ) -> int:
        """End all that a person allowed on one server; returns how many consents ended."""
        async with self._database.write() as tx:
            theirs = await consents.of_person(tx, host, subject)
            chosen = [one for one in theirs if one.server == server]
            return await self._end_consents(tx, chosen, by=by, because=because, ip=ip)

    async def end_person(
        self, host: HostId, subject: SubjectId, *, by: str, because: str, ip: str | None = None
    ) -> int:
        """End everything a person ever allowed; returns how many consents ended."""
        async with self._database.write() as tx:
            theirs = await consents.of_person(tx, host, subject)
            return await self._end_consents(tx, theirs, by=by, because=because, ip=ip)

    async def end_client(
        self, host: HostId, client: ClientId, *, by: str, because: str, ip: str | None = None
    ) -> int:
        """End everything anybody allowed a client; returns how many consents ended."""
        async with self._database.write() as tx:
            found = [one for one in await consents.every(tx, host) if one.client == client]
            return await self._end_consents(tx, found, by=by, because=because, ip=ip)

    async def _end_consents(
        self, tx: Write, found: Iterable[Consent], *, by: str, because: str, ip: str | None
    ) -> int:
        now = self._clock.now()
        ended = 0
        for consent in found:
            under = await sessions.live(
                tx,
                consent.host,
                at=now,
                subject=consent.subject,
                client=consent.client,
                server=consent.server,
            )
            await self._end_sessions(tx, under, by=by, because=because, ip=ip)
            if consent.ended_at is None:
                self._trail.append(_event("consent.ended", consent, by, because, ip))
                ended += await consents.end(tx, consent, at=now, because=because)
        return ended

    async def _end_sessions(
        self, tx: Write, ending: Iterable[Session], *, by: str, because: str, ip: str | None
    ) -> None:
        for session in ending:
            self._trail.append(_event("session.ended", session, by, because, ip))
            await end_family(tx, session.host, session.id, clock=self._clock, because=because)


async def end_family(
    tx: Write, host: HostId, session: SessionId, *, clock: Clock, because: str
) -> None:
    """End a session and its tokens; the caller has written it down."""
    await sessions.end(tx, host, session, at=clock.now(), because=because)
    await store.end_tokens(tx, host, session)


def _event(kind: str, what: Session | Consent, by: str, because: str, ip: str | None) -> Event:
    return Event(
        kind=kind,
        host=what.host,
        subject=what.subject,
        client=what.client,
        server=what.server,
        session=what.id if isinstance(what, Session) else None,
        consent=what.id if isinstance(what, Consent) else None,
        reason=because,
        ip=ip,
        detail={"by": by},
    )
