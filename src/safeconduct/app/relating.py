"""Questions about relations, answered for the PDP and for obligations that filter results.

Whoever answers them, this process or a cluster: what cannot be answered is a no.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from safeconduct.core.binding import Question
from safeconduct.core.clock import Clock
from safeconduct.core.model import HostId
from safeconduct.people import People
from safeconduct.policy import Answered, HostPolicy
from safeconduct.proxy import Call
from safeconduct.relations import (
    Backend,
    BackendUnavailable,
    QuestionRefused,
    Schema,
    Subjects,
    Tuple,
    agent,
    host_schema,
    membership_tuples,
    person,
)
from safeconduct.relations import Question as Asked

_AT_ONCE = 500
_AWAY = Answered(allowed=False, reason="the relations cannot be asked now", known=False)


class RelationAnswers:
    """Answers from the relations of each host."""

    def __init__(
        self,
        backend: Backend,
        people: People,
        policies: Callable[[HostId], HostPolicy],
        clock: Clock,
    ) -> None:
        self._backend = backend
        self._people = people
        self._policies = policies
        self._clock = clock

    async def answer(
        self,
        host: HostId,
        asked: Sequence[tuple[str, str, str]],
        *,
        context: tuple[Tuple, ...],
        at: float,
    ) -> list[Answered]:
        """Answer the PDP's questions, in order; what cannot be answered is a no."""
        if not asked:
            return []
        questions = [
            Asked(object=one, permission=needed, subject=who) for one, needed, who in asked
        ]
        try:
            verdicts = await self._backend.check_many(
                host, questions, contextual=self._passing(context), at=at
            )
        except (BackendUnavailable, LookupError):  # or there is no policy that can be trusted
            return [_AWAY] * len(questions)
        return [Answered(each.allowed, each.path, each.reason) for each in verdicts]

    async def objects(
        self,
        host: HostId,
        kind: str,
        permission: str,
        subject: str,
        *,
        context: tuple[Tuple, ...],
        at: float,
    ) -> list[str]:
        """Return what of a type a subject has a permission on; nothing for an unknown one.

        Raises:
            BackendUnavailable: If nobody can be asked.
            Unanswerable: If there is too much to look at.
        """
        try:
            return await self._backend.lookup_resources(
                host, kind, permission, subject, contextual=self._passing(context)
            )
        except (QuestionRefused, LookupError):
            return []

    async def subjects(
        self,
        host: HostId,
        kind: str,
        permission: str,
        object_: str,
        *,
        context: tuple[Tuple, ...],
        at: float,
    ) -> Subjects:
        """Return who of a type has a permission; nobody for an unknown one.

        Raises:
            BackendUnavailable: If nobody can be asked.
            Unanswerable: If there is too much to look at.
        """
        try:
            return await self._backend.lookup_subjects(
                host, object_, permission, kind, contextual=self._passing(context)
            )
        except (QuestionRefused, LookupError):
            return Subjects(found=())

    async def permissions(self, host: HostId, kind: str) -> list[str]:
        """Return what can be asked about objects of a type."""
        schema = self._schema(host)
        if schema is None:
            return []
        definition = schema.definitions.get(kind)
        if definition is not None:
            return list(definition.members)
        return await self._backend.relations_of(host, kind)

    async def asked_by(self, call: Call, wanted: list[Question]) -> dict[Question, bool]:
        """Answer what a filter asks about the items of a result."""
        caller = call.caller
        human = await self._people.get(caller.host, caller.subject)
        groups = human.groups if human is not None and human.active else ()
        people = {"person": person(caller.subject), "agent": agent(caller.client)}
        context, at = membership_tuples(caller.subject, groups), self._clock.seconds()
        answers: list[Answered] = []
        for first in range(0, len(wanted), _AT_ONCE):
            part = [
                (each.object, each.permission, people[each.subject])
                for each in wanted[first : first + _AT_ONCE]
            ]
            answers += await self.answer(caller.host, part, context=context, at=at)
            await asyncio.sleep(0)  # thousands of items hold nobody else up
        return dict(zip(wanted, (each.allowed for each in answers), strict=True))

    def _passing(self, context: tuple[Tuple, ...]) -> tuple[Tuple, ...]:
        # What is passed are memberships, and those are stored as well.
        return context if self._backend.passing else ()

    def _schema(self, host: HostId) -> Schema | None:
        """Return the host's definitions; None when there is no policy that can be trusted."""
        try:
            return host_schema(self._policies(host).schema)
        except LookupError:
            return None
