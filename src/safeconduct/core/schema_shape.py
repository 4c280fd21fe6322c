"""The names a JSON schema knows at each place, whichever branch of it says so.

For what is no matter of fitting: a member that is a declared one but for its case or width would
not be looked at by us, and servers that ignore case (Go's encoding/json) or normalise take it for
the declared one. Also whether a schema says at all what type stands somewhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from safeconduct.core.json_schema import referred
from safeconduct.core.schema_faults import Fault, Run

Schema = dict[str, Any]
_MOST_PLACES = 5_000
_MOST_SCHEMAS = 500  # that say something of one place
_ALIKE = "differs from another name by case or width alone"
_INHERITED = "is what others inherit from, to servers in JavaScript that merge objects"
_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_IN_PLACE = ("if", "then", "else", "not")
# Keys of what is made of a place, beside those of one name, which are declared members.
_OTHERS: tuple[str, ...] = ()
_ITEMS = ("items", "of an array")
_TYPED = frozenset({"type", "enum", "const"})


def folded(name: str) -> str:
    """Return a name as a reader may see it that ignores case and width."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFKC", name).casefold()


class Shape:
    """One place: everything that a schema says of it, taken together.

    Attributes:
        names: The members it declares.
        closed: Whether it has no room for members that it does not declare.
    """

    def __init__(self, schemas: Iterable[object], *, book: _Book) -> None:
        self._book = book
        self._schemas = list(book.all_of(schemas))
        self.names = frozenset().union(*(_properties(each) for each in self._schemas))
        self._folded = {folded(name): name for name in self.names}
        self.closed = any(each.get("additionalProperties") is False for each in self._schemas)
        self._children: dict[tuple[str, ...], Shape | None] = {}

    @classmethod
    def of(cls, schema: object) -> Shape:
        """Return what a schema says of a value as a whole."""
        return cls([schema], book=_Book(schema))

    def member(self, name: str) -> Shape | None:
        """Return the place of a member; None where nothing is said of it."""
        key = (name,) if name in self.names else _OTHERS
        if key not in self._children:
            self._children[key] = self._made(
                inner for each in self._schemas for inner in _of_member(each, key)
            )
        return self._children[key]

    def item(self) -> Shape | None:
        """Return the place of the items of an array, whatever their index."""
        if _ITEMS not in self._children:
            self._children[_ITEMS] = self._made(
                inner for each in self._schemas for inner in _of_items(each)
            )
        return self._children[_ITEMS]

    def inherited(self, value: Any, run: Run) -> Fault | None:
        """Return the first member that is no plain member to a server that copies objects.

        What an object of JavaScript inherits is read like members of its own, so a member that is
        merged into `__proto__` or `constructor.prototype` is one that nobody decided about. A
        schema may declare either.
        """
        return _inherited(value, self, run)

    def twin(self, value: Any, run: Run) -> Fault | None:
        """Return the first member that is a declared one but for its case, at any depth."""
        if type(value) is dict:
            return self._twin_of_members(value, run)
        if type(value) is not list or not value:
            return None
        inner = self.item()
        run.spend(len(value))
        for index, item in enumerate(value if inner is not None else ()):
            if type(item) in {dict, list} and inner is not None:
                fault = inner.twin(item, run)
                if fault is not None:
                    return fault.under(index)
        return None

    def _twin_of_members(self, value: dict[str, Any], run: Run) -> Fault | None:
        run.spend(len(value))
        if not self.names.issuperset(value):
            for name in value:
                if name not in self.names and folded(name) in self._folded:
                    return Fault((name,), _ALIKE)
        for name, member in value.items():
            if type(member) in {dict, list}:
                inner = self.member(name)
                fault = None if inner is None else inner.twin(member, run)
                if fault is not None:
                    return fault.under(name)
        return None

    def _made(self, schemas: Iterator[object]) -> Shape | None:
        found = list(schemas)
        return self._book.shape(found) if found else None


def _inherited(value: Any, shape: Shape | None, run: Run) -> Fault | None:
    if type(value) is list:
        inner = None if shape is None else shape.item()
        faults = ((index, _inherited(item, inner, run)) for index, item in enumerate(value))
    elif type(value) is dict:
        declared = frozenset() if shape is None else shape.names
        for name in value:
            if name not in declared and _is_inherited(name, value[name]):
                return Fault((name,), _INHERITED)
        faults = (
            (name, _inherited(member, None if shape is None else shape.member(name), run))
            for name, member in value.items()
            if type(member) in {dict, list}
        )
    else:
        return None
    run.spend(len(value))
    return next((fault.under(step) for step, fault in faults if fault is not None), None)


def _is_inherited(name: str, member: Any) -> bool:
    if name == "constructor":
        return type(member) is dict and "prototype" in member
    return name == "__proto__"


class _Book:
    """One whole schema, and the places of it that have been made."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._shapes: dict[frozenset[int], Shape] = {}

    def shape(self, schemas: list[object]) -> Shape | None:
        """Return the place that these schemas describe; None where there are too many."""
        key = frozenset(map(id, schemas))
        if key not in self._shapes:
            if len(self._shapes) >= _MOST_PLACES:
                return None
            self._shapes[key] = Shape(schemas, book=self)
        return self._shapes[key]

    def all_of(self, schemas: Iterable[object]) -> Iterator[Schema]:
        """Yield schemas with all that speak of the same place, each once."""
        waiting, seen = list(schemas), set[int]()
        while waiting and len(seen) < _MOST_SCHEMAS:
            each = waiting.pop()
            if not isinstance(each, dict) or id(each) in seen:
                continue
            seen.add(id(each))
            yield each
            waiting += self._beside(each)

    def _beside(self, schema: Schema) -> Iterator[object]:
        for name in _IN_PLACE_LISTS:
            branches = schema.get(name)
            yield from branches if isinstance(branches, list) else ()
        yield from (schema[name] for name in _IN_PLACE if name in schema)
        for name in ("dependentSchemas", "dependencies"):
            dependent = schema.get(name)
            yield from dependent.values() if isinstance(dependent, dict) else ()
        reference = schema.get("$ref")
        if isinstance(reference, str):
            try:
                yield referred(self._root, reference)
            except LookupError:
                return


def _properties(schema: Schema) -> frozenset[str]:
    properties = schema.get("properties")
    return frozenset(properties) if isinstance(properties, dict) else frozenset()


def _of_member(schema: Schema, key: tuple[str, ...]) -> Iterator[object]:
    properties = schema.get("properties")
    if key != _OTHERS and isinstance(properties, dict) and key[0] in properties:
        yield properties[key[0]]
        return
    patterned = schema.get("patternProperties")
    yield from patterned.values() if isinstance(patterned, dict) else ()
    if "additionalProperties" in schema:
        yield schema["additionalProperties"]


def _of_items(schema: Schema) -> Iterator[object]:
    for name in ("items", "additionalItems", "contains", "prefixItems"):
        items = schema.get(name)
        if isinstance(items, list):
            yield from items
        elif items is not None:
            yield items
