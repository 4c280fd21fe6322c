"""Rules that mean no good, or no sense: bounded, a deny, and the next call is answered."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from safeconduct.core.model import AccessRequest
from safeconduct.policy import Bundle, BundleError, Embedded, HostPolicy, Pdp

from .builders import a_request, decided, some_facts

pytestmark = pytest.mark.slow  # rules made to be slow

HEAD = (
    "package safeconduct.host\n\nimport rego.v1\n"
    "import input.arguments as args\nimport input.arguments.n as all\n"
)
MANY = {"n": list(range(4000))}


def bundle_of(directory: Path, rule: str, data: dict[str, Any] | None = None) -> Bundle:
    (directory / "x.rego").write_text(HEAD + rule + "\n")
    (directory / "data.json").write_text(json.dumps(data or {}))
    return Bundle.shipped().with_directory(directory)


def pdp_of(bundle: Bundle, **how: Any) -> Pdp:
    policy = HostPolicy(engine=Embedded(bundle, **how), bundle=bundle.digest)
    return Pdp(lambda _: policy)


def asked(**arguments: Any) -> AccessRequest:
    return a_request(arguments=arguments)


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        ("deny contains 1 if { some a in args.n; some b in args.n; a + b < 0 }", MANY),
        ("deny contains 1 if { every a in args.n { every b in args.n { a + b >= 0 } } }", MANY),
        ("deny contains 1 if count([1 | some a in args.n; some b in args.n; a < b]) < 0", MANY),
        ('deny contains 1 if regex.match("((a{1,100}){1,100}){1,100}", args.s)', {"s": "a"}),
        (
            'obligations contains {"type": "notify", "about": format_int(a, 9)} if some a in all',
            MANY,
        ),
        ('obligations contains {"type": "notify", "about": args.s} if true', {"s": "a" * 9000}),
        ("obligations contains args.n if true", MANY),
        ('deny contains 1 if regex.match("(", args.s)', {"s": "a"}),
        ("deny contains 1 if args.n + 1 == 2", {"n": "one"}),
        ("a := 1 if args.n\na := 2 if args.m\ndeny contains 1 if a == 3", {"n": 1, "m": 1}),
        ("deny contains 1 if count(args.d) > 1", {"d": json.loads("[" * 400 + "]" * 400)}),
    ],
    ids=[
        "quadratic",
        "every",
        "comprehension",
        "regex",
        "many",
        "large",
        "any",
        "pattern",
        "type",
        "conflict",
        "deep",
    ],
)
def test_what_has_no_end_in_sight_is_a_deny_and_the_next_call_is_answered(
    tmp_path: Path, rule: str, arguments: dict[str, Any]
) -> None:
    pdp = pdp_of(bundle_of(tmp_path, rule))
    before = time.thread_time()

    refused = decided(pdp, asked(**arguments), some_facts())

    assert (refused.allow, refused.reason) == (False, "engine.failed")
    assert time.thread_time() - before < 2.0
    assert decided(pdp, asked(), some_facts()).allow


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        ("deny contains 1 if data.nowhere.at.all == 1", {}),
        ("deny contains 1 if input.arguments.no.such.member", {}),
        ("deny contains 1 if data.safeconduct.host.nothing", {}),
        ('deny contains 1 if regex.match("^(a+)+$", args.s)', {"s": "a" * 500_000 + "b"}),
    ],
)
def test_what_is_undefined_or_only_looks_dangerous_refuses_nobody(
    tmp_path: Path, rule: str, arguments: dict[str, Any]
) -> None:
    pdp = pdp_of(bundle_of(tmp_path, rule))

    assert decided(pdp, asked(**arguments), some_facts()).allow


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ("deny contains 1 if nothere(1)", "x.rego:6: nothere is not available"),
        ("a := " + "[" * 200 + "1" + "]" * 200, "x.rego: the policy engine cannot cope"),
        ("a := f(1)\nf(x) := [f(x), 1]", "refers to itself"),
        ("a := [1, 2]" + "".join(f"\na{n} := 1" for n in range(9000)), "x.rego:"),
        ('a := "' + "x" * 5000 + '"', "x.rego:6: a line of 5007 characters"),
        ("a := graph.reachable(data.g, {1})", "graph.reachable is not available"),
    ],
    ids=["unknown", "nested", "recursive", "many-rules", "long-line", "graph"],
)
def test_what_would_bring_the_engine_down_is_refused_when_it_is_read(
    tmp_path: Path, rule: str, complaint: str
) -> None:
    with pytest.raises(BundleError) as refused:
        bundle_of(tmp_path, rule)

    assert complaint in refused.value.public


@pytest.mark.requirement("Z-37")
def test_data_that_is_too_much_is_refused_when_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"data\.json: more than 1048576 bytes"):
        bundle_of(tmp_path, "a := 1", {"big": "x" * 1_100_000})


@pytest.mark.requirement("Z-37")
def test_rules_that_run_long_are_ended_and_hold_nobody_up(tmp_path: Path) -> None:
    """Nothing can stop a built-in in the middle, so such rules run beside this process."""
    heavy = bundle_of(
        tmp_path,
        "deny contains 1 if { some a in args.n; count(sort(data.big)) == a - 1 }",
        {"big": list(range(120_000, 0, -1))},
    )
    pdp, other = pdp_of(heavy), pdp_of(Bundle.shipped())
    assert decided(pdp, asked(n=[]), some_facts()).allow

    before = time.thread_time()
    assert decided(pdp, asked(**MANY), some_facts()).reason == "engine.failed"
    assert decided(other, asked(n=[]), some_facts()).allow
    assert decided(pdp, asked(n=[]), some_facts()).allow
    assert time.thread_time() - before < 0.2


@pytest.mark.requirement("Z-37")
def test_built_ins_that_took_long_rest_and_others_are_not_held_up_again(tmp_path: Path) -> None:
    seconds = [0.0]
    texts = "\n".join(f"count(upper(data.big)) != args.n - {number}" for number in range(1_200))
    heavy = bundle_of(
        tmp_path,
        f"deny contains 1 if {{\n{texts}\nargs.n == 0\n}}",
        {"big": "a" * 1_000_000},
    )
    pdp = pdp_of(heavy, monotonic=lambda: seconds[0])
    other = pdp_of(Bundle.shipped(), monotonic=lambda: seconds[0])
    assert decided(pdp, asked(), some_facts()).allow

    before = time.thread_time()
    decided(pdp, asked(n=1), some_facts())
    spent = time.thread_time() - before
    assert 0.25 < spent < 100

    before = time.thread_time()
    assert decided(pdp, asked(n=2), some_facts()).reason == "engine.failed"
    assert time.thread_time() - before < 0.25
    assert decided(pdp, asked(), some_facts()).allow  # was answered before, and costs nothing
    assert decided(other, asked(), some_facts()).allow
    seconds[0] += 11 * spent
    assert decided(pdp, asked(n=2), some_facts()).allow
