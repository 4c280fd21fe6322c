"""Answers from a SpiceDB cluster. Every write is seen by the next check, or the check is a no.

A host that has changed since the last shipment is shipped before it is asked about, and the
question carries the token of that shipment (`at_least_as_fresh`). A shipment goes on when whoever
waits for it gives up: a large host would otherwise never arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    CheckPermissionResponse,
    Consistency,
    LookupResourcesRequest,
    LookupSubjectsRequest,
    ZedToken,
)
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

from safeconduct.core.model import HostId
from safeconduct.relations import wire
from safeconduct.relations.asking import known, refuse_unknown
from safeconduct.relations.errors import BackendUnavailable, Unanswerable
from safeconduct.relations.questions import Question, Subjects, Verdict
from safeconduct.relations.schema import Schema, SchemaOf
from safeconduct.relations.shipping import Shipper
from safeconduct.relations.tuples import KIND, Tuple, relations_of
from safeconduct.relations.wire import prefix_of
from safeconduct.storage import Change, Database, Feed

_SECONDS = 2.0
# A cluster that comes back is found within a second, not within gRPC's two minutes.
_OPTIONS = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000))
_Known = tuple[Schema, str | None]
_NO_ROOM = "its names are shorter or longer than SpiceDB takes"
_HAS = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION


@contextlib.asynccontextmanager
async def opened(target: str, *, plaintext: bool) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel; nothing is sent before the first question."""
    if plaintext:
        channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
    else:
        channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=_OPTIONS)
    try:
        yield channel
    finally:
        await channel.close()


class SpiceDb:
    """Answers from a cluster."""

    passing = False

    def __init__(
        self,
        database: Database,
        feed: Feed,
        channel: Any,
        *,
        schema_of: SchemaOf,
        cluster: str,
        token: str | None = None,
        seconds: float = _SECONDS,
    ) -> None:
        """Ask nothing yet.

        Args:
            database: Where tuples are stored and changes wait.
            feed: Says which hosts have changed.
            channel: An open `grpc.aio` channel to the cluster; the caller closes it.
            schema_of: Each host's schema.
            cluster: A name for the cluster; another one means filling it anew.
            token: The cluster's pre-shared key.
            seconds: How long one request may take.
        """
        metadata = () if token is None else (("authorization", f"Bearer {token}"),)
        self._shipper = Shipper(
            database, channel, cluster=cluster, metadata=metadata, seconds=seconds
        )
        self._permissions = PermissionsServiceStub(channel)
        self._database = database
        self._call = {"metadata": metadata, "timeout": seconds}
        self._schema_of = schema_of
        self._tokens: dict[HostId, _Known] = {}
        self._changes: dict[HostId, int] = {}
        self._turns: dict[HostId, asyncio.Lock] = {}
        self._next: dict[HostId, asyncio.Task[_Known]] = {}
        self._under_way: set[asyncio.Task[_Known]] = set()
        feed.follow(self._on_change)

    async def check(
        self, host: HostId, question: Question, *, contextual: Sequence[Tuple] = ()
    ) -> Verdict:
        """Answer one question.

        Raises:
            BackendUnavailable: If the cluster cannot be asked, or edges for one decision are
                given: SpiceDB has no room for those.
            QuestionRefused: If it names what there is not.
            Unanswerable: If the walk would be too deep.
        """
        refuse_unknown(self._schema_of(host), question)
        answer = (await self._answers(host, [question], contextual))[0]
        if isinstance(answer, str):
            raise Unanswerable(f"{question} cannot be answered: {answer}")
        return _verdict(question, answer)

    async def check_many(
        self,
        host: HostId,
        questions: Sequence[Question],
        *,
        contextual: Sequence[Tuple] = (),
        at: float | None = None,
    ) -> list[Verdict]:
        """Answer questions in their order; what cannot be answered is a no to that one."""
        answers = await self._answers(host, questions, contextual)
        return [
            Verdict(allowed=False, reason=f"{question} cannot be answered: {answer}")
            if isinstance(answer, str)
            else _verdict(question, answer)
            for question, answer in zip(questions, answers, strict=True)
        ]

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
        _no_passing(contextual)
        schema = self._schema_of(host)
        refuse_unknown(schema, Question(object=f"{kind}:", permission=permission, subject=subject))
        prefix = prefix_of(host)
        request = LookupResourcesRequest(
            consistency=await self._fresh(host),
            resource_object_type=f"{prefix}/{kind}",
            permission=permission,
            subject=wire.subject(prefix, subject),
        )
        try:
            found = {
                f"{kind}:{wire.unescaped(each.resource_object_id)}"
                async for each in self._permissions.LookupResources(request, **self._call)
            }
        except grpc.aio.AioRpcError as error:
            raise _unavailable(error) from error
        return sorted(found)

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
        _no_passing(contextual)
        name, _, relation = kind.partition("#")
        known(self._schema_of(host), object_.partition(":")[0], permission)
        prefix = prefix_of(host)
        request = LookupSubjectsRequest(
            consistency=await self._fresh(host),
            resource=wire.object_(prefix, object_),
            permission=permission,
            subject_object_type=f"{prefix}/{name}",
            optional_subject_relation=relation,
        )
        found: set[str] = set()
        excepted: set[str] | None = None
        try:
            async for each in self._permissions.LookupSubjects(request, **self._call):
                if each.subject.subject_object_id == "*":
                    excepted = {one.subject_object_id for one in each.excluded_subjects}
                else:
                    found.add(each.subject.subject_object_id)
        except grpc.aio.AioRpcError as error:
            raise _unavailable(error) from error
        return _subjects(name, relation, found, excepted)

    async def relations_of(self, host: HostId, kind: str) -> list[str]:
        """Return the relations that tuples of a type without a definition have."""
        async with self._database.read() as tx:
            return await relations_of(tx, host, kind)

    async def prepare(self, host: HostId) -> None:
        """Bring the cluster what it does not have yet."""
        await self._fresh(host)

    async def aclose(self) -> None:
        """Leave off what is being shipped; the rest waits in the outbox."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _answers(
        self, host: HostId, questions: Sequence[Question], contextual: Sequence[Tuple]
    ) -> list[bool | str]:
        _no_passing(contextual)
        askable = [question for question in questions if wire.can_ask(question)]
        found = iter(await self._asked(host, askable) if askable else ())
        return [next(found) if wire.can_ask(each) else _NO_ROOM for each in questions]

    async def _asked(self, host: HostId, questions: Sequence[Question]) -> list[bool | str]:
        prefix = prefix_of(host)
        request = CheckBulkPermissionsRequest(
            consistency=await self._fresh(host),
            items=[
                CheckBulkPermissionsRequestItem(
                    resource=wire.object_(prefix, question.object),
                    permission=question.permission,
                    subject=wire.subject(prefix, question.subject),
                )
                for question in questions
            ],
        )
        try:
            found = await self._permissions.CheckBulkPermissions(request, **self._call)
        except grpc.aio.AioRpcError as error:
            raise _unavailable(error) from error
        return [
            pair.item.permissionship == _HAS
            if pair.WhichOneof("response") == "item"
            else str(pair.error.message)
            for pair in found.pairs
        ]

    async def _fresh(self, host: HostId) -> Consistency:
        """Ship what waits, and say how fresh an answer has to be."""
        known = self._tokens.get(host)
        if known is None or known[0] is not self._schema_of(host):
            known = await asyncio.shield(self._shipment(host))
        token = known[1]
        if not token:
            return Consistency(fully_consistent=True)
        return Consistency(at_least_as_fresh=ZedToken(token=token))

    def _shipment(self, host: HostId) -> asyncio.Task[_Known]:
        """Return the shipment that begins next: it takes along everything there is by now."""
        task = self._next.get(host)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._shipped(host))
            self._next[host] = task
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return task

    async def _shipped(self, host: HostId) -> _Known:
        async with self._turns.setdefault(host, asyncio.Lock()):
            del self._next[host]  # whoever comes from now on may have written something
            schema = self._schema_of(host)
            known = self._tokens.get(host)
            if known is None or known[0] is not schema:
                changes = self._changes.get(host, 0)
                known = (schema, await self._shipper.ship(host, schema))
                if changes == self._changes.get(host, 0):  # nothing has come in meanwhile
                    self._tokens[host] = known
            return known

    def _on_change(self, change: Change) -> None:
        if change.kind == KIND:
            host = HostId(change.host)
            self._changes[host] = self._changes.get(host, 0) + 1
            self._tokens.pop(host, None)


def _verdict(question: Question, allowed: bool) -> Verdict:  # noqa: FBT001  the answer itself
    says = "says yes" if allowed else "says no"
    return Verdict(allowed=allowed, reason=f"SpiceDB {says} to {question}")


def _no_passing(contextual: Sequence[Tuple]) -> None:
    if contextual:
        raise BackendUnavailable(
            "SpiceDB has no room for relations of one decision; ask for what is stored "
            "(a person's ceiling_low, ceiling_medium or ceiling_high)."
        )


def _subjects(name: str, relation: str, found: set[str], excepted: set[str] | None) -> Subjects:
    behind = f"#{relation}" if relation else ""
    return Subjects(
        found=tuple(sorted(f"{name}:{wire.unescaped(each)}{behind}" for each in found)),
        everyone=excepted is not None,
        excepted=tuple(sorted(f"{name}:{wire.unescaped(each)}" for each in excepted or ())),
    )


def _unavailable(error: grpc.aio.AioRpcError) -> BackendUnavailable:
    return BackendUnavailable("SpiceDB does not answer.", error.details())
