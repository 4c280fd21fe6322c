"""Which variables a piece of a rule has: what it declares, what it uses, what gets a value in it.

A closure (a comprehension, or what follows `every x in xs`) has variables of its own. Everything
here is told from syntax trees, with the names that are no variables (rules and imports) given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

Tree = dict[str, Any]
Names = frozenset[str]

NOTHING: Names = frozenset()
ANY = "_"
_COMPREHENSIONS = ("ArrayCompr", "SetCompr", "ObjectCompr")


class Closure:
    """A query inside a statement, with what is made of each of its results."""

    def __init__(self, query: Tree, terms: list[Tree], given: Names) -> None:
        """Keep its parts.

        Args:
            query: Its statements.
            terms: What a comprehension collects.
            given: What `every` gives a value to each time.
        """
        self.query = query
        self.terms = terms
        self.given = given


def closures(tree: Any, name_of: Callable[[Tree], str]) -> Iterator[Closure]:
    """Yield the closures of a piece of syntax, but not those inside them."""
    match tree:
        case {"Every": every}:
            given = [every[part] for part in ("key", "value") if every.get(part)]
            yield Closure(every["query"], [], frozenset(name_of(each) for each in given))
            yield from closures(every["domain"], name_of)
        case dict():
            for kind in _COMPREHENSIONS:
                if kind in tree:
                    inner = tree[kind]
                    terms = [inner[part] for part in ("key", "value", "term") if part in inner]
                    yield Closure(inner["query"], terms, NOTHING)
                    return
            yield from closures(list(tree.values()), name_of)
        case list():
            for each in tree:
                yield from closures(each, name_of)
        case _:
            pass


def outside(tree: Any) -> Iterator[Tree]:
    """Yield every mapping in a piece of syntax that is in none of its closures."""
    match tree:
        case {"Every": every}:
            yield from outside(every["domain"])
        case dict():
            yield tree
            if not any(kind in tree for kind in _COMPREHENSIONS):
                for name, part in tree.items():
                    if name != "fcn":
                        yield from outside(part)
        case list():
            for each in tree:
                yield from outside(each)
        case _:
            pass


def direct(tree: Any) -> Names:
    """Return the names that a piece of syntax uses outside its closures."""
    return frozenset(_name(each) for each in outside(tree) if "Var" in each) - {ANY}


def pattern(tree: Tree) -> Names:
    """Return the names that take a value where a piece of syntax is compared with one."""
    match tree:
        case {"Var": {"value": str(name)}}:
            return frozenset({name})
        case {"Array": {"items": items}} | {"Set": {"items": items}}:
            return NOTHING.union(*(pattern(each) for each in items))
        case {"Object": {"fields": fields}}:
            return NOTHING.union(*(pattern(each) for field in fields for each in field[1:]))
        case _:
            return NOTHING


def objects(tree: Tree) -> Iterator[Tree]:
    """Yield the objects that are written out in a pattern."""
    match tree:
        case {"Array": {"items": items}}:
            for each in items:
                yield from objects(each)
        case {"Object": _}:
            yield tree
        case _:
            pass


def indexes(tree: Any) -> Iterator[tuple[str | None, Tree]]:
    """Yield what stands in brackets behind a name, with the name that it begins with."""
    for each in outside(tree):
        if "RefBrack" in each:
            yield root(each), each["RefBrack"]["index"]


def root(tree: Tree) -> str | None:
    """Return the name that a reference begins with, if it begins with one."""
    match tree:
        case {"Var": {"value": str(name)}}:
            return name
        case {"RefDot": {"refr": inner}} | {"RefBrack": {"refr": inner}}:
            return root(inner)
        case _:
            return None


def path_of(tree: Tree) -> tuple[str, ...]:
    """Return a name with dots, part by part; empty for anything else."""
    match tree:
        case {"Var": {"value": str(name)}}:
            return (name,)
        case {"RefDot": {"refr": inner, "field": [_, str(name)]}}:
            before = path_of(inner)
            return (*before, name) if before else ()
        case _:
            return ()


def called(tree: Any) -> Iterator[str]:
    """Yield the first part of the name of everything that a piece of syntax calls."""
    match tree:
        case dict():
            if "Call" in tree and (name := root(tree["Call"]["fcn"])):
                yield name
            for each in tree.values():
                yield from called(each)
        case list():
            for each in tree:
                yield from called(each)
        case _:
            pass


def assigned(literal: Tree) -> tuple[str, Tree, Tree] | None:
    """Return how a statement gives values (`ColEq` or `Eq`), and both its sides, if it does."""
    match literal:
        case {"Expr": {"expr": {"AssignExpr": {"op": str(sign), "lhs": left, "rhs": right}}}}:
            return sign, left, right
        case _:
            return None


class Reached:
    """Which names have a value after some statements, in whatever order these run."""

    def __init__(self, start: Names, trees: Iterable[Tree] = ()) -> None:
        """Begin.

        Args:
            start: Names that have a value before.
            trees: The first statements.
        """
        self.names = set(start)
        self._waiting: dict[str, list[Tree]] = {}
        for each in trees:
            self.add(each)

    def add(self, tree: Tree) -> None:
        """Add a statement, which those before it may wait for."""
        queue = [tree]
        while queue:
            each = queue.pop()
            new = _given(each, self.names) - self.names
            self.names |= new
            for name in new:
                queue += self._waiting.pop(name, [])
            for name in direct(each) - self.names:
                self._waiting.setdefault(name, []).append(each)


def _given(tree: Tree, bound: AbstractSet[str]) -> Names:
    """Return the names that a statement gives a value, if these have one."""
    if "NotExpr" in tree:
        return NOTHING
    found = NOTHING.union(
        *(pattern(index) for name, index in indexes(tree) if name is None or name in bound)
    )
    given = assigned(tree)
    if given:
        sign, left, right = given
        found |= _matched(left, right, (bound, found), both=sign == "Eq")
    if "SomeIn" in tree and direct(tree["SomeIn"]["collection"]) - found <= bound:
        some = tree["SomeIn"]
        found |= pattern(some["value"]) | (pattern(some["key"]) if some.get("key") else NOTHING)
    return found - {ANY}


def _matched(
    left: Tree, right: Tree, known: tuple[AbstractSet[str], Names], *, both: bool
) -> Names:
    """Return the names that get a value where two sides are matched."""
    match left, right:
        case {"Array": {"items": ones}}, {"Array": {"items": others}} if len(ones) == len(others):
            pairs = zip(ones, others, strict=True)
            return NOTHING.union(*(_matched(one, other, known, both=both) for one, other in pairs))
        case _:
            bound, found = known
            left_known = direct(left) - found <= bound
            given = pattern(left) if direct(right) - found <= bound else NOTHING
            return given | (pattern(right) if both and left_known else NOTHING)


def _name(tree: Tree) -> str:
    return str(tree["Var"]["value"])
