"""Every variable of a host's rules has a name of its own and a value where it is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safeconduct.policy import BundleError
from safeconduct.policy.exactness import exact
from safeconduct.policy.inspection import judge
from safeconduct.policy.members import MEMBERS
from safeconduct.policy.rego import Modules, interpreter
from tests.fixtures.opa import UNDEFINED, Opa, opa_library

pytestmark = pytest.mark.requirement("Z-20", "Z-37")
DATA: dict[str, Any] = {
    "home": "z",
    "banned": {"a": "update"},
    "xs": [1, 2, 3],
    "names": ["a", "b"],
    "pairs": [[1, 1], [1, 2]],
    "objects": [{"a": 1}, {"a": 1, "b": 2}],
}
INPUT = {"xs": [1, 2, 3], "o": {"a": 1, "b": 2}, "name": "update"}


def module(rules: str) -> Modules:
    return (("host/x.rego", f"package safeconduct.host\n\n{rules}\n"),)


# What is refused, what the refusal says, and the nearest form that means what OPA says.
_TAKEN = "`some` declares {}, which a rule, an import or another variable is called already"
_PATTERN = "an object in a pattern means something else here"
_LATE = "{} has no value yet where this is asked"
_NEVER = "nothing gives {} a value"
_FORMS: list[tuple[str, str, str]] = [
    (
        "team := data.home\nr contains team if { some team; data.banned[team] == input.name }",
        _TAKEN.format("team"),
        "team := data.home\nr contains t if { some t; data.banned[t] == input.name }",
    ),
    ("k := 1\nr contains k if { some k, _ in data.banned }", _TAKEN.format("k"),
     "k := 1\nr contains k if { k := data.names[_] }"),
    ("k contains 1\nr if { some k; data.names[k] }", _TAKEN.format("k"),
     "k contains 1\nr if { k := 1; data.names[k] }"),
    ("k[1] := 1\nr if { some k; data.names[k] }", _TAKEN.format("k"),
     "k[1] := 1\nr if { some l; data.names[l]; k[l] }"),
    ("k(n) := n\nr := [k | some k in data.xs]", _TAKEN.format("k"),
     "k(n) := n\nr if every k in data.xs { k > 0 }"),
    ("import data.xs as k\nr contains k if { some k in data.names }", _TAKEN.format("k"),
     "import data.xs as k\nr contains l if { some l in k }"),
    ("r if { some input in data.xs }", _TAKEN.format("input"), "r if { some x in data.xs }"),
    ("r := y if { x := 1; y := [x | some x in data.xs] }", _TAKEN.format("x"),
     "r := y if { x := 1; y := [z | some z in data.xs; z != x] }"),
    ("r := x if { x := [x | some x in data.xs] }", _TAKEN.format("x"),
     "r := x if { x := [y | some y in data.xs] }"),
    ("r := [x | some x in data.xs] if { some x in data.names }", _TAKEN.format("x"),
     "r := [x | some x in data.xs] if { some y in data.names; y == `a` }"),
    ("r if { x == 1; some x in data.xs }", _TAKEN.format("x"),
     "r if { some x in data.xs; x == 1 }"),
    ("f(x) if { some x in data.xs }\nr if f(1)", _TAKEN.format("x"),
     "f(x) if { some y in data.xs; x == y }\nr if f(1)"),
    ("r if { some count in data.xs; count([1]) == count }", "count is also what this rule calls",
     "r if { some number in data.xs; count([1]) == number }"),
    ("f(input) := input\nr := f(1)", "input cannot be a parameter", "f(given) := given\nr := f(1)"),
    ('r if { {"a": _} = input.o }', _PATTERN, 'r if { {"a": 1} = input.o }'),
    ('r if { input.o = {"a": x}; x == 1 }', _PATTERN, 'r if { x := 1; input.o = {"a": x} }'),
    ('r if { {"a": x} := input.o; x == 1 }', _PATTERN, 'r if { input.o == {"a": 1, "b": 2} }'),
    ('r if { [{"a": x}, 1] = [input.o, 1]; x }', _PATTERN, "r := x if { [x, _, _] = input.xs }"),
    ('r if { {input.name: x} = {"update": 1, "b": 2}; x }', _PATTERN,
     'r := x if { x := {"update": 1, "b": 2}[input.name] }'),
    ('f({"a": _}) := 1\nr := f(input.o)', _PATTERN, "f([x, _, _]) := x\nr := f(input.xs)"),
    ('f({"a": 1}) := 1\nr := f(input.o)', _PATTERN, 'f(x) if x == {"a": 1}\nr if f(input.o)'),
    ('r contains x if { some {"a": x} in data.objects }', _PATTERN,
     "r contains x if { some each in data.objects; x := each.a }"),
    ('r contains k if { some k, {"b": 2} in data.objects }', _PATTERN,
     'r contains k if { some k, v in data.objects; v == {"a": 1} }'),
    ('s contains {"a": 1, "b": 2}\nr contains x if s[{"a": x}]', _PATTERN,
     'x := 1\ns contains {"a": 1, "b": 2}\nr if s[{"a": x, "b": 2}]'),
    ("same(x, x) := true\nr := same(1, 2)", "x is a parameter twice",
     "same(x, y) := true if x == y\nr := same(1, 2)"),
    ("f(x, [x, _]) := true\nr := f(1, [2, 3])", "x is a parameter twice",
     "f([x, x]) := true\nr := f([1, 2])"),
    ("r contains k if { some k, k in data.xs }", "k is both key and value",
     "r contains k if { some k, v in data.xs; k == v - 1 }"),
    ("r if { every k, k in data.xs { k > 0 } }", "k is both key and value",
     "r if { every k, v in data.xs { v > k } }"),
    ("r := 1 if { input.no } { true }", "a second body behind the first",
     "r := 1 if { input.no }\nr := 1 if { true }"),
    ("r := [i | not data.names[i] == `a`; input.xs[i]]", _LATE.format("i"),
     "r := [i | input.xs[i]; not data.names[i] == `a`]"),
    ("r := [i | some i; not data.names[i] == `a`; input.xs[i]]", _LATE.format("i"),
     "r := [i | some i; input.xs[i]; not data.names[i] == `a`]"),
    ("s contains `b`\nr if { not s[k]; data.banned[k] == input.name }", _LATE.format("k"),
     "s contains `b`\nr if { data.banned[k] == input.name; not s[k] }"),
    ("r if { not x == 2; x = y; y = 1 }", _LATE.format("x"), "r if { x = y; y = 1; not x == 2 }"),
    ("r if { x = y; not x == 2; y = 1 }", _LATE.format("x"), "r if { y = 1; x = y; not x == 2 }"),
    ("r if { every n in data.xs { n > i }; data.names[i] == `a` }", _LATE.format("i"),
     "r if { data.names[i] == `a`; every n in data.xs { n > i } }"),
    ("r contains input.xs[i] if { not data.names[i] }", _LATE.format("i"),
     "r contains input.xs[i] if { input.xs[i]; not data.names[i] }"),
    ("r if { some g; not data.names[g] == `c` }", "nothing gives g a value outside of `not`",
     "c if { some g; data.names[g] == `c` }\nr if not c"),
    ("r if { some y; y == y }", _NEVER.format("y"), "r if { some y; y = 1 }"),
    ("r if { some y; y > 1 }", _NEVER.format("y"), "r if { some y; y > 1; count(data.xs, y) }"),
    ("f(a, b) if a == b\nr if { some x; f(x, 1) }", _NEVER.format("x"),
     "f(a, b) if a == b\nr if { f(1, 1, x); x }"),
    ("r contains x if { data.names[y] }", _NEVER.format("x"), "r contains x if { data.names[x] }"),
    ("default r := 1\ndefault r := 2", "r has another default already", "default r := 1"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "said"), [(rules, said) for rules, said, _ in _FORMS])
def test_a_variable_that_could_be_mistaken_is_refused(rules: str, said: str) -> None:
    with pytest.raises(BundleError) as refused:
        judge(module(rules))

    assert said in refused.value.public
    assert refused.value.public.startswith("host/x.rego:")


@pytest.fixture(scope="module")
def library() -> Path:
    found, why = opa_library()
    if found is None:
        pytest.skip(why)
    return found


@pytest.fixture
def opa(library: Path) -> Iterator[Opa]:
    opa = Opa(library)
    yield opa
    opa.close()


@pytest.mark.slow
@pytest.mark.parametrize("rules", [nearest for _, _, nearest in _FORMS])
def test_the_nearest_form_is_taken_and_means_what_opa_says(opa: Opa, rules: str) -> None:
    modules = module(rules)
    judge(modules)
    engine = interpreter((*exact(modules), MEMBERS), DATA)
    engine.set_input_json(json.dumps(INPUT))
    opa.module(*modules[0])
    opa.data(DATA)

    ours = json.loads(engine.eval_rule_as_json("data.safeconduct.host.r"))
    theirs = opa.ask("safeconduct.host.r", json.dumps(INPUT).encode())

    assert ours == ("<undefined>" if theirs is UNDEFINED else theirs)


def test_a_long_rule_is_judged_in_no_time_however_its_statements_wait() -> None:
    waiting = "\n".join(f"x{n} = x{n + 1}" for n in range(1500))

    judge(module(f"r if {{\n{waiting}\nx1500 = 1\n}}"))
