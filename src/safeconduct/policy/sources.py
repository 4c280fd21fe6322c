"""Gathers the facts of one request from memory, for one person and nobody else.

Everything is looked up under the caller's own host, person, client and server, so that a
client id shared by thousands of people never lends one of them another's consent.
"""

from __future__ import annotations

from safeconduct.consent import Consent, Consents
from safeconduct.core.clock import Clock
from safeconduct.core.model import AccessRequest
from safeconduct.people import People, Person
from safeconduct.policy.facts import (
    ClientFacts,
    ConsentFacts,
    Environment,
    Facts,
    SessionFacts,
    SubjectFacts,
    ToolFacts,
)
from safeconduct.relations import Ceilings
from safeconduct.sessions import Session


class FactSources:
    """Where facts come from."""

    def __init__(
        self, *, people: People, consents: Consents, ceilings: Ceilings, clock: Clock
    ) -> None:
        self._people = people
        self._consents = consents
        self._ceilings = ceilings
        self._clock = clock

    async def gather(
        self,
        request: AccessRequest,
        session: Session,
        *,
        client: ClientFacts,
        tool: ToolFacts,
        ip: str,
        user_agent: str = "",
    ) -> Facts:
        """Return what is true now; what is unknown is absent, and absence denies."""
        caller = request.caller
        host, subject, server = caller.host, caller.subject, request.resource.server
        person = self._people.held(host, subject) or await self._people.get(host, subject)
        consent = self._consents.held(
            host, subject, caller.client, server
        ) or await self._consents.get(host, subject, caller.client, server)
        groups = person.groups if person is not None else ()
        ceiling = await self._ceilings.on(host, subject, groups, server)
        seconds = self._clock.seconds()
        return Facts(
            subject=_subject(person, request),
            client=client,
            session=SessionFacts(
                id=session.id, server=session.server, live=session.live_at(seconds)
            ),
            consent=None if consent is None else _consent(consent, seconds),
            ceiling=ceiling,
            tool=tool,
            environment=Environment(
                time=self._clock.now().isoformat(timespec="seconds"), ip=ip, user_agent=user_agent
            ),
        )


def _subject(person: Person | None, request: AccessRequest) -> SubjectFacts:
    if person is None:
        return SubjectFacts(id=request.caller.subject, email="", active=False)
    return SubjectFacts(
        id=person.id,
        email=person.email,
        active=person.active,
        groups=person.groups,
        attributes=person.attributes,
    )


def _consent(consent: Consent, seconds: float) -> ConsentFacts:
    expires = consent.expires_at
    return ConsentFacts(
        id=consent.id,
        level=consent.level,
        live=consent.live_at(seconds),
        expires_at=None if expires is None else expires.isoformat(timespec="seconds"),
    )
