"""Gathers the facts of one request from memory, for one person and nobody else.

Everything is looked up under the caller's own host, person, client and server, so that a
client id shared by thousands of people never lends one of them another's consent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from safeconduct.consent import Consent, Consents
from safeconduct.core.binding import Binding, Question
from safeconduct.core.clock import Clock
from safeconduct.core.model import AccessRequest, HostId, Value
from safeconduct.people import People, Person
from safeconduct.policy.answers import Answered, Wanted, asked, told
from safeconduct.policy.facts import (
    ClientFacts,
    ConsentFacts,
    Environment,
    Facts,
    RelationFact,
    SessionFacts,
    SubjectFacts,
    ToolFacts,
)
from safeconduct.policy.pdp import HostPolicy
from safeconduct.relations import Ceilings, Tuple, membership_tuples
from safeconduct.sessions import Session


class Device(Value, frozen=True):
    """From where a request comes, and what its sender says it is."""

    ip: str
    user_agent: str = ""
    software: str = ""
    revision: str = ""


class Relationships(Protocol):
    """Where questions about relations are answered."""

    async def answer(
        self,
        host: HostId,
        asked: Sequence[tuple[str, str, str]],
        *,
        context: tuple[Tuple, ...],
        at: float,
    ) -> list[Answered]:
        """Answer questions of the form (object, permission, subject), in order.

        Args:
            host: The tenant whose relations count.
            asked: What to ask.
            context: Tuples that hold for these questions only.
            at: Unix time at which tuples must not have expired.
        """


class FactSources:
    """Where facts come from."""

    def __init__(
        self,
        *,
        people: People,
        consents: Consents,
        ceilings: Ceilings,
        relationships: Relationships,
        policies: Callable[[HostId], HostPolicy],
        clock: Clock,
    ) -> None:
        self._people = people
        self._consents = consents
        self._ceilings = ceilings
        self._relationships = relationships
        self._policies = policies
        self._clock = clock

    async def gather(
        self,
        request: AccessRequest,
        session: Session | None,
        *,
        client: ClientFacts,
        tool: ToolFacts,
        device: Device,
        bound: Sequence[Question] = (),
    ) -> Facts:
        """Return what is true now; what is unknown is absent, and absence denies.

        Args:
            request: What is asked.
            session: The connection it came through, or None where there is none.
            client: The agent.
            tool: What is asked for.
            device: From where, and with what.
            bound: What the bindings of the tool, resource or prompt ask about this call.
        """
        caller = request.caller
        host, subject, server = caller.host, caller.subject, request.resource.server
        human = self._people.held(host, subject) or await self._people.get(host, subject)
        consent = self._consents.held(
            host, subject, caller.client, server
        ) or await self._consents.get(host, subject, caller.client, server)
        groups = human.groups if human is not None else ()
        ceiling = await self._ceilings.on(host, subject, groups, server)
        seconds = self._clock.seconds()
        own = self._questions(host)
        return Facts(
            subject=_subject(human, request),
            client=client,
            session=None if session is None else _session(session, seconds),
            consent=None if consent is None else _consent(consent, seconds),
            ceiling=ceiling,
            tool=tool,
            relations=await self._relations(asked(request, bound, own), request, groups, seconds)
            if bound or own
            else (),
            environment=Environment(
                time=_spelled(int(seconds)),
                ip=device.ip,
                user_agent=device.user_agent,
                software=device.software,
                revision=device.revision,
            ),
        )

    async def _relations(
        self, wanted: Wanted, request: AccessRequest, groups: tuple[str, ...], seconds: float
    ) -> tuple[RelationFact, ...]:
        """Have every question of the bindings, and of the host's rules, answered."""
        if not wanted.questions:
            return ()
        caller = request.caller
        answers = await self._relationships.answer(
            caller.host,
            wanted.known,
            context=membership_tuples(caller.subject, groups),
            at=seconds,
        )
        return told(wanted, answers)

    def _questions(self, host: HostId) -> tuple[tuple[str, Binding], ...]:
        try:
            policy = self._policies(host)
        except LookupError:
            return ()  # the PDP refuses a host without a policy
        if policy.shadow is None:
            return policy.questions
        known = {name for name, _ in policy.questions}
        more = (each for each in policy.shadow.questions if each[0] not in known)
        return (*policy.questions, *more)


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


def _session(session: Session, seconds: float) -> SessionFacts:
    return SessionFacts(id=session.id, server=session.server, live=session.live_at(seconds))


def _consent(consent: Consent, seconds: float) -> ConsentFacts:
    expires = consent.expires_at
    return ConsentFacts(
        id=consent.id,
        level=consent.level,
        live=consent.live_at(seconds),
        granted_at=_instant(consent.granted_at),
        expires_at=None if expires is None else _instant(expires),
    )


@lru_cache(maxsize=8)
def _spelled(second: int) -> str:
    """Spell a second since 1970; the same one is asked for by every call in it."""
    return datetime.fromtimestamp(second, UTC).isoformat()


@lru_cache(maxsize=4096)
def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
