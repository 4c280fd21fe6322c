"""Questions about relations, answered for the PDP and for obligations that filter results.

One schema for each bundle, one graph for each host; what an edge says is looked up in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from safeconduct.core.binding import Question
from safeconduct.core.clock import Clock
from safeconduct.core.model import HostId
from safeconduct.people import People
from safeconduct.policy import Answered, HostPolicy
from safeconduct.proxy import Call
from safeconduct.relations import Question as Asked
from safeconduct.relations import (
    QuestionRefused,
    Relations,
    Schema,
    Subjects,
    Tuple,
    agent,
    check_many,
    host_schema,
    lookup_resources,
    lookup_subjects,
    membership_tuples,
    person,
)

_MOST = 20_000  # nodes a search may look at: some tens of milliseconds


class RelationAnswers:
    """Answers from the relations of each host."""

    def __init__(
        self,
        relations: Relations,
        people: People,
        policies: Callable[[HostId], HostPolicy],
        clock: Clock,
    ) -> None:
        self._relations = relations
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
        schema = self._schema(host)
        if schema is None:  # and the PDP refuses whatever was asked about
            return [Answered(allowed=False)] * len(asked)
        verdicts = check_many(
            schema,
            await self._relations.graph(host),
            [Asked(object=one, permission=needed, subject=who) for one, needed, who in asked],
            at=at,
            contextual=context,
        )
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
        """Return what of a type a subject has a permission on; nothing for an unknown one."""
        graph = await self._relations.graph(host)
        schema = self._schema(host)
        if schema is None:
            return []
        try:
            return lookup_resources(
                schema, graph, kind, permission, subject, at=at, contextual=context, most=_MOST
            )
        except QuestionRefused:
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
        """Return who of a type has a permission; nobody for an unknown one."""
        graph = await self._relations.graph(host)
        schema = self._schema(host)
        if schema is None:
            return Subjects(found=())
        try:
            return lookup_subjects(
                schema, graph, object_, permission, kind, at=at, contextual=context, most=_MOST
            )
        except QuestionRefused:
            return Subjects(found=())

    async def permissions(self, host: HostId, kind: str) -> list[str]:
        """Return what can be asked about objects of a type."""
        schema = self._schema(host)
        if schema is None:
            return []
        definition = schema.definitions.get(kind)
        if definition is not None:
            return list(definition.members)
        return list((await self._relations.graph(host)).relations_of(kind))

    def _schema(self, host: HostId) -> Schema | None:
        """Return the host's definitions; None when there is no policy that can be trusted."""
        try:
            return host_schema(self._policies(host).schema)
        except LookupError:
            return None

    async def asked_by(self, call: Call, wanted: list[Question]) -> dict[Question, bool]:
        """Answer what a filter asks about the items of a result."""
        caller = call.caller
        human = await self._people.get(caller.host, caller.subject)
        groups = human.groups if human is not None and human.active else ()
        people = {"person": person(caller.subject), "agent": agent(caller.client)}
        answers = await self.answer(
            caller.host,
            [(each.object, each.permission, people[each.subject]) for each in wanted],
            context=membership_tuples(caller.subject, groups),
            at=self._clock.seconds(),
        )
        return dict(zip(wanted, (each.allowed for each in answers), strict=True))
