"""Follows one subject's edges through a schema. Pure: no I/O, no clock, no schema of its own.

Answers are SpiceDB's. There are three: a yes comes with the way that led to it, a no is False,
and None stands for "cannot be told", where edges go in a circle or more than fifty steps deep.
SpiceDB ends such a walk with an error, unless a yes is found elsewhere; so does this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, assert_never

from safeconduct.relations.errors import Unanswerable
from safeconduct.relations.graph import Graph, Table, each
from safeconduct.relations.schema import Schema, kind_of
from safeconduct.relations.syntax import (
    Arrow,
    Exclusion,
    Expression,
    Intersection,
    Itself,
    Nil,
    Ref,
    Relation,
    Union,
)

DEPTH = 50
_MANY = 16  # from here on an arrow looks from the other end first
_NEW: Final = object()

Way = tuple[tuple[str, ...], tuple[Any, ...]]  # a step, and the ways it follows from
Answer = Way | bool | None  # a way, False or None


class Walk:
    """The answers about one subject at one moment; each node is looked at once."""

    def __init__(
        self, schema: Schema, graph: Graph, contextual: Graph | None, subject: str, *, at: float
    ) -> None:
        self._schema = schema
        self._graphs = (graph,) if contextual is None else (contextual, graph)
        self._passing = () if contextual is None else (contextual,)
        self._at = at
        self._subject = subject
        self._thing, _, self._relation = subject.partition("#")
        self._kind = subject.partition(":")[0]
        self._spelled = kind_of(subject)
        self._wildcard = f"{self._kind}:*"
        self._answers: dict[tuple[str, str], Answer] = {}
        self._untold: set[tuple[str, str]] = set()
        self._work = 0

    def answer(self, object_: str, name: str, *, work: int) -> Answer:
        """Return a way, False, or None if it cannot be told.

        Raises:
            Unanswerable: If more than `work` nodes would have to be looked at.
        """
        self._work = work
        # What could not be told on the way to another node may well be told from here.
        for key in self._untold:
            if self._answers[key] is None:
                del self._answers[key]
        self._untold.clear()
        try:
            return self._node(object_, name, DEPTH)
        except RecursionError:
            return None

    def _node(self, object_: str, name: str, depth: int) -> Answer:
        if name == self._relation and object_ == self._thing:
            return (self._subject,), ()
        key = (object_, name)
        known = self._answers.get(key, _NEW)
        if known is not _NEW:
            return known  # type: ignore[return-value]  # None while it is being looked at
        if depth == 0:
            return None
        self._spend(object_, name)
        self._answers[key] = None
        self._untold.add(key)
        found = self._answers[key] = self._fresh(object_, name, depth)
        return found

    def _spend(self, object_: str, name: str) -> None:
        self._work -= 1
        if self._work < 0:
            raise Unanswerable(f"{object_}#{name} follows from too many relations to look at")

    def _fresh(self, object_: str, name: str, depth: int) -> Answer:
        kind = object_.partition(":")[0]
        definition = self._schema.definitions.get(kind)
        if definition is None:
            return self._edges(object_, kind, name, None, depth)
        member = definition.members.get(name)
        if member is None:
            return False
        if isinstance(member, Relation):
            takes = self._schema.takes(kind, name)
            return self._edges(object_, kind, name, takes, depth)
        expression = member.expression
        # SpiceDB does not count the step from a permission to the one it is another name of.
        free = isinstance(expression, Ref) and kind != self._kind
        found = self._expression(expression, object_, depth + 1 if free else depth)
        return ((object_, name), (found,)) if found else found

    def _edges(
        self, object_: str, kind: str, relation: str, takes: frozenset[str] | None, depth: int
    ) -> Answer:
        """Look at the edges of a relation; `takes` is None for a type without a definition."""
        tables = self._tables(kind, relation)
        for table in tables:
            found = self._stated(table, object_, takes)
            if found is not None:
                return (object_, relation, found), ()
        unknown = False
        for table in tables:
            for subject in table.stand_ins(object_, self._at):
                if takes is not None and kind_of(subject) not in takes:
                    continue
                other, _, name = subject.partition("#")
                answer = self._node(other, name, depth - 1)
                if answer:
                    return (object_, relation, subject), (answer,)
                unknown = unknown or answer is None
        return None if unknown else False

    def _stated(self, table: Table, object_: str, takes: frozenset[str] | None) -> str | None:
        """Return the subject of an edge that says yes by itself."""
        subject = self._subject
        if takes is None or self._spelled in takes:
            holds = table.holds_userset if self._relation else table.holds
            if holds(object_, subject, self._at):
                return subject
        wildcard = self._wildcard
        if takes is not None and wildcard in takes and table.holds(object_, wildcard, self._at):
            return wildcard
        return None

    def _tables(self, kind: str, relation: str) -> list[Table]:
        passing = (kind, relation) in self._schema.contextual
        graphs = self._passing if passing else self._graphs
        found = (graph.table(kind, relation) for graph in graphs)
        return [table for table in found if table is not None]

    def _expression(  # noqa: PLR0911  one for each kind of expression
        self, expression: Expression, object_: str, depth: int
    ) -> Answer:
        match expression:
            case Ref(name=name):
                return self._node(object_, name, depth - 1)
            case Arrow():
                return self._arrow(expression, object_, depth)
            case Union(parts=parts):
                return self._any(parts, object_, depth)
            case Intersection(parts=parts):
                return self._all(parts, object_, depth)
            case Exclusion(first=first, others=others):
                return self._without(first, others, object_, depth)
            case Nil():
                return False
            case Itself():
                return ((object_,), ()) if object_ == self._subject else False
            case _:
                assert_never(expression)

    def _any(self, parts: Sequence[Expression], object_: str, depth: int) -> Answer:
        unknown = False
        for part in parts:
            answer = self._expression(part, object_, depth)
            if answer:
                return answer
            unknown = unknown or answer is None
        return None if unknown else False

    def _all(self, parts: Sequence[Expression], object_: str, depth: int) -> Answer:
        ways: list[Answer] = []
        for part in parts:
            answer = self._expression(part, object_, depth)
            if answer is False:
                return False
            ways.append(answer)
        return None if None in ways else ((), tuple(ways))

    def _without(
        self, first: Expression, others: Sequence[Expression], object_: str, depth: int
    ) -> Answer:
        answer = self._expression(first, object_, depth)
        if answer is False:
            return False
        removed = self._any(others, object_, depth)
        if removed:
            return False
        return None if removed is None else answer

    def _arrow(self, arrow: Arrow, object_: str, depth: int) -> Answer:
        kind = object_.partition(":")[0]
        takes = self._schema.takes(kind, arrow.relation) or frozenset()
        tables = self._tables(kind, arrow.relation)
        if arrow.every:
            return self._every(arrow, object_, self._led_to(tables, object_, takes), depth)
        for table in tables:
            if len(each(table.direct.get(object_))) > _MANY and self._plain(arrow, takes):
                return self._from_the_other_end(arrow, object_, tables, takes, depth)
        return self._along(arrow, object_, self._led_to(tables, object_, takes), depth)

    def _along(self, arrow: Arrow, object_: str, subjects: Iterator[str], depth: int) -> Answer:
        unknown = False
        for subject in subjects:
            self._spend(object_, arrow.relation)
            answer = self._node(subject.partition("#")[0], arrow.name, depth - 1)
            if answer:
                return (object_, arrow.relation, subject), (answer,)
            unknown = unknown or answer is None
        return None if unknown else False

    def _every(self, arrow: Arrow, object_: str, subjects: Iterator[str], depth: int) -> Answer:
        ways: list[Answer] = []
        unknown = False
        for subject in subjects:
            self._spend(object_, arrow.relation)
            answer = self._node(subject.partition("#")[0], arrow.name, depth - 1)
            if answer is False:
                return False
            unknown = unknown or answer is None
            ways.append(((object_, arrow.relation, subject), (answer,)))
        if unknown:
            return None
        return ((), tuple(ways)) if ways else False

    def _led_to(
        self, tables: list[Table], object_: str, takes: frozenset[str], *, things: bool = True
    ) -> Iterator[str]:
        """Yield the subjects an arrow goes to."""
        for table in tables:
            if things:
                for subject in table.things(object_, self._at):
                    if subject.partition(":")[0] in takes and not subject.endswith(":*"):
                        yield subject
            for subject in table.stand_ins(object_, self._at):
                if kind_of(subject) in takes:
                    yield subject

    def _plain(self, arrow: Arrow, takes: frozenset[str]) -> bool:
        """Say whether an arrow asks for edges only, so that it can be followed backwards."""
        kinds = (kind for kind in takes if "#" not in kind and ":" not in kind)
        return all(self._schema.edges(kind, arrow.name) is not None for kind in kinds)

    def _from_the_other_end(
        self,
        arrow: Arrow,
        object_: str,
        tables: list[Table],
        takes: frozenset[str],
        depth: int,
    ) -> Answer:
        """Follow an arrow over a large set by asking what the subject has, not who is in it."""
        near = [
            thing
            for thing in self._candidates(arrow, takes)
            if any(table.holds(object_, thing, self._at) for table in tables)
        ]
        answer = self._along(arrow, object_, iter(near), depth)
        if answer:
            return answer
        stand_ins = self._led_to(tables, object_, takes, things=False)
        other = self._along(arrow, object_, stand_ins, depth)
        return other or (None if answer is None or other is None else False)

    def _candidates(self, arrow: Arrow, takes: frozenset[str]) -> Iterator[str]:
        """Yield the things that may have what an arrow asks for."""
        if self._relation:
            yield self._thing
        for kind in takes:
            for relation in self._schema.edges(kind, arrow.name) or ():
                for table in self._tables(kind, relation):
                    for spelling in (self._subject, self._wildcard):
                        yield from table.objects_of(spelling)


def told(way: Answer) -> tuple[str, ...]:
    """Spell a way as sentences' worth of steps, each before what it follows from."""
    steps: list[str] = []
    waiting: list[Any] = [way]
    while waiting:
        step, behind = waiting.pop()
        match step:
            case (object_, relation, subject):
                steps.append(f"{object_}#{relation}@{subject}")
            case (object_, permission):
                steps.append(f"{object_}#{permission}")
            case (itself,):
                steps.append(itself)
            case _:
                pass  # several ways that hold together
        waiting.extend(reversed(behind))
    return tuple(steps)
