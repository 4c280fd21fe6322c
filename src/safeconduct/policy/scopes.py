"""Variables that mean something else here than in OPA, or that nothing gives a value.

OPA puts the statements of a rule in an order in which every variable has its value before it is
needed, and refuses a rule that has no such order. The interpreter runs a negation where it
stands, looks in vain for what has no value, takes a name that `some` declares for the rule or
the variable that has that name already, and takes an object in a pattern for some of its
members. So a host's rules give each variable a name of its own, and a value before a negation
asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from safeconduct.policy.arities import spelled_as_equality
from safeconduct.policy.rego import BundleError
from safeconduct.policy.variables import (
    ANY,
    NOTHING,
    Closure,
    Names,
    Reached,
    Tree,
    assigned,
    called,
    closures,
    direct,
    indexes,
    objects,
    pattern,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

_DOCUMENTS = frozenset({"data", "input"})


class _Around(NamedTuple):
    """What a query finds when it begins.

    Attributes:
        bound: Names that have a value.
        known: Names that `some` may not declare again.
    """

    bound: Names
    known: Names


class _Statement(NamedTuple):
    """A statement, or what is made of the results."""

    tree: Tree
    line: int


def check_scopes(
    file: str, text: str, tree: Tree, shared: Names, functions: Mapping[str, int]
) -> None:
    """Refuse a file whose variables could be mistaken.

    Args:
        file: Its name.
        text: It, as the tree's places count it.
        tree: It.
        shared: The names of the rules and imports of its package.
        functions: How many parameters the host's functions have.

    Raises:
        BundleError: At the first; the message names file and line.
    """
    check = _Check(file, text.encode(), shared | _DOCUMENTS)
    for rule in tree["rules"]:
        if "Spec" in rule:
            check.rule(spelled_as_equality(rule["Spec"], functions))


class _Check:
    """One file."""

    def __init__(self, file: str, raw: bytes, shared: Names) -> None:
        self._file = file
        self._raw = raw
        self._shared = shared
        self._called: Names = NOTHING

    def rule(self, spec: Tree) -> None:
        ((_, head),) = spec["head"].items()
        line, arguments = _line(head["refr"]), head.get("args") or []
        self._called = frozenset(called(spec))
        given = self._parameters(arguments, line)
        around = _Around(given | (self._shared - given), given | self._shared)
        values = [head.get("key"), (head.get("assign") or {}).get("value"), *_keys(head["refr"])]
        if not spec["bodies"]:
            self._query([], _terms(values), around)
        for number, body in enumerate(spec["bodies"]):
            statements = _statements(body["query"])
            if number and not body["is_else"]:
                self._refuse(
                    statements[0].line if statements else line,
                    "a second body behind the first means something else here; write two rules",
                )
            made = [(body["assign"] or {}).get("value")] if number else values
            self._query(statements, _terms(made), around)

    def _parameters(self, arguments: list[Tree], line: int) -> Names:
        seen: Names = NOTHING
        for argument in arguments:
            names = pattern(argument) - {ANY}
            self._no_objects(argument, line)
            for name in sorted(names & seen):
                self._refuse(line, f"{name} is a parameter twice; name two and write `a == b`")
            seen |= names
        for name in sorted(seen & _DOCUMENTS):
            self._refuse(line, f"{name} cannot be a parameter; give it a name of its own")
        self._not_called(seen, line)
        return seen

    def _query(self, query: list[_Statement], terms: list[_Statement], around: _Around) -> None:
        """Judge the statements of a body or a closure, and what is made of its results."""
        declared = NOTHING.union(*(self._declared(each.tree) for each in query))
        start = around.bound - declared
        trees = [each.tree for each in (*query, *terms)]
        bound = Reached(start, trees).names
        self._names(query, terms, around, bound)
        self._values(query, terms, start, bound)

    def _names(
        self,
        query: list[_Statement],
        terms: list[_Statement],
        around: _Around,
        bound: AbstractSet[str],
    ) -> None:
        """Refuse declarations of what has a meaning already, here and in closures."""
        used: set[str] = set()
        for statement in query:
            literal, line = statement
            names = self._declared(literal)
            if "SomeVars" in literal or "SomeIn" in literal:
                self._is_new((names & around.known) | (names & used), line)
            self._twice(literal, line)
            self._not_called(names, line)
            used |= names | direct(literal)
            self._inside(statement, bound, around.known, used)
            used |= self._free(literal)
        for term in terms:
            self._inside(term, bound, around.known, used | direct(term.tree))

    def _values(
        self,
        query: list[_Statement],
        terms: list[_Statement],
        start: Names,
        bound: AbstractSet[str],
    ) -> None:
        """Refuse what has no value where it is needed."""
        before = Reached(start)
        for literal, line in query:
            self._patterns(literal, before.names, line)
            if "NotExpr" in literal or "Every" in literal:
                needed = direct(literal) if "NotExpr" in literal else NOTHING
                self._in_time(needed | (self._free(literal) & bound), before.names, bound, line)
            self._has_value(direct(literal) - bound, line)
            before.add(literal)
        for tree, line in terms:
            self._has_value(direct(tree) - bound, line)

    def _inside(
        self,
        statement: _Statement,
        bound: AbstractSet[str],
        known: Names,
        used: AbstractSet[str],
    ) -> None:
        for closure in self._closures(statement.tree):
            self._not_called(closure.given, statement.line)
            around = _Around(closure.given | bound, closure.given | known | used)
            self._query(_statements(closure.query), _terms(closure.terms), around)

    def _in_time(
        self, needed: Names, before: AbstractSet[str], bound: AbstractSet[str], line: int
    ) -> None:
        for name in sorted(needed - before):
            if name in bound:
                self._refuse(
                    line,
                    f"{name} has no value yet where this is asked; put it behind what gives "
                    f"{name} one",
                )
            self._refuse(
                line,
                f"nothing gives {name} a value outside of `not`; write a rule that asks with "
                f"`some {name}`, and negate that rule",
            )

    def _has_value(self, names: Names, line: int) -> None:
        for name in sorted(names):
            self._refuse(
                line, f"nothing gives {name} a value; write `{name} := ...` or `some {name} in ...`"
            )

    def _patterns(self, literal: Tree, before: AbstractSet[str], line: int) -> None:
        """Refuse objects in patterns, which would be compared in part."""
        for _, index in indexes(literal):
            self._no_open_objects(index, before, line)
        given = assigned(literal)
        if given and given[0] == "Eq":
            self._no_open_objects(given[1], before, line)
            self._no_open_objects(given[2], before, line)
        elif given:
            self._no_objects(given[1], line)
        elif "SomeIn" in literal:
            some = literal["SomeIn"]
            for each in (some.get("key"), some["value"]):
                if each:
                    self._no_objects(each, line)

    def _no_open_objects(self, tree: Tree, before: AbstractSet[str], line: int) -> None:
        if any(pattern(each) - before for each in objects(tree)):
            self._no_objects(tree, line)

    def _no_objects(self, tree: Tree, line: int) -> None:
        if any(objects(tree)):
            self._refuse(
                line,
                "an object in a pattern means something else here; take the whole value, ask for "
                "its members (`x := value.a`) and, if no more may be there, for `object.keys`",
            )

    def _is_new(self, known: Names, line: int) -> None:
        for name in sorted(known):
            self._refuse(
                line,
                f"`some` declares {name}, which a rule, an import or another variable is called "
                "already; use another name",
            )

    def _twice(self, literal: Tree, line: int) -> None:
        match literal:
            case {"SomeIn": {"key": dict(key), "value": value}}:
                names = (pattern(key) & pattern(value)) - {ANY}
            case {"Every": {"key": dict(key), "value": dict(value)}}:
                names = frozenset({self._text(key)}) & {self._text(value)} - {ANY}
            case _:
                return
        for name in sorted(names):
            self._refuse(line, f"{name} is both key and value; name two and write `a == b`")

    def _not_called(self, names: Names, line: int) -> None:
        for name in sorted(names & self._called):
            self._refuse(line, f"{name} is also what this rule calls; use another name")

    def _declared(self, literal: Tree) -> Names:
        """Return the names that a statement declares."""
        match literal:
            case {"SomeVars": {"vars": names}}:
                found = frozenset(self._text(each) for each in names)
            case {"SomeIn": {"key": key, "value": value}}:
                found = pattern(value) | (pattern(key) if key else NOTHING)
            case _:
                given = assigned(literal)
                found = pattern(given[1]) if given and given[0] == "ColEq" else NOTHING
        return found - {ANY}

    def _free(self, tree: Any) -> Names:
        """Return the names that closures use and do not declare."""
        found: Names = NOTHING
        for closure in self._closures(tree):
            trees = [*(each["literal"] for each in closure.query["stmts"]), *closure.terms]
            own = closure.given.union(*(self._declared(each) for each in trees))
            found |= (direct(trees) | self._free(trees)) - own
        return found

    def _closures(self, tree: Any) -> list[Closure]:
        return list(closures(tree, self._text))

    def _text(self, span: Tree) -> str:
        return self._raw[span["start"] : span["end"]].decode()

    def _refuse(self, line: int, problem: str) -> NoReturn:
        raise BundleError(f"{self._file}:{line}: {problem}")


def _statements(query: Tree) -> list[_Statement]:
    return [_Statement(each["literal"], each["span"]["line"]) for each in query["stmts"]]


def _terms(trees: Sequence[Tree | None]) -> list[_Statement]:
    return [_Statement(each, _line(each)) for each in trees if each]


def _keys(refr: Tree) -> list[Tree | None]:
    """Return what stands in brackets in a head."""
    match refr:
        case {"RefBrack": {"refr": inner, "index": index}}:
            return [*_keys(inner), index]
        case {"RefDot": {"refr": inner}}:
            return _keys(inner)
        case _:
            return []


def _line(tree: Tree) -> int:
    ((_, inner),) = tree.items()
    line: int = inner["span"]["line"]
    return line
