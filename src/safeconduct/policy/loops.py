"""Telling how long a host's rules can run: how deep their loops are nested in one another.

A loop takes as many steps as its input has items, a loop in a loop takes all of them again for
each, and functions that call functions twice double their steps each time. Told from the text
alone and too deep in doubt, which costs such rules some microseconds (`apart`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from safeconduct.policy.inspection import chain, read_module, syntax_tree

if TYPE_CHECKING:
    from safeconduct.policy.inspection import Module
    from safeconduct.policy.rego import Modules

ENDLESS = 9
_QUERIES = ("ArrayCompr", "SetCompr", "ObjectCompr", "Every")
_MOST_STEPS = 2000
# Built-ins that look at every item they are given count as a loop.
_THOROUGH = frozenset(
    """
    array.concat array.reverse array.slice concat intersection json.filter json.marshal json.remove
    json.unmarshal max min object.filter object.keys object.remove object.subset object.union
    object.union_n product sort  sum union
    """.split()  # noqa: SIM905  they read better as a paragraph
)


def loop_depth(modules: Modules) -> int:
    """Return how deep loops are nested; 0 where there are none, `ENDLESS` where nothing is sure.

    Raises:
        BundleError: If a module is not Rego.
    """
    read = [read_module(file, text) for file, text in modules]
    if _branches(read):
        return ENDLESS
    loops = _Loops()
    for module, (file, text) in zip(read, modules, strict=True):
        given = {*module.imports, *(rule.name for rule in module.rules)}
        for rule in syntax_tree(file, text)["rules"]:
            loops.add(rule, given)
    return loops.deepest()


class _Loops:
    """The bodies of all rules, those of functions also by name."""

    def __init__(self) -> None:
        self._bodies: list[tuple[Any, set[str]]] = []
        self._functions: dict[str, list[tuple[Any, set[str]]]] = {}
        self._depths: dict[str, int] = {}

    def add(self, rule: Any, given: set[str]) -> None:
        """Take one rule in.

        Args:
            rule: Its syntax.
            given: Names that have a value anywhere in its file.
        """
        (spec,) = rule.values()
        head, bodies = spec.get("head", spec), spec.get("bodies", ())
        parts = [[body, *([] if number else [head])] for number, body in enumerate(bodies)]
        for part in parts or [[head]]:
            entry = (part, given | set(_parameters(head)))
            self._bodies.append(entry)
            if "Func" in head:
                self._functions.setdefault(_last_name(head["Func"]["refr"]), []).append(entry)

    def deepest(self) -> int:
        """Return the depth of the deepest."""
        return max((self._depth(part, given) for part, given in self._bodies), default=0)

    def _depth(self, tree: Any, given: set[str]) -> int:
        """Return the depth of one query: its own loops, and the deepest inside them."""
        own, inner = set[str](), [0]
        known = (given | set(_assigned(tree))) - {"_"}
        for kind, piece in _pieces(tree):
            if kind == "index":
                own.update(
                    f"_{len(own)}" if name == "_" else name
                    for name in _names(piece)
                    if name not in known
                )
            elif kind == "some":
                own.add(f"some {len(own)}")
            elif kind == "call":
                thorough = ".".join(chain(piece)[0]) in _THOROUGH
                inner.append(1 if thorough else self._function(_last_name(piece)))
            else:
                inner.append(self._depth(piece, known) + (kind == "every"))
        return min(len(own) + max(inner), ENDLESS)

    def _function(self, name: str) -> int:
        if name not in self._depths:
            self._depths[name] = ENDLESS  # should it call itself after all
            found = self._functions.get(name, ())
            self._depths[name] = max((self._depth(*each) for each in found), default=0)
        return self._depths[name]


def _pieces(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield what matters of one query, and its inner queries unopened."""
    if isinstance(tree, list):
        for each in tree:
            yield from _pieces(each)
        return
    if not isinstance(tree, dict):
        return
    for member, part in tree.items():
        match member:
            case "ArrayCompr" | "SetCompr" | "ObjectCompr":
                yield "inner", [each for name, each in part.items() if name != "span"]
            case "Every":
                yield "every", part["query"]
                yield from _pieces(part["domain"])
            case "SomeIn":
                yield "some", part
                yield from _pieces(part)
            case "RefBrack":
                yield "index", part["index"]
                yield from _pieces(part)
            case "Call":
                yield "call", part["fcn"]
                yield from _pieces(part)
            case _:
                yield from _pieces(part)


def _assigned(tree: Any) -> Iterator[str]:
    """Yield the names that a query's own statements give a value without looping on them."""
    if isinstance(tree, list):
        for each in tree:
            yield from _assigned(each)
        return
    if not isinstance(tree, dict):
        return
    for member, part in tree.items():
        match member:
            case "AssignExpr" if part["op"] == "ColEq":
                yield from _names(part["lhs"])
            case "SomeIn":
                yield from _names([part["key"], part["value"]])
            case _ if member not in _QUERIES:
                yield from _assigned(part)
            case _:
                pass


def _parameters(head: Any) -> Iterator[str]:
    if "Func" in head:
        yield from _names(head["Func"]["args"])


def _names(tree: Any) -> Iterator[str]:
    """Yield the names in a piece of syntax that are not the beginning of a path."""
    match tree:
        case {"Var": {"value": str(name)}}:
            yield name
        case {"RefDot": _} | {"RefBrack": _} | {"Call": _}:
            pass
        case dict():
            yield from _names(list(tree.values()))
        case list():
            for inner in tree:
                yield from _names(inner)
        case _:
            pass


def _last_name(refr: Any) -> str:
    match refr:
        case {"Var": {"value": str(name)}}:
            return name
        case {"RefDot": {"field": [_, str(name)]}}:
            return name
        case _:
            return ""


def _branches(modules: list[Module]) -> bool:
    """Tell whether evaluating a rule takes many steps, each use of a name counted again."""
    uses: dict[str, list[str]] = {}
    for module in modules:
        for rule in module.rules:
            # By single names: more are taken for one another than are, never fewer.
            used = [name for each in rule.references for name in each.path if name != rule.name]
            uses.setdefault(rule.name, []).extend(used)
    steps: dict[str, int] = {}
    return any(_steps(name, uses, steps, 0) > _MOST_STEPS for name in uses)


def _steps(name: str, uses: dict[str, list[str]], steps: dict[str, int], depth: int) -> int:
    """Count the steps of a rule; too deep counts as too many."""
    if name in steps:
        return steps[name]
    if depth > len(uses):
        return _MOST_STEPS + 1
    total = 1
    for used in uses[name]:
        if used in uses and total <= _MOST_STEPS:
            total += _steps(used, uses, steps, depth + 1)
    steps[name] = min(total, _MOST_STEPS + 1)
    return steps[name]
