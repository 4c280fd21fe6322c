"""Finds everything one subject may have, and everybody who may have one thing.

Both gather candidates by following edges whichever way they go, too many rather than too few,
and ask about each. So a listing never differs from what is answered one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from safeconduct.relations.asking import WORK, known, passing, refuse_unknown
from safeconduct.relations.errors import Unanswerable
from safeconduct.relations.graph import Graph, Table
from safeconduct.relations.questions import Question, Subjects
from safeconduct.relations.schema import Schema, kind_of
from safeconduct.relations.syntax import (
    Arrow,
    Exclusion,
    Expression,
    Intersection,
    Itself,
    Permission,
    Ref,
    Relation,
    Union,
    leaves,
)
from safeconduct.relations.tuples import Tuple
from safeconduct.relations.walk import Walk

MOST = 100_000  # candidates one search may look at
_NOBODY = "\x00"  # an id that no tuple has: it has only what everybody has


def lookup_resources(
    schema: Schema,
    graph: Graph,
    kind: str,
    permission: str,
    subject: str,
    *,
    at: float,
    contextual: Iterable[Tuple] = (),
    most: int = MOST,
) -> list[str]:
    """Return the objects of a type on which a subject has a permission, in order.

    Objects about which it cannot be told, for circles, are left out.

    Raises:
        QuestionRefused: If there is no such permission, or the subject is none.
        Unanswerable: If there is too much to look at.
    """
    refuse_unknown(schema, Question(object=f"{kind}:", permission=permission, subject=subject))
    extra = passing(contextual)
    graphs = [graph] if extra is None else [extra, graph]
    reached = _Upwards(schema, graphs, most).reached(subject)
    walk = Walk(schema, graph, extra, subject, at=at)
    candidates = sorted(
        object_
        for object_, name in reached
        if name == permission and object_.partition(":")[0] == kind
    )
    return [each for each in candidates if walk.answer(each, permission, work=WORK)]


def lookup_subjects(
    schema: Schema,
    graph: Graph,
    object_: str,
    permission: str,
    kind: str,
    *,
    at: float,
    contextual: Iterable[Tuple] = (),
    most: int = MOST,
) -> Subjects:
    """Return who has a permission.

    Args:
        schema: The host's.
        graph: The host's edges.
        object_: What it is about.
        permission: The permission or relation.
        kind: The sort of subject looked for: `person`, or `group#member`.
        at: Unix seconds.
        contextual: Edges that exist for this question only.
        most: How many candidates may be looked at.

    Raises:
        QuestionRefused: If there is no such permission or kind of subject.
        Unanswerable: If there is too much to look at.
    """
    known(schema, object_.partition(":")[0], permission)
    name, _, relation = kind.partition("#")
    if relation:
        known(schema, name, relation)
    extra = passing(contextual)
    graphs = [graph] if extra is None else [extra, graph]
    downwards = _Downwards(schema, graphs, kind, most)
    candidates = sorted(downwards.candidates(object_, permission))

    def has(subject: str) -> bool:
        walk = Walk(schema, graph, extra, subject, at=at)
        return bool(walk.answer(object_, permission, work=WORK))

    found = [each for each in candidates if has(each)]
    if relation or not downwards.wildcard or not has(f"{name}:{_NOBODY}"):
        return Subjects(found=tuple(found))
    excepted = tuple(sorted(set(candidates) - set(found)))
    return Subjects(found=tuple(found), everyone=True, excepted=excepted)


class _Search:
    """A walk over nodes (object, relation or permission), each once."""

    def __init__(self, schema: Schema, graphs: list[Graph], most: int) -> None:
        self._schema = schema
        self._graphs = graphs
        self._most = most
        self._seen: set[tuple[str, str]] = set()
        self._waiting: list[tuple[str, str]] = []

    def _reach(self, object_: str, name: str) -> None:
        node = (object_, name)
        if node not in self._seen:
            if len(self._seen) >= self._most:
                raise Unanswerable("there is too much to look at; ask a narrower question")
            self._seen.add(node)
            self._waiting.append(node)

    def _tables(self, kind: str, relation: str) -> Iterator[Table]:
        for graph in self._graphs:
            table = graph.table(kind, relation)
            if table is not None:
                yield table


class _Upwards(_Search):
    """From a subject to all nodes it may be found under."""

    def reached(self, subject: str) -> set[tuple[str, str]]:
        thing, _, relation = subject.partition("#")
        kind = subject.partition(":")[0]
        if relation:
            self._reach(thing, relation)
        else:
            self._itself(thing, kind)
        for spelling in (subject, f"{kind}:*"):
            self._edges_to(spelling)
        while self._waiting:
            self._upwards(*self._waiting.pop())
        return self._seen

    def _itself(self, thing: str, kind: str) -> None:
        definition = self._schema.definitions.get(kind)
        for member in definition.members.values() if definition else ():
            if isinstance(member, Permission) and _names_itself(member.expression):
                self._reach(thing, member.name)

    def _edges_to(self, spelling: str) -> None:
        for graph in self._graphs:
            for _, relation, table in graph.tables():
                for object_ in table.objects_of(spelling):
                    self._reach(object_, relation)

    def _upwards(self, object_: str, name: str) -> None:
        kind = object_.partition(":")[0]
        self._edges_to(f"{object_}#{name}")
        for permission in self._schema.namers.get((kind, name), ()):
            self._reach(object_, permission)
        for other, permission, arrow in self._schema.arrows.get(name, ()):
            takes = self._schema.takes(other, arrow.relation) or frozenset()
            for spelling in takes:
                if spelling == kind or spelling.startswith(f"{kind}#"):
                    subject = object_ + spelling.removeprefix(kind)
                    for table in self._tables(other, arrow.relation):
                        for found in table.objects_of(subject):
                            self._reach(found, permission)


class _Downwards(_Search):
    """From a node to all subjects of a kind that may be found under it."""

    def __init__(self, schema: Schema, graphs: list[Graph], kind: str, most: int) -> None:
        super().__init__(schema, graphs, most)
        self._kind = kind
        self._found: set[str] = set()
        self.wildcard = False

    def candidates(self, object_: str, permission: str) -> set[str]:
        self._reach(object_, permission)
        while self._waiting:
            self._downwards(*self._waiting.pop())
        return self._found

    def _downwards(self, object_: str, name: str) -> None:
        kind = object_.partition(":")[0]
        self._candidate(f"{object_}#{name}")
        member = self._schema.member(kind, name)
        if isinstance(member, Permission):
            for leaf in leaves(member.expression):
                self._follow(object_, kind, leaf)
            if _names_itself(member.expression):
                self._candidate(object_)
            return
        if isinstance(member, Relation) or kind not in self._schema.definitions:
            for table in self._tables(kind, name):
                for subject in _both(table, object_):
                    self._candidate(subject)
                    thing, _, relation = subject.partition("#")
                    if relation:
                        self._reach(thing, relation)

    def _follow(self, object_: str, kind: str, leaf: Ref | Arrow) -> None:
        if isinstance(leaf, Ref):
            self._reach(object_, leaf.name)
            return
        for table in self._tables(kind, leaf.relation):
            for subject in _both(table, object_):
                self._reach(subject.partition("#")[0], leaf.name)

    def _candidate(self, subject: str) -> None:
        spelled = kind_of(subject)
        if spelled == self._kind:
            self._found.add(subject)
            if len(self._found) > self._most:
                raise Unanswerable("there are too many to look at; ask a narrower question")
        elif spelled == f"{self._kind}:*":
            self.wildcard = True


def _both(table: Table, object_: str) -> Iterator[str]:
    # What has expired is found too, and falls when it is asked about.
    yield from table.things(object_, float("-inf"))
    yield from table.stand_ins(object_, float("-inf"))


def _names_itself(expression: Expression) -> bool:
    match expression:
        case Itself():
            return True
        case Union(parts=parts) | Intersection(parts=parts):
            return any(map(_names_itself, parts))
        case Exclusion(first=first, others=others):
            return any(map(_names_itself, (first, *others)))
        case _:
            return False
