"""What is undefined ends a rule, also where the compiled engine would forget it."""

from __future__ import annotations

from typing import Any

import pytest

from safeconduct.policy import Bundle, Embedded, HostPolicy, Pdp
from safeconduct.policy.exactness import exact
from safeconduct.policy.rego import Modules
from safeconduct.policy.vetting import extension
from safeconduct.policy.wording import plain

from .builders import a_request, decided, some_facts

X, Y = "input.arguments.x", "input.arguments.y"
GLUE = ("extensions.rego", extension({"deny": ("safeconduct.host",)}))


def refuses(rules: str, **arguments: Any) -> bool:
    text = f"package safeconduct.host\n\nimport rego.v1\n\n{rules}\n"
    modules: Modules = (*Bundle.shipped().modules, GLUE, ("host/x.rego", text))
    bundle = Bundle.of(modules=modules, data={})
    policy = HostPolicy(engine=Embedded(bundle), bundle=bundle.digest)
    decision = decided(Pdp(lambda _: policy), a_request(arguments=arguments), some_facts())
    assert decision.reason in {"allowed", "policy.unspecified"}
    return not decision.allow


@pytest.mark.requirement("Z-20", "Z-37")
@pytest.mark.parametrize(
    "condition",
    [
        f"r := {X}",
        f"r := {X}; not r == 1",
        f'r := {{"k": {X}}}',
        f"r := f({X})",
        f"count([r | r := {X}]) == 1",
        f"count({{r | r := {X}}}) == 1",
        f"count([{X} | true]) == 1",
        f'count({{"a": r | r := {X}}}) == 1',
        "count(named) == 1",
        "count(by_name) == 1",
        "count(pairs) == 1",
        f"not {X} != 5",
        f'{X} == "a"',
        f"is_string({X})",
    ],
)
def test_a_condition_on_what_is_missing_does_not_hold(condition: str) -> None:
    rules = (
        f"f(x) := y if y := x\n\nnamed contains {X}\n\nby_name[{X}] := 1\n\n"
        f"pairs[{Y}] := {X}\n\nok if {{ {condition} }}\n\ndeny contains 1 if not ok"
    )

    if "!=" not in condition:
        assert refuses(rules, y="b")
    assert not refuses(rules, x=5 if "!=" in condition else "a", y="b")


@pytest.mark.requirement("Z-37")
def test_a_comprehension_whose_condition_fails_comes_to_an_end() -> None:
    rule = f'deny contains 1 if count([1 | {X} == "a"]) == 1'

    assert not refuses(rule)
    assert refuses(rule, x="a")


@pytest.mark.parametrize("condition", [f"{X}[_] == 2", f"f({X}[_])"])
def test_no_item_is_as_good_as_no_list(condition: str) -> None:
    rules = f"f(x) if x == 2\n\ndeny contains 1 if not {condition}"

    assert refuses(rules)
    assert refuses(rules, x=[1])
    assert not refuses(rules, x=[1, 2])


def test_rules_that_need_nothing_spelled_out_stay_as_they_are() -> None:
    text = 'package safeconduct.host\n\ndeny contains 1 if input.x == "a"\n'

    assert exact((("host/x.rego", text),)) == (("host/x.rego", text),)
    assert exact(Bundle.shipped().modules) == tuple(
        (file, plain(text)) for file, text in Bundle.shipped().modules
    )
