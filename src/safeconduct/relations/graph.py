"""A host's edges in memory, indexed both ways, so that a question costs a few look-ups.

Names are interned and sets of one or few members are kept small, because most are: a million
edges fit in a fraction of a gigabyte. Nothing here knows a schema or waits for anything.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Iterator

from safeconduct.relations.tuples import ADDED, Tuple

_FEW = 8
Names = str | tuple[str, ...] | set[str]  # one, a few, many


class Table:
    """The edges of one relation of one type.

    Attributes:
        direct: Subjects that are things, by object.
        usersets: Subjects that stand for others (`group:eng#member`), by object.
        objects: Objects by subject of either sort.
        expiries: Unix seconds, for the edges that expire.
    """

    __slots__ = ("direct", "expiries", "objects", "usersets")

    def __init__(self) -> None:
        self.direct: dict[str, Names] = {}
        self.usersets: dict[str, Names] = {}
        self.objects: dict[str, Names] = {}
        self.expiries: dict[tuple[str, str], float] = {}

    def holds(self, object_: str, subject: str, at: float) -> bool:
        """Say whether there is an edge to a subject that is a thing."""
        return has(self.direct.get(object_), subject) and self._lasts(object_, subject, at)

    def holds_userset(self, object_: str, subject: str, at: float) -> bool:
        """Say whether there is an edge to a subject that stands for others."""
        return has(self.usersets.get(object_), subject) and self._lasts(object_, subject, at)

    def things(self, object_: str, at: float) -> Iterable[str]:
        """Return the subjects of an object that are things."""
        return self._lasting(object_, each(self.direct.get(object_)), at)

    def stand_ins(self, object_: str, at: float) -> Iterable[str]:
        """Return the subjects of an object that stand for others."""
        return self._lasting(object_, each(self.usersets.get(object_)), at)

    def objects_of(self, subject: str) -> Collection[str]:
        """Return the objects with an edge to a subject, expired or not."""
        return each(self.objects.get(subject))

    def add(self, object_: str, subject: str, expires_at: float) -> bool:
        """Keep an edge; returns whether it is new."""
        subjects = self.usersets if "#" in subject else self.direct
        if self.expiries or expires_at != math.inf:
            self.expiries.pop((object_, subject), None)
            if expires_at != math.inf:
                self.expiries[object_, subject] = expires_at
        if has(subjects.get(object_), subject):
            return False
        _put(subjects, object_, subject)
        _put(self.objects, subject, object_)
        return True

    def remove(self, object_: str, subject: str) -> bool:
        """Forget an edge; returns whether there was one."""
        subjects = self.usersets if "#" in subject else self.direct
        if not has(subjects.get(object_), subject):
            return False
        self.expiries.pop((object_, subject), None)
        _drop(subjects, object_, subject)
        _drop(self.objects, subject, object_)
        return True

    def _lasts(self, object_: str, subject: str, at: float) -> bool:
        return not self.expiries or self.expiries.get((object_, subject), math.inf) > at

    def _lasting(self, object_: str, subjects: Collection[str], at: float) -> Iterable[str]:
        if not self.expiries:
            return subjects
        return [subject for subject in subjects if self._lasts(object_, subject, at)]


class Graph:
    """All edges of a host, by type and relation."""

    def __init__(self) -> None:
        self._tables: dict[tuple[str, str], Table] = {}
        self._by_type: dict[str, set[str]] = {}
        self._size = 0

    @classmethod
    def of(cls, edges: Iterable[Tuple]) -> Graph:
        """Make a graph of a few edges."""
        graph = cls()
        for edge in edges:
            graph.add(*edge.key, _seconds(edge))
        return graph

    def __len__(self) -> int:
        return self._size

    def table(self, kind: str, relation: str) -> Table | None:
        """Return the edges of a relation, or None if there are none."""
        return self._tables.get((kind, relation))

    def tables(self) -> Iterator[tuple[str, str, Table]]:
        """Return every type, relation and their edges."""
        for (kind, relation), table in self._tables.items():
            yield kind, relation, table

    def relations_of(self, kind: str) -> frozenset[str]:
        """Return the relations that objects of a type were seen with."""
        return frozenset(self._by_type.get(kind, ()))

    def add(self, object_: str, relation: str, subject: str, expires_at: float = math.inf) -> None:
        """Keep an edge; keeping it again changes how long it lasts."""
        kind = object_.partition(":")[0]
        table = self._tables.get((kind, relation))
        if table is None:
            table = self._tables[sys.intern(kind), sys.intern(relation)] = Table()
            self._by_type.setdefault(kind, set()).add(relation)
        self._size += table.add(sys.intern(object_), sys.intern(subject), expires_at)

    def remove(self, object_: str, relation: str, subject: str) -> None:
        """Forget an edge, if it is there."""
        kind = object_.partition(":")[0]
        table = self._tables.get((kind, relation))
        if table is not None and table.remove(object_, subject):
            self._size -= 1
            if not table.objects:
                del self._tables[kind, relation]
                self._by_type[kind].discard(relation)

    def apply(self, sign: str, edge: Tuple) -> None:
        """Follow one change."""
        if sign == ADDED:
            self.add(*edge.key, _seconds(edge))
        else:
            self.remove(*edge.key)


def has(names: Names | None, name: str) -> bool:
    """Say whether a name is among them."""
    if names is None:
        return False
    return names == name if isinstance(names, str) else name in names


def each(names: Names | None) -> Collection[str]:
    """Return the names one by one."""
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else names


def _put(index: dict[str, Names], key: str, name: str) -> None:
    present = index.get(key)
    if present is None:
        index[key] = name
    elif isinstance(present, str):
        index[key] = (present, name)
    elif isinstance(present, set):
        present.add(name)
    elif len(present) < _FEW:
        index[key] = (*present, name)
    else:
        index[key] = {*present, name}


def _drop(index: dict[str, Names], key: str, name: str) -> None:
    present = index[key]
    if isinstance(present, set):
        present.discard(name)
        left: Names = present
    else:
        left = tuple(other for other in each(present) if other != name)
    if not left:
        del index[key]
    elif len(left) == 1 and not isinstance(left, set):
        index[key] = left[0]
    else:
        index[key] = left


def _seconds(edge: Tuple) -> float:
    return math.inf if edge.expires_at is None else edge.expires_at.timestamp()
