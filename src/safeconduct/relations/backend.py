"""Who answers questions about relations: this process from memory, or a SpiceDB cluster.

The same questions, the same schemas, the same answers. Whatever cannot be answered raises a
`GatewayError`, and callers take that for a no.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from safeconduct.core.clock import Clock
from safeconduct.core.model import HostId
from safeconduct.relations import asking, lookup
from safeconduct.relations.errors import BackendUnavailable
from safeconduct.relations.questions import Question, Subjects, Verdict
from safeconduct.relations.schema import SchemaOf
from safeconduct.relations.store import Relations
from safeconduct.relations.tuples import Tuple
from safeconduct.storage import Database, Feed


class Backend(Protocol):
    """Answers questions about one host at a time."""

    async def check(
        self, host: HostId, question: Question, *, contextual: Sequence[Tuple] = ()
    ) -> Verdict:
        """Answer one question."""

    async def check_many(
        self, host: HostId, questions: Sequence[Question], *, contextual: Sequence[Tuple] = ()
    ) -> list[Verdict]:
        """Answer questions in their order."""

    async def lookup_resources(
        self, host: HostId, kind: str, permission: str, subject: str
    ) -> list[str]:
        """Return the objects of a type on which a subject has a permission, in order."""

    async def lookup_subjects(
        self, host: HostId, object_: str, permission: str, kind: str
    ) -> Subjects:
        """Return who has a permission."""


class Embedded:
    """Answers from memory."""

    def __init__(self, relations: Relations, *, schema_of: SchemaOf, clock: Clock) -> None:
        self._relations = relations
        self._schema_of = schema_of
        self._clock = clock

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
        self, host: HostId, questions: Sequence[Question], *, contextual: Sequence[Tuple] = ()
    ) -> list[Verdict]:
        graph = await self._relations.graph(host)
        return asking.check_many(
            self._schema_of(host),
            graph,
            questions,
            at=self._clock.seconds(),
            contextual=contextual,
        )

    async def lookup_resources(
        self, host: HostId, kind: str, permission: str, subject: str
    ) -> list[str]:
        graph = await self._relations.graph(host)
        schema = self._schema_of(host)
        at = self._clock.seconds()
        return lookup.lookup_resources(schema, graph, kind, permission, subject, at=at)

    async def lookup_subjects(
        self, host: HostId, object_: str, permission: str, kind: str
    ) -> Subjects:
        graph = await self._relations.graph(host)
        schema = self._schema_of(host)
        at = self._clock.seconds()
        return lookup.lookup_subjects(schema, graph, object_, permission, kind, at=at)


@contextlib.asynccontextmanager
async def spicedb(
    database: Database,
    feed: Feed,
    *,
    target: str,
    token: str,
    schema_of: SchemaOf,
    plaintext: bool = False,
) -> AsyncIterator[Backend]:
    """Open a SpiceDB cluster.

    Args:
        database: Where tuples are stored and changes wait for the cluster.
        feed: Says which hosts have changed.
        target: `host:port`, as gRPC takes it; it names the cluster, too.
        token: The cluster's pre-shared key.
        schema_of: Each host's schema.
        plaintext: Do without TLS: for a cluster on the same machine.

    Raises:
        BackendUnavailable: If the packages for it are not installed.
    """
    try:
        from safeconduct.relations.spicedb import (  # noqa: PLC0415  an extra
            SpiceDb,
            opened,
        )
    except ImportError as error:
        raise BackendUnavailable(
            "SpiceDB needs packages that are not installed: pip install safeconduct[spicedb]"
        ) from error
    async with opened(target, plaintext=plaintext) as channel:
        yield SpiceDb(database, feed, channel, schema_of=schema_of, cluster=target, token=token)
