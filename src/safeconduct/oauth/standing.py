"""Whether a session may still have tokens: decided at every token request, as every call is.

The session must live and be this client's; everything else is the PDP's, asked in the phase
`token` about the server itself. A token says who; none of this is written in it, and each call
is decided again (requirement: OAuth never decides alone).
"""

from __future__ import annotations

from safeconduct.consent import Consent, Consents
from safeconduct.core.clock import Clock
from safeconduct.core.decision import Decision, Ttl
from safeconduct.core.model import AccessRequest, Caller, Level, Resource, SessionId, Value
from safeconduct.hosts import Host
from safeconduct.oauth.registry import Client
from safeconduct.policy import ClientFacts, Device, FactSources, Pdp, ToolFacts
from safeconduct.sessions import Session, Sessions
from safeconduct.storage import Database

_ACTION = "oauth/token"
_SERVER = ToolFacts(known=True, enabled=True, state="pinned", level=Level.LOW)
_OWN, _FAILED = "policy.", "engine.failed"


class Standing(Value, frozen=True):
    """A session that may have tokens.

    Attributes:
        consent: What it stands on.
        seconds: How long a policy lets tokens live, or None for as long as the host does.
    """

    session: Session
    consent: Consent
    seconds: int | None = None


class Fallen(Value, frozen=True):
    """A session that may not.

    Attributes:
        reason: Stable machine text, for the record.
        message: For whom it concerns.
        passing: Whether it may be otherwise in an hour, without anybody signing in again.
    """

    reason: str
    message: str = ""
    passing: bool = False


class Standings:
    """Has sessions judged by what is so now."""

    def __init__(
        self,
        database: Database,
        *,
        sources: FactSources,
        pdp: Pdp,
        consents: Consents,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._database = database
        self._sources = sources
        self._pdp = pdp
        self._consents = consents
        self._sessions = sessions
        self._clock = clock

    async def of(
        self, host: Host, client: Client, session_id: SessionId, device: Device
    ) -> Standing | Fallen:
        """Judge a session; other processes' changes are read first."""
        await self._database.catch_up()
        session = await self._sessions.get(host.key, session_id)
        if session is None or not session.live_at(self._clock.seconds()):
            return Fallen(reason="session.ended")
        if session.client != client.id:
            return Fallen(reason="client.other")
        decision = await self._decided(client, session, device)
        if not decision.allow:
            return Fallen(
                reason=decision.reason,
                message=decision.message,
                passing=decision.reason.startswith(_OWN) or decision.reason == _FAILED,
            )
        consent = await self._consents.get(
            host.key, session.subject, session.client, session.server
        )
        if consent is None:
            return Fallen(reason="consent.none")
        return Standing(session=session, consent=consent, seconds=_longest(decision))

    async def _decided(self, client: Client, session: Session, device: Device) -> Decision:
        caller = Caller(
            host=session.host,
            subject=session.subject,
            client=session.client,
            session=session.id,
            server=session.server,
        )
        request = AccessRequest(
            caller=caller,
            action=_ACTION,
            resource=Resource(kind="server", server=session.server),
            phase="token",
        )
        facts = await self._sources.gather(
            request,
            session,
            client=ClientFacts(
                id=client.id, name=client.name, active=not client.blocked, kind=client.kind
            ),
            tool=_SERVER,
            device=device,
        )
        return await self._pdp.decide(request, facts)


def _longest(decision: Decision) -> int | None:
    lives = [each.seconds for each in decision.obligations if isinstance(each, Ttl)]
    return min(lives, default=None)
