"""What rules can read of their input is told from their text; in doubt it is everything."""

from __future__ import annotations

import pytest

from safeconduct.policy import Bundle, BundleError
from safeconduct.policy.inspection import judge
from safeconduct.policy.reading import EVERYTHING, Reads, reads_of

NOTHING = Reads(environment=(), arguments=False)
SHIPPED = Bundle.shipped().modules
HEAD = "package safeconduct.host\n\nimport rego.v1\n\n"


def read(*texts: str) -> Reads | None:
    return reads_of(tuple((f"host/{number}.rego", text) for number, text in enumerate(texts)))


def env(*members: str) -> Reads:
    return Reads(environment=members, arguments=False)


def test_the_built_in_rules_read_nothing_that_differs_from_call_to_call() -> None:
    assert reads_of(SHIPPED) == NOTHING


@pytest.mark.parametrize(
    ("rule", "reads"),
    [
        ('a if input.subject.email == "x"', NOTHING),
        ('a if input.tool.environment == "x"', NOTHING),
        ('a if input.environment.ip == "x"', env("ip")),
        ('a if input["environment"]["ip"] == "x"', env("ip")),
        ('a if input.environment.time > "x"; b if input.environment.ip == ""', env("time", "ip")),
        ('a if startswith(input.environment.software, "x")', env("software")),
        ("a if input.environment[x] == 1", EVERYTHING._replace(arguments=False)),
        ('a if input.environment == "x"', EVERYTHING._replace(arguments=False)),
        ("a contains input.environment.revision", env("revision")),
        ('a[input.environment.user_agent] := "x"', env("user_agent")),
        ("a := {x | x := input.environment.ip}", env("ip")),
        ("a if not input.environment.ip", env("ip")),
        ('a if { some x in [1]; every y in [x] { input.environment.ip == "x" } }', env("ip")),
        ("a := 1 if { false } else := input.environment.ip", env("ip")),
        ("a := 1 if { 1 == 2 } else := 2 if input.environment.ip", env("ip")),
        ("f(x) := [x, input.environment.ip]", env("ip")),
        ("a := [1, input.environment.ip][0]", env("ip")),
        ("a if data.x[input.environment.ip]", env("ip")),
        ("default a := 1", NOTHING),
        ("a if input.arguments.n > 1", Reads((), arguments=True)),
        ('a if input["arguments"]', Reads((), arguments=True)),
        ("a if some x in input.arguments", Reads((), arguments=True)),
        ("a := input", EVERYTHING),
        ("a if input[x].n > 1", EVERYTHING),
        ("a if input[`environment`].ip", env("ip")),
        ("a if object.get(input, [x], 1) == 1", EVERYTHING),
        ('a if { some name, x in input; x == "x" }', EVERYTHING),
        ("a if b with input as {}", EVERYTHING),
        ("a if b with input.subject as input.environment.ip", env("ip")),
        ("f(input) := input.environment.ip", EVERYTHING),
    ],
)
def test_what_a_rule_reads_shows_in_its_text(rule: str, reads: Reads) -> None:
    assert read(HEAD + rule.replace("; b if", "\n\nb if")) == reads


@pytest.mark.parametrize(
    ("line", "reads"),
    [
        ("import input.subject as s", NOTHING),
        ("import input.environment as e", EVERYTHING._replace(arguments=False)),
        ("import input.environment.ip as where", env("ip")),
        ("import input.arguments", Reads((), arguments=True)),
        ("import input as all", EVERYTHING),
        ("import data.input.environment", NOTHING),
    ],
)
def test_an_import_reads_all_it_names_whoever_uses_it(line: str, reads: Reads) -> None:
    assert read(f"package safeconduct.host\n\nimport rego.v1\n\n{line}\n\na := 1\n") == reads


def test_modules_are_read_together() -> None:
    util = "package safeconduct.host.util\n\nimport rego.v1\n\nlate if input.environment.time\n"
    rule = HEAD + "deny contains 1 if data.safeconduct.host.util.late\n"

    assert read(rule) == NOTHING
    assert read(rule, util) == env("time")


def test_only_a_body_that_begins_with_false_reads_nothing() -> None:
    assert read(HEAD + "a if { false; input.arguments.n }") == NOTHING
    assert read(HEAD + "a if { true; input.arguments.n }") == Reads((), arguments=True)
    assert read(HEAD + "a if { not false; input.arguments.n }") == Reads((), arguments=True)
    assert read(HEAD + "a if { input.arguments.n; false }") == Reads((), arguments=True)
    assert read(HEAD + "a if { false; 1 == 1 } else := input.arguments.n") == Reads(
        (), arguments=True
    )


@pytest.mark.parametrize(
    "call",
    [
        "time.now_ns()",
        'rand.intn("a", 9)',
        'uuid.rfc4122("a")',
        "opa.runtime()",
        "http.send({})",
        "nothing.known(1)",
    ],
)
def test_of_rules_that_call_what_may_answer_otherwise_nothing_is_told(call: str) -> None:
    rule = f"a := {call}\n\ntime := 1\n\nrand := 1\n\nuuid := 1\n\nopa := 1\n\nhttp := 1\n"

    assert read(HEAD + rule) is None
    assert (
        read(HEAD + "a := u.f(1)\n\nu := 1\n\nb := data.x.f(count([g(1)]))\n\ng(x) := x") == NOTHING
    )


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize("hiding", ["time := 1", 'time["x"] := 1', "time(x) := x"])
def test_a_rule_named_like_a_family_of_built_ins_hides_none_that_was_left_out(hiding: str) -> None:
    with pytest.raises(BundleError, match=r"x\.rego:5: time\.now_ns is not available"):
        judge((("x.rego", f"{HEAD}a := time.now_ns()\n\n{hiding}\n"),))

    judge((("x.rego", f"{HEAD}a := time.now()\n\n{hiding}\n"),))
