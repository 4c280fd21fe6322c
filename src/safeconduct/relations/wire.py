"""Spells hosts, names and edges the way a SpiceDB cluster takes them.

Each host has a prefix of its own before every type, so that hosts share nothing. Ids may hold
more signs here than there: the others are written `=40`, as in mail.
"""

from __future__ import annotations

import hashlib
import re

from authzed.api.v1 import (
    ObjectReference,
    Relationship,
    RelationshipUpdate,
    SubjectReference,
)
from google.protobuf.timestamp_pb2 import Timestamp

from safeconduct.core.model import HostId
from safeconduct.relations.questions import Question
from safeconduct.relations.tuples import ADDED, Tuple

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_|-+")
_ESCAPED = re.compile(r"=([0-9A-F]{2})")
_LONGEST_ID = 1024
_NAME = re.compile(r"[a-z][a-z0-9_]{1,61}[a-z0-9]")


def prefix_of(host: HostId) -> str:
    """Return a host's prefix: readable, and never another host's."""
    readable = re.sub(r"[^a-z0-9]", "_", host)[:40]
    digest = hashlib.sha256(host.encode()).hexdigest()[:12]
    return f"h_{readable}_{digest}"


def can_name(kind: str) -> bool:
    """Say whether a type or relation has a name that a cluster takes."""
    return all(_NAME.fullmatch(segment) for segment in kind.split("/"))


def can_hold(text: str) -> bool:
    """Say whether a cluster takes the id in a text of the form `type:id` or `type:id#relation`."""
    return len(escaped(text.partition(":")[2].partition("#")[0])) <= _LONGEST_ID


def can_ask(question: Question) -> bool:
    """Say whether a question can be put to a cluster; one that cannot would refuse all others."""
    kind, _, name = question.object.partition(":")
    thing, _, relation = question.subject.partition("#")
    other, _, whose = thing.partition(":")
    names = [kind, question.permission, other, *([relation] if relation else [])]
    whole = all(each and each != "*" and can_hold(f":{each}") for each in (name, whose))
    return whole and all(map(can_name, names))


def object_(prefix: str, text: str) -> ObjectReference:
    kind, _, name = text.partition(":")
    return ObjectReference(object_type=f"{prefix}/{kind}", object_id=escaped(name))


def subject(prefix: str, text: str) -> SubjectReference:
    thing, _, relation = text.partition("#")
    return SubjectReference(object=object_(prefix, thing), optional_relation=relation)


def relationship(prefix: str, edge: Tuple) -> Relationship:
    found = Relationship(
        resource=object_(prefix, edge.object),
        relation=edge.relation,
        subject=subject(prefix, edge.subject),
    )
    if edge.expires_at is not None:
        stamp = Timestamp()
        stamp.FromDatetime(edge.expires_at)
        found.optional_expires_at.CopyFrom(stamp)
    return found


def change(prefix: str, sign: str, edge: Tuple) -> RelationshipUpdate:
    """Return an update that can be repeated: a touch, or a deletion."""
    kinds = RelationshipUpdate.Operation
    return RelationshipUpdate(
        operation=kinds.OPERATION_TOUCH if sign == ADDED else kinds.OPERATION_DELETE,
        relationship=relationship(prefix, edge),
    )


def escaped(name: str) -> str:
    """Spell an id; a wildcard stays one."""
    if name == "*":
        return name
    return "".join(chr(byte) if byte in _PLAIN else f"={byte:02X}" for byte in name.encode("utf-8"))


def unescaped(name: str) -> str:
    """Read what `escaped` wrote."""
    raw = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
    return raw.encode("latin-1").decode("utf-8")
