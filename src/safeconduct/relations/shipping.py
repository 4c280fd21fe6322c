"""Sends changes of tuples to a cluster, in their order, and knows how far it has come.

Any worker of any node may ship. What keeps a slow one from undoing what a faster one did is in
the cluster itself: each shipment moves a marker, and is taken only if the marker still stands
where the sender believes it to be.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import grpc
from authzed.api.v1 import (
    Consistency,
    DeleteRelationshipsRequest,
    ObjectReference,
    Precondition,
    ReadRelationshipsRequest,
    ReadSchemaRequest,
    Relationship,
    RelationshipFilter,
    RelationshipUpdate,
    SubjectFilter,
    SubjectReference,
    WriteRelationshipsRequest,
    WriteSchemaRequest,
)
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub
from authzed.api.v1.schema_service_pb2_grpc import SchemaServiceStub

from safeconduct.core.model import HostId
from safeconduct.relations import outbox, tuples
from safeconduct.relations.errors import BackendUnavailable, SchemaError
from safeconduct.relations.rendering import rendered
from safeconduct.relations.schema import Schema
from safeconduct.relations.shared_schema import (
    SHIPMENT,
    Inferred,
    blocks,
    definitions_of,
    has_room,
    infer,
    inferred_in,
    merged,
)
from safeconduct.relations.tuples import ADDED, Tuple, delta
from safeconduct.relations.wire import change, prefix_of
from safeconduct.storage import Database

_BATCH = 500  # SpiceDB takes a thousand updates at once
_TRIES = 5
_KINDS = RelationshipUpdate.Operation


class Shipper:
    """Ships the changes of hosts."""

    def __init__(
        self,
        database: Database,
        channel: Any,
        *,
        cluster: str,
        metadata: tuple[tuple[str, str], ...],
        seconds: float,
    ) -> None:
        """Send nothing yet.

        Args:
            database: Where the changes wait.
            channel: An open gRPC channel to the cluster.
            cluster: A name for it; another name means another cluster, to be filled anew.
            metadata: Sent with each request; holds the credential.
            seconds: How long one request may take.
        """
        self._database = database
        self._permissions = PermissionsServiceStub(channel)
        self._schemas = SchemaServiceStub(channel)
        self._cluster = cluster
        self._call = {"metadata": metadata, "timeout": seconds}
        self._markers: dict[HostId, int] = {}
        self._inferred: dict[HostId, Inferred] = {}
        self._begun: dict[HostId, str] = {}
        self._one_at_a_time = asyncio.Lock()

    async def ship(self, host: HostId, schema: Schema) -> str | None:
        """Send everything that waits; returns the token of what arrived last.

        Raises:
            BackendUnavailable: If the cluster does not take it.
        """
        async with self._one_at_a_time:
            try:
                return await self._ship(host, schema)
            except grpc.aio.AioRpcError as error:
                self._markers.pop(host, None)
                raise BackendUnavailable(
                    "The relations cannot be brought up to date in SpiceDB.", error.details()
                ) from error

    async def _ship(self, host: HostId, schema: Schema) -> str | None:
        await self._begin(host, schema)
        while True:
            async with self._database.read() as tx:
                rows = await outbox.waiting(tx, host, most=_BATCH)
                token = await outbox.token(tx, host)
                last = await outbox.last(tx, host)
            if last is None:  # a node that asks no cluster has ended ours
                self._begun.pop(host, None)
                await self._begin(host, schema)
            elif not rows:
                return token
            else:
                await self._send(host, schema, rows)

    async def _begin(self, host: HostId, schema: Schema) -> None:
        """Bring the schema, and everything there is if this cluster or schema is new.

        All in one transaction, though the cluster is asked within: nodes that change the one
        schema at the same time would undo each other's part. It happens once.
        """
        prefix = prefix_of(host)
        text = rendered(schema.definitions.values(), prefix=prefix)
        name = f"{self._cluster}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"
        if self._begun.get(host) == name:
            return
        await self._schema_text()  # or writers would wait with us for a cluster that is away
        async with self._database.write() as tx:
            last = await outbox.last(tx, host)
            present = await self._schema_text()
            if last is None:
                await self._emptied(present, prefix)
            elif (await self._marker(host)).number > last:
                raise BackendUnavailable(
                    f"SpiceDB has seen more of host {host} than the database: one of the two was "
                    "restored from a copy. Give the cluster another name."
                )
            self._inferred[host] = inferred_in(present, prefix, schema)
            await self._write_schema(present, host, schema)
            changes = [f"{ADDED}{edge}" for edge in await tuples.every(tx, host)]
            await outbox.begin(tx, host, name, changes)
        self._begun[host] = name

    async def _emptied(self, present: str, prefix: str) -> None:
        """Forget what a cluster has of an earlier life of the host."""
        for kind in blocks(present):
            if kind.startswith(f"{prefix}/"):
                request = DeleteRelationshipsRequest(
                    relationship_filter=RelationshipFilter(resource_type=kind)
                )
                await self._permissions.DeleteRelationships(request, **self._call)

    async def _send(self, host: HostId, schema: Schema, rows: list[tuple[int, str]]) -> None:
        last = rows[-1][0]
        for _ in range(_TRIES):
            marker = await self._marker(host)
            if marker.number >= last:
                await self._arrived(host, last, marker.token)
                return
            edges = self._shippable(schema, [row for row in rows if row[0] > marker.number])
            await self._make_room(host, schema, [edge for _, edge in edges])
            request = _shipment(prefix_of(host), edges, marker.number, last)
            try:
                answer = await self._permissions.WriteRelationships(request, **self._call)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
                self._markers.pop(host, None)  # somebody else was faster
                continue
            self._markers[host] = last
            await self._arrived(host, last, answer.written_at.token)
            return
        raise BackendUnavailable("The relations cannot be brought up to date in SpiceDB.")

    async def _arrived(self, host: HostId, last: int, token: str) -> None:
        async with self._database.write() as tx:
            await outbox.shipped(tx, host, up_to=last, token=token)

    def _shippable(self, schema: Schema, rows: list[tuple[int, str]]) -> list[tuple[str, Tuple]]:
        """Return the last word on each edge; what the schema has no room for says nothing."""
        found: dict[tuple[str, str, str], tuple[str, Tuple]] = {}
        for _, text in rows:
            sign, edge = delta(text)
            found.pop(edge.key, None)
            if sign != ADDED or _fits(schema, edge):
                found[edge.key] = (sign, edge)
        return [each for each in found.values() if has_room(schema, each[1])]

    async def _make_room(self, host: HostId, schema: Schema, edges: list[Tuple]) -> None:
        loose = [edge for edge in edges if edge.object.partition(":")[0] not in schema.definitions]
        if infer(self._inferred[host], schema, loose):
            async with self._database.write():  # one node at a time changes the schema
                present = await self._schema_text()
                known = inferred_in(present, prefix_of(host), schema)
                for kind, relations in known.items():
                    for relation, takes in relations.items():
                        mine = self._inferred[host].setdefault(kind, {})
                        mine.setdefault(relation, set()).update(takes)
                await self._write_schema(present, host, schema)

    async def _schema_text(self) -> str:
        try:
            answer = await self._schemas.ReadSchema(ReadSchemaRequest(), **self._call)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return ""  # nobody has written one yet
            raise
        return str(answer.schema_text)

    async def _write_schema(self, present: str, host: HostId, schema: Schema) -> None:
        own = [*schema.definitions.values(), *definitions_of(self._inferred[host])]
        text = merged(present, prefix_of(host), own)
        await self._schemas.WriteSchema(WriteSchemaRequest(schema=text), **self._call)

    async def _marker(self, host: HostId) -> _Marker:
        """Say up to which number everything has arrived."""
        known = self._markers.get(host)
        if known is not None:
            return _Marker(known, "")
        kind = f"{prefix_of(host)}/{SHIPMENT}"
        request = ReadRelationshipsRequest(
            consistency=Consistency(fully_consistent=True),
            relationship_filter=RelationshipFilter(resource_type=kind),
        )
        number, token = 0, ""
        async for found in self._permissions.ReadRelationships(request, **self._call):
            number = int(found.relationship.subject.object.object_id)
            token = found.read_at.token
        self._markers[host] = number
        return _Marker(number, token)


class _Marker:
    def __init__(self, number: int, token: str) -> None:
        self.number = number
        self.token = token


def _fits(schema: Schema, edge: Tuple) -> bool:
    try:
        schema.check(edge)
    except SchemaError:
        return False
    return True


def _shipment(
    prefix: str, edges: list[tuple[str, Tuple]], before: int, after: int
) -> WriteRelationshipsRequest:
    kind = f"{prefix}/{SHIPMENT}"
    updates = [change(prefix, sign, edge) for sign, edge in edges]
    updates.append(_moved(kind, after, _KINDS.OPERATION_TOUCH))
    stands = RelationshipFilter(resource_type=kind)
    operation = Precondition.Operation.OPERATION_MUST_NOT_MATCH
    if before:
        updates.append(_moved(kind, before, _KINDS.OPERATION_DELETE))
        operation = Precondition.Operation.OPERATION_MUST_MATCH
        stands.optional_subject_filter.CopyFrom(
            SubjectFilter(subject_type=kind, optional_subject_id=str(before))
        )
    return WriteRelationshipsRequest(
        updates=updates,
        optional_preconditions=[Precondition(operation=operation, filter=stands)],
    )


def _moved(kind: str, number: int, operation: Any) -> RelationshipUpdate:
    return RelationshipUpdate(
        operation=operation,
        relationship=Relationship(
            resource=ObjectReference(object_type=kind, object_id="host"),
            relation="arrived",
            subject=SubjectReference(
                object=ObjectReference(object_type=kind, object_id=str(number))
            ),
        ),
    )
