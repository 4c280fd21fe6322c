"""Who answers questions about relations: this process from memory, or a SpiceDB cluster.

The same questions, the same schemas, the same answers. Whatever cannot be answered raises a
`GatewayError`, and callers take that for a no.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from safeconduct.core.clock import Clock
from safeconduct.core.model import HostId
from safeconduct.relations import asking, lookup
from safeconduct.relations.questions import Question, Subjects, Verdict
from safeconduct.relations.schema import SchemaOf
from safeconduct.relations.store import Relations
from safeconduct.relations.tuples import Tuple


class Backend(Protocol):
    """Answers questions about one host at a time."""

    @property
    def passing(self) -> bool:
        """Whether it takes tuples that exist for one question only."""

    async def check(
        self, host: HostId, question: Question, *, contextual: Sequence[Tuple] = ()
    ) -> Verdict:
        """Answer one question."""

    async def check_many(
        self,
        host: HostId,
        questions: Sequence[Question],
        *,
        contextual: Sequence[Tuple] = (),
        at: float | None = None,
    ) -> list[Verdict]:
        """Answer questions in their order.

        Args:
            host: The tenant.
            questions: What to ask.
            contextual: Tuples for these questions only, where the backend is `passing`.
            at: Unix seconds at which tuples must not have expired; a cluster goes by its own
                clock.
        """

    async def lookup_resources(
        self,
        host: HostId,
        kind: str,
        permission: str,
        subject: str,
        *,
        contextual: Sequence[Tuple] = (),
    ) -> list[str]:
        """Return the objects of a type on which a subject has a permission, in order."""

    async def lookup_subjects(
        self,
        host: HostId,
        object_: str,
        permission: str,
        kind: str,
        *,
        contextual: Sequence[Tuple] = (),
    ) -> Subjects:
        """Return who has a permission."""

    async def relations_of(self, host: HostId, kind: str) -> list[str]:
        """Return the relations that tuples of a type without a definition have."""

    async def prepare(self, host: HostId) -> None:
        """Do now what the first question about a host would wait for."""


class Embedded:
    """Answers from memory."""

    passing = True

    def __init__(
        self, relations: Relations, *, schema_of: SchemaOf, clock: Clock, most: int = lookup.MOST
    ) -> None:
        """Take where edges and schemas come from.

        Args:
            most: How many candidates one search may look at.
        """
        self._relations = relations
        self._schema_of = schema_of
        self._clock = clock
        self._most = most

    async def check(
        self, host: HostId, question: Question, *, contextual: Sequence[Tuple] = ()
    ) -> Verdict:
        graph = await self._relations.graph(host)
        return asking.check(
            self._schema_of(host),
            graph,
            question,
            at=self._clock.seconds(),
            contextual=contextual,
        )

    async def check_many(
        self,
        host: HostId,
        questions: Sequence[Question],
        *,
        contextual: Sequence[Tuple] = (),
        at: float | None = None,
    ) -> list[Verdict]:
        graph = await self._relations.graph(host)
        return asking.check_many(
            self._schema_of(host),
            graph,
            questions,
            at=self._clock.seconds() if at is None else at,
            contextual=contextual,
        )

    async def lookup_resources(
        self,
        host: HostId,
        kind: str,
        permission: str,
        subject: str,
        *,
        contextual: Sequence[Tuple] = (),
    ) -> list[str]:
        graph = await self._relations.graph(host)
        return lookup.lookup_resources(
            self._schema_of(host),
            graph,
            kind,
            permission,
            subject,
            at=self._clock.seconds(),
            contextual=contextual,
            most=self._most,
        )

    async def lookup_subjects(
        self,
        host: HostId,
        object_: str,
        permission: str,
        kind: str,
        *,
        contextual: Sequence[Tuple] = (),
    ) -> Subjects:
        graph = await self._relations.graph(host)
        return lookup.lookup_subjects(
            self._schema_of(host),
            graph,
            object_,
            permission,
            kind,
            at=self._clock.seconds(),
            contextual=contextual,
            most=self._most,
        )

    async def relations_of(self, host: HostId, kind: str) -> list[str]:
        return list((await self._relations.graph(host)).relations_of(kind))

    async def prepare(self, host: HostId) -> None:
        await self._relations.graph(host)
