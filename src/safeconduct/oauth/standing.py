"""Whether a session may still have tokens: asked at every token request, of rows that live.

Person active, client not blocked, session live, consent live, ceiling still there. A token
says who; none of this is written in it (requirement: OAuth never decides alone).
"""

from __future__ import annotations

from safeconduct.consent import Consent, Consents
from safeconduct.core.clock import Clock
from safeconduct.core.model import SessionId, Value
from safeconduct.hosts import Host
from safeconduct.oauth.registry import Client
from safeconduct.people import People
from safeconduct.relations import Ceilings
from safeconduct.sessions import Session, Sessions
from safeconduct.storage import Database


class Standing(Value, frozen=True):
    """A session that may have tokens, with the consent it stands on."""

    session: Session
    consent: Consent


class Fallen(Value, frozen=True):
    """A session that may not, and why: stable machine text for the record."""

    reason: str


class Standings:
    """Judges sessions by what the rows say now."""

    def __init__(
        self,
        database: Database,
        *,
        people: People,
        ceilings: Ceilings,
        consents: Consents,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._database = database
        self._people = people
        self._ceilings = ceilings
        self._consents = consents
        self._sessions = sessions
        self._clock = clock

    async def of(self, host: Host, client: Client, session_id: SessionId) -> Standing | Fallen:
        """Judge a session; other processes' changes are read first."""
        await self._database.catch_up()
        now = self._clock.seconds()
        session = await self._sessions.get(host.key, session_id)
        if session is None or not session.live_at(now):
            return Fallen(reason="session.ended")
        if session.client != client.id or client.blocked:
            return Fallen(reason="client.blocked" if client.blocked else "client.other")
        consent = await self._consents.get(
            host.key, session.subject, session.client, session.server
        )
        if consent is None or not consent.live_at(now):
            return Fallen(reason="consent.ended")
        person = await self._people.get(host.key, session.subject)
        if person is None or not person.active:
            return Fallen(reason="person.suspended")
        ceiling = await self._ceilings.on(host.key, person.id, person.groups, session.server)
        if ceiling is None:
            return Fallen(reason="ceiling.missing")
        return Standing(session=session, consent=consent)
