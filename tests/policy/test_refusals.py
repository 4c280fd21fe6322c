"""What a host's rules may not say is refused with the place, what is meant and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from safeconduct.policy import BundleError, without_type
from safeconduct.policy.inputs import check_inputs
from safeconduct.policy.inspection import judge
from safeconduct.policy.loops import ENDLESS, loop_depth
from safeconduct.policy.rego import Modules
from safeconduct.policy.vetting import refused_today

pytestmark = pytest.mark.requirement("Z-20", "Z-37")


def written(rules: str, *, preamble: str = "import rego.v1\n") -> Modules:
    return (("host/x.rego", f"package safeconduct.host\n\n{preamble}\n{rules}\n"),)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("f[e] contains t if some e, ts in data.m", "x.rego:5: a map of sets is not supported; "),
        ("f.a contains 1 if input.subject", "collect pairs instead, `f contains [key, item]"),
        ("f[e].since := 1 if some e in data.m", "x.rego:5: a rule's head has one key at most; "),
        ("f.a.b := 1", "write `f[key] := {...} if ...`"),
        ("f[1].a := 1", "a rule's head has one key at most"),
        ("default f.a := 1", "x.rego:5: a default is for a name alone"),
        ("f.g(x) := x", "a function's name has no dots here"),
        ("p if input.phase == 1 with input as {}", "x.rego:5: `with` is for tests (*_test.rego)"),
        ('p if "a", 1 in data.m', "x.rego:5: `key, value in collection` as a condition"),
        ("p := 1\np contains 2", "x.rego:6: p is a set here and a value elsewhere; rename one"),
        ("p[1] := 2 if true\np := 1", "p is a value here and an object elsewhere"),
        ('p := $"a {input.phase}"', '`$"..."` is not supported; write `sprintf("...", [...])`'),
        ("p { input.phase }", "this is Rego v0. Write it as v1, which `opa fmt --v0-v1` does"),
        ("p := 1 # " + "x" * 1100, "x.rego:5: a line of 1109 characters; at most 1024 are taken"),
        ("p := strings.count(input.phase, 1)", "strings.count is not available"),
    ],
)
def test_a_form_that_would_mean_something_else_is_refused(rules: str, said: str) -> None:
    with pytest.raises(BundleError) as refused:
        judge(written(rules))

    assert said in refused.value.public
    assert refused_today(written(rules), "") == refused.value.public


@pytest.mark.parametrize("what", ["future.keywords.not", "rego.v2", "future.keywords.and"])
def test_a_future_that_is_not_here_is_refused(what: str) -> None:
    with pytest.raises(BundleError, match=f"host/x.rego:3: {what} cannot be imported here"):
        judge(written("p := 1", preamble=f"import {what}\n"))


@pytest.mark.parametrize(
    "preamble",
    [
        "import rego.v1\n",
        "import future.keywords\n",
        "import future.keywords.in\nimport future.keywords.every # as ever\nimport rego.v1\n",
        "",
    ],
)
def test_imports_that_version_1_needs_not_are_taken(preamble: str) -> None:
    """The engine would take `import rego.v1` for a name `v1`, which rules may have."""
    judge(written("p if { some v1 in data.xs; v1 == 1 }", preamble=preamble))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("p if input.subjct.id", "x.rego:5: there is no input.subjct; did you mean subject?"),
        ("p if input.subject.emial", "no input.subject.emial; did you mean email?"),
        ("p if input.consent.levl == 1", "no input.consent.levl; did you mean level?"),
        ('p if input["tool"].kindd', "there is no input.tool.kindd; there is enabled, known"),
        ("p if input.phase.name", "there is no input.phase.name; it is a value"),
        ("p if s.emial", "there is no input.subject.emial"),
        ("p if input.extensions.deny", "there is no input.extensions"),
    ],
)
def test_input_that_cannot_exist_is_refused_with_the_nearest_name(rules: str, said: str) -> None:
    with pytest.raises(BundleError) as refused:
        check_inputs(written(rules, preamble="import input.subject as s\n"))

    assert said in refused.value.public


@pytest.mark.parametrize(
    "rules",
    [
        "p if input.arguments.any.thing.at.all",
        "p if input.subject.attributes.region == s.attributes.town",
        "p if input.intent.purpose",
        "p if input.relations[0].anything",
        "p if input[data.x]",
    ],
)
def test_input_that_may_exist_is_taken(rules: str) -> None:
    check_inputs(written(rules, preamble="import input.subject as s\n"))


TYPED = """# METADATA
# schemas:
#   - input.arguments.amount: {type: number}
deny contains 1 if input.arguments.amount > 5
"""


def test_an_annotation_says_the_type_of_an_argument() -> None:
    assert without_type(written(TYPED)) == ()
    assert without_type(written(TYPED + "\ndeny contains 2 if input.arguments.to.name")) == (
        "input.arguments.to.name",
    )


@pytest.mark.parametrize(
    ("rules", "depth"),
    [
        ("p if input.arguments.x == 1", 0),
        ('k := "a"\np if data.m[k] == 1', 0),
        ("p if { some r in input.xs; r == 1 }", 1),
        ("p if { some i; x := input.xs[i]; y := input.ys[i]; x == y }", 1),
        ("p if data.m[k] == 1", 1),
        ("p if { some a in input.xs; some b in input.ys; a == b }", 2),
        ("p if input.xs[_] == input.ys[_]", 2),
        ("p if every a in input.xs { every b in input.xs { a == b } }", 2),
        ("p if { some a in input.xs; count(sort(data.big)) == a }", 2),
        ("f(x) if { some a in x; a }\np if { some a in input.y; f(a) }", 2),
        (
            "\n".join(f"f{n + 1}(x) := f{n}(x) + f{n}(x)" for n in range(20)) + "\nf0(x) := x",
            ENDLESS,
        ),
    ],
)
def test_loops_are_counted_as_deep_as_they_are_nested(rules: str, depth: Any) -> None:
    assert loop_depth(written(rules)) == depth
