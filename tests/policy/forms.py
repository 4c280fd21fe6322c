"""Random modules made of forms of rules: heads, defaults, functions, else, every, comprehensions.

A seed makes two files of a host, one that uses the other, and inputs for them. Rules only refer
to those before them, so nothing is recursive. Much of it OPA's compiler refuses, which is the
caller's to skip.
"""

from __future__ import annotations

from random import Random
from typing import Any

from safeconduct.policy.rego import Modules

DATA: dict[str, Any] = {
    "m": {"a": {"x": 1, "y": 2}, "b": {"x": 1}},
    "xs": [1, 2, 3, 2],
    "names": ["a", "b"],
    "groups": {"a": ["s", "t"], "b": ["t"], "c": []},
}
UTIL, MAIN = "safeconduct.host.util", "safeconduct.host"

_CONSTANTS = ['"a"', '"b"', "1", "2", "0", "true", "false", "null", "[]", "{}", "[1]", '{"a": 1}']
_DEFAULTS = [
    "[x | some x in data.xs; x > 1]",
    "{x | some x in data.names}",
    "[1 | false]",
    "{k: v | some k, v in data.m}",
    "[y | y := data.xs[_]]",
    "{i: e | e := data.xs[i]}",
    "7",
]
_PATHS = ["[{k}].since", ".a[{k}]", "[{k}][{j}]", ".a.b", ".a.c", "[{k}].a[{j}]", "[{k}].until"]
_SETS = ["[{k}]", ".a[{k}]", "[{k}][{j}]", ".a", ".b.c", "[{k}].all"]
_NESTED = [".a.b", ".a.c", ".b[2].c", '.a["d"]', '["q"].r.s']
_INPUTS = ["input.k", "input.n", "input.xs", "input.o", "input.o.a", "input.t", "input.xs[0]"]
_DOCUMENTS = ["data.m.a.x", "data.m[input.k].x", "data.m[input.k]", "data.xs[input.n]", "data.m.a"]
_COLLECTIONS = ["data.xs", "data.names", "data.m", "data.groups", "input.xs", "input.o"]
_NUMBERS = ["input.n", "1", "2", "data.m.a.x", "count(data.xs)"]


def _odds(**times: int) -> list[str]:
    return [word for word, count in times.items() for _ in range(count)]


_RULES = _odds(value=3, members=2, keys=2, function=2, holds=1, default=1, other=1)
_HEADS = [*_RULES, "path", "map_of_sets", "constants"]
_STATEMENTS = _odds(
    some=1,
    pairs=1,
    assign=2,
    compare=2,
    negated=2,
    every=1,
    term=1,
    index=1,
    unify=1,
    within=1,
    destructure=1,
    shadow=1,
    holding=1,
)
# Where variables have no name of their own, no value yet or no whole value.
_ODD_STATEMENTS = [*_STATEMENTS, *_odds(taken=1, early=1, unbound=1, parts=1)]
_TERMS = _odds(
    constant=1,
    input=2,
    document=1,
    local=3,
    rule=3,
    member=1,
    call=1,
    comprehension=1,
    got=1,
    array=1,
    object=1,
    set=1,
    counted=1,
    sum=1,
)


class Forms:
    """Writes one set of modules, and inputs for it."""

    def __init__(self, seed: int, *, everything: bool = False) -> None:
        """Begin.

        Args:
            seed: The same seed writes the same.
            everything: Also forms that a host's rules may not have.
        """
        self._random = Random(seed)
        self._heads = _HEADS if everything else _RULES
        self._statements = _ODD_STATEMENTS if seed % 4 == 1 else _STATEMENTS
        self._rules: list[str] = []
        self._functions: list[tuple[str, int]] = []
        self._fresh = 0

    def modules(self) -> Modules:
        util = self._file(UTIL, self._random.randint(2, 4), "u")
        self._rules = [f"data.{UTIL}.{name}" for name in self._rules]
        self._functions = [(f"data.{UTIL}.{name}", arity) for name, arity in self._functions]
        self._rules.append(f"data.{UTIL}")  # the package as a document
        main = self._file(MAIN, self._random.randint(3, 6), "r")
        return (("host/util.rego", util), ("host/main.rego", main))

    def input(self) -> dict[str, Any]:
        given = {
            "k": self._pick(["a", "b", "z"]),
            "n": self._pick([0, 1, 2, 5]),
            "xs": self._pick([[], [1], [1, 2, 3], [2, 2], "a"]),
            "o": self._pick([{}, {"a": 1}, {"a": 1, "b": 2}, {"a": {"b": 1}}]),
            "t": self._pick([True, False, None]),
        }
        return {name: value for name, value in given.items() if self._random.random() < 0.75}

    def _file(self, package: str, count: int, prefix: str) -> str:
        lines = [f"package {package}\n", "import rego.v1\n"]
        for number in range(count):
            form, name = self._pick(self._heads), f"{prefix}{number}"
            lines += [f"{text}\n" for text in getattr(self, f"_{form}")(name)]
            if form != "function":
                self._rules.append(name)
        return "\n".join(lines)

    def _pick(self, choices: list[Any]) -> Any:
        return self._random.choice(choices)

    def _often(self, share: float) -> bool:
        return self._random.random() < share

    def _name(self) -> str:
        self._fresh += 1
        return f"v{self._fresh}"

    # Rules, each under a name.

    def _ruled(self, head: str, most: int) -> list[str]:
        """Write definitions; `{t}` is a term, `{k}` and `{j}` are keys."""
        texts = []
        for _ in range(self._random.randint(1, most)):
            body, names = self._body([])
            text = head.replace("{t}", self._term(names))
            text = text.replace("{k}", self._key(names)).replace("{j}", self._key(names))
            texts.append(f"{text} if {body}")
        return texts

    def _value(self, name: str) -> list[str]:
        default = [f"default {name} := {self._constant()}"] if self._often(0.3) else []
        return default + self._ruled(f"{name} := {{t}}", 2)

    def _holds(self, name: str) -> list[str]:
        return self._ruled(name, 2)

    def _members(self, name: str) -> list[str]:
        return self._ruled(f"{name} contains {{t}}", 2)

    def _keys(self, name: str) -> list[str]:
        return self._ruled(f"{name}[{{k}}] := {{t}}", 2)

    def _default(self, name: str) -> list[str]:
        return [f"default {name} := {self._pick(_DEFAULTS)}", *self._ruled(f"{name} := {{t}}", 1)]

    def _other(self, name: str) -> list[str]:
        (text,) = self._ruled(f"{name} := {{t}}", 1)
        text += "".join(f" else {more}" for more in self._ruled(":= {t}", 2))
        return [f"{text} else := {self._constant()}" if self._often(0.4) else text]

    def _path(self, name: str) -> list[str]:
        return [
            text
            for path in self._random.sample(_PATHS, 2)
            for text in self._ruled(f"{name}{path} := {{t}}", 1)
        ]

    def _map_of_sets(self, name: str) -> list[str]:
        return self._ruled(f"{name}{self._pick(_SETS)} contains {{t}}", 2)

    def _constants(self, name: str) -> list[str]:
        return [f"{name}{path} := {self._constant()}" for path in self._random.sample(_NESTED, 2)]

    def _function(self, name: str) -> list[str]:
        arity = self._pick([1, 1, 2])
        ones = [("x", ["x"]), ("x", ["x"]), ('"a"', []), ("[x, y]", ["x", "y"]), ("_", [])]
        texts = []
        for _ in range(self._pick([1, 2, 2])):
            written, names = self._pick(
                ones if arity == 1 else [("x, z", ["x", "z"]), ("1, _", [])]
            )
            body, inner = self._body(names)
            text = f"{name}({written}) := {self._term(inner)} if {body}"
            if self._often(0.25):
                body, inner = self._body(names)
                text += f" else := {self._term(inner)} if {body}"
            texts.append(text)
        if self._often(0.4):
            texts.insert(0, f"default {name}({', '.join(['_'] * arity)}) := {self._constant()}")
        self._functions.append((name, arity))
        return texts

    # Bodies: `names` are those that have a value, and grow.

    def _body(self, names: list[str]) -> tuple[str, list[str]]:
        names = list(names)
        statements = [self._statement(names) for _ in range(self._pick([1, 1, 2, 3]))]
        return "{ " + "; ".join([*statements, *_used(names)]) + " }", names

    def _statement(self, names: list[str]) -> str:
        text: str = getattr(self, f"_{self._pick(self._statements)}_statement")(names)
        return text

    def _some_statement(self, names: list[str]) -> str:
        source, fresh = self._collection(names), self._name()
        names.append(fresh)
        return f"some {fresh} in {source}"

    def _pairs_statement(self, names: list[str]) -> str:
        source, one, two = self._collection(names), self._name(), self._name()
        names += [one, two]
        return f"some {one}, {two} in {source}"

    def _assign_statement(self, names: list[str]) -> str:
        value, fresh = self._term(names), self._name()
        names.append(fresh)
        return f"{fresh} := {value}"

    def _unify_statement(self, names: list[str]) -> str:
        value, fresh = self._term(names), self._name()
        names.append(fresh)
        return f"some {fresh}; {fresh} = {value}"

    def _destructure_statement(self, names: list[str]) -> str:
        one, two = self._name(), self._name()
        names += [one, two]
        return f"[{one}, {two}] := {self._pick(['input.xs', '[input.k, 1]', 'data.names'])}"

    def _index_statement(self, names: list[str]) -> str:
        source = self._pick([*_COLLECTIONS, *self._rules])
        one, two = self._name(), self._name()
        names += [one, two]
        return f"some {one}; {two} := {source}[{one}]"

    def _taken_statement(self, names: list[str]) -> str:
        taken = self._pick(["u0", "r0", "r1", *names])
        kind = self._pick([f"some {taken} in data.names", f"some {taken}; data.m[{taken}].x == 1"])
        return str(kind)

    def _early_statement(self, names: list[str]) -> str:
        fresh = self._name()
        names.append(fresh)
        early = f"not data.names[{fresh}] == {self._constant()}"
        return str(self._pick([f"{early}; input.xs[{fresh}]", f"input.xs[{fresh}]; {early}"]))

    def _unbound_statement(self, _: list[str]) -> str:
        free, inner = self._name(), self._name()
        return str(
            self._pick(
                [
                    f"some {free}; not data.names[{free}] == {self._constant()}",
                    f"some {free}; {free} == {free}",
                    f"not count([1 | data.names[{inner}] == input.k]) > 0",
                ]
            )
        )

    def _parts_statement(self, names: list[str]) -> str:
        fresh = self._name()
        names.append(fresh)
        return str(
            self._pick(
                [
                    f'{{"a": {fresh}}} = input.o',
                    f'some {{"x": {fresh}}} in data.m',
                    f'[{{"a": {fresh}}}, _] := [input.o, 1]',
                    f'{fresh} := 1; {{"a": {fresh}}} = input.o',
                    f'{fresh} := input.o; {fresh} == {{"a": 1}}',
                ]
            )
        )

    def _shadow_statement(self, names: list[str]) -> str:
        value, source, fresh = self._term(names), self._collection(names), self._name()
        names.append(fresh)
        return f"{fresh} := [w | some w in {source}; w != {value}]"

    def _every_statement(self, names: list[str]) -> str:
        source, fresh = self._collection(names), self._name()
        compared = self._compare_statement([*names, fresh])
        return f"every {fresh} in {source} {{ {compared}; [{fresh}] != 0 }}"

    def _negated_statement(self, names: list[str]) -> str:
        kind = self._pick(["compare", "term", "holding", "within"])
        return f"not {getattr(self, f'_{kind}_statement')(names)}"

    def _within_statement(self, names: list[str]) -> str:
        return f"{self._term(names)} in {self._collection(names)}"

    def _term_statement(self, names: list[str]) -> str:
        return self._term(names)

    def _holding_statement(self, names: list[str]) -> str:
        return self._call_term(names)

    def _compare_statement(self, names: list[str]) -> str:
        if self._often(0.3):  # only numbers: engines order sets and objects otherwise
            sign = self._pick(["<", ">=", ">"])
            return f"{self._pick(_NUMBERS)} {sign} {self._pick(_NUMBERS)}"
        return f"{self._term(names)} {self._pick(['==', '!='])} {self._term(names)}"

    # Terms.

    def _term(self, names: list[str]) -> str:
        text: str = getattr(self, f"_{self._pick(_TERMS)}_term")(names)
        return text

    def _constant(self) -> str:
        return str(self._pick(_CONSTANTS))

    def _constant_term(self, _: list[str]) -> str:
        return self._constant()

    def _input_term(self, _: list[str]) -> str:
        return str(self._pick([*_INPUTS, "input.zz"]))

    def _document_term(self, _: list[str]) -> str:
        return str(self._pick([*_DOCUMENTS, "data.groups[input.k]", "data.none"]))

    def _local_term(self, names: list[str]) -> str:
        return str(self._pick(names or _INPUTS))

    def _rule_term(self, _: list[str]) -> str:
        return str(self._pick(self._rules or _DOCUMENTS))

    def _member_term(self, names: list[str]) -> str:
        return f"{self._pick(self._rules or ['data.m'])}[{self._key(names)}]"

    def _call_term(self, names: list[str]) -> str:
        if not self._functions:
            return str(self._pick(["is_string(input.k)", 'startswith("ab", "a")']))
        name, arity = self._pick(self._functions)
        return f"{name}({', '.join(self._small(names) for _ in range(arity))})"

    def _got_term(self, _: list[str]) -> str:
        place = self._pick(["input.o", "data.m", "input", *self._rules])
        key = self._pick(['"a"', '"u0"', "input.k", '["a", "x"]', '["u0", "a"]'])
        return f"object.get({place}, {key}, {self._constant()})"

    def _array_term(self, names: list[str]) -> str:
        return f"[{self._small(names)}, {self._small(names)}]"

    def _object_term(self, names: list[str]) -> str:
        return f'{{"p": {self._small(names)}}}'

    def _set_term(self, names: list[str]) -> str:
        return f"{{{self._small(names)}}}"

    def _counted_term(self, names: list[str]) -> str:
        return f"count({self._collection(names)})"

    def _sum_term(self, _: list[str]) -> str:
        return f"{self._pick(_NUMBERS)} {self._pick(['+', '-', '*'])} {self._pick(_NUMBERS)}"

    def _comprehension_term(self, names: list[str]) -> str:
        inner = list(names)
        statements = [self._plain_statement(inner) for _ in range(self._pick([1, 1, 2]))]
        fresh = [each for each in inner if each not in names]
        body = "; ".join([*statements, *_used(fresh)])
        value = self._pick([*fresh, *fresh, "input.k", "input.zz", "1"])
        key = self._pick(fresh or ["1"])
        forms = [f"[{value} | {body}]", f"{{{value} | {body}}}", f"{{{key}: {value} | {body}}}"]
        return str(self._pick(forms))

    def _plain_statement(self, names: list[str]) -> str:
        source, fresh = self._pick([*_COLLECTIONS, *self._rules]), self._name()
        given = self._pick(["input.k", "input.n", "data.m.a", "input.zz"])
        one = self._pick([*names, "input.k", "input.n"])
        kind = self._pick(["some", "some", "index", "assign", "compare", "not"])
        if kind in {"some", "index", "assign"}:
            names.append(fresh)
        texts = {
            "some": f"some {fresh} in {source}",
            "index": f"{fresh} := {source}[_]",
            "assign": f"{fresh} := {given}",
            "not": f"not {one} == {self._constant()}",
        }
        return texts.get(kind, f"{one} != {self._constant()}")

    def _key(self, names: list[str]) -> str:
        return str(self._pick(['"a"', '"b"', "1", "input.k", "input.n", *names, *names]))

    def _small(self, names: list[str]) -> str:
        return str(self._pick([*names, "input.k", "input.n", "1", '"a"', *self._rules]))

    def _collection(self, names: list[str]) -> str:
        choices = [*_COLLECTIONS, "data.groups[input.k]", '{"a", "b"}', "[1, 2]"]
        return str(self._pick([*choices, self._comprehension_term(names), *self._rules]))


def _used(names: list[str]) -> list[str]:
    """OPA wants every name used."""
    fresh = [name for name in names if name.startswith("v")]
    return [f"[{', '.join(fresh)}] != 0"] if fresh else []
