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
    Relations,
    Tuple,
    agent,
    check_many,
    host_schema,
    membership_tuples,
    person,
)


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
        try:
            schema = self._policies(host).schema
        except LookupError:  # and the PDP refuses whatever was asked about
            return [Answered(allowed=False)] * len(asked)
        verdicts = check_many(
            host_schema(schema),
            await self._relations.graph(host),
            [Asked(object=one, permission=needed, subject=who) for one, needed, who in asked],
            at=at,
            contextual=context,
        )
        return [Answered(each.allowed, each.path) for each in verdicts]

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
