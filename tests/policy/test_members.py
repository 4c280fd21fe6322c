"""Built-ins whose answer is not always OPA's: theirs, refused when offered, or a deny."""

from __future__ import annotations

from typing import Any

import pytest

from safeconduct.policy import Bundle, BundleError, Embedded, HostPolicy, Pdp
from safeconduct.policy.exactness import exact
from safeconduct.policy.inspection import judge
from safeconduct.policy.vetting import extension

from .builders import a_request, decided, some_facts

pytestmark = pytest.mark.requirement("Z-20", "Z-37")
F, V, W = "input.arguments.f", "input.arguments.v", "input.arguments.w"
GLUE = ("extensions.rego", extension({"deny": ("safeconduct.host",)}))


def answer(rule: str, **arguments: Any) -> str:
    """Return the reason of what rules say that were taken, or were before this version."""
    text = f"package safeconduct.host\n\n{rule}\n"
    bundle = Bundle.of(
        modules=(*Bundle.shipped().modules, GLUE, ("host/x.rego", text)), data={"set": []}
    )
    policy = HostPolicy(engine=Embedded(bundle), bundle=bundle.digest)
    decision = decided(Pdp(lambda _: policy), a_request(arguments=arguments), some_facts())
    return decision.reason


def written(form: str, *values: Any) -> str | None:
    """Return what `sprintf` writes, or None where it fails, which denies."""
    equal = f'deny contains {{"reason": "same"}} if sprintf({F}, {V}) == {W}'
    for wanted in _CANDIDATES:
        if answer(equal, f=form, v=list(values), w=wanted) == "policy.same":
            return wanted
    assert answer(equal, f=form, v=list(values), w="") == "engine.failed"
    return None


# What OPA 1.22 writes.
_TOLD: list[tuple[str, tuple[Any, ...], str]] = [
    ("%s", ("a",), "a"),
    ("%s and %v", ("ü%d", True), "ü%d and true"),
    ("%v", (None,), "null"),
    ("%d%% of %d", (7, 9), "7% of 9"),
    ("%d", (-3,), "-3"),
    ("%v", (-3,), "-3"),
    ("%v", (1.5,), "1.5"),
    ("%v", (-123456.75,), "-123456.75"),
    ("%v", (0.0001,), "0.0001"),
    ("%v", (["x", 1, True, None],), '["x", 1, true, null]'),
    ("%v", ({"a": None},), '{"a": null}'),
    ("%s", ([],), "[]"),
]
_CANDIDATES = [wanted for _, _, wanted in _TOLD]


@pytest.mark.slow
@pytest.mark.parametrize(("form", "values", "wanted"), _TOLD)
def test_a_text_is_written_as_opa_writes_it(
    form: str, values: tuple[Any, ...], wanted: str
) -> None:
    assert written(form, *values) == wanted


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("%d", (1.5,)),
        ("%d", ("a",)),
        ("%s", (1,)),
        ("%s", (1.5,)),
        ("%f", (1.5,)),
        ("%e", (1.5,)),
        ("%g", (1.5,)),
        ("%5s", ("a",)),
        ("%.2s", ("abc",)),
        ("%x", ("hi",)),
        ("%o", (8,)),
        ("%t", (True,)),
        ("%", (1,)),
        ("%v", ()),
        ("%v", ("a", 1)),
        ("%v", (1e20,)),
        ("%v", (1000000.5,)),
        ("%v", (0.00001,)),
        ("%v", ([1.5],)),
        ("%v", (["a\tb"],)),
        ("%v", ([["a"]],)),
        ("%d%%", (-3,)),
        ("%v", (list(range(65)),)),
    ],
)
def test_what_another_text_could_be_written_of_denies(form: str, values: tuple[Any, ...]) -> None:
    rule = f'deny contains {{"reason": "some"}} if sprintf({F}, {V}) == "never"'

    assert answer(rule, f=form, v=list(values)) == "engine.failed"


def test_an_empty_set_has_no_text_here() -> None:
    rule = 'deny contains {"reason": "x"} if sprintf("%v", [{x | some x in data.set}]) == "{}"'

    assert answer(rule) == "engine.failed"


@pytest.mark.parametrize(
    ("pattern", "value", "reason"),
    [
        ("{a,b}", "b", "policy.fits"),
        ("{a,b}", "c", "allowed"),
        ("a,,b", "a,,b", "policy.fits"),
        ("x{,a}", "x", "engine.failed"),
        ("x{,a}", "xa", "engine.failed"),
        ("x{a,}", "x", "engine.failed"),
        ("{a,,b}", "a", "engine.failed"),
        ("{}", "", "engine.failed"),
        ("{a,b{,c}}", "b", "engine.failed"),
    ],
)
def test_a_choice_of_nothing_denies(pattern: str, value: str, reason: str) -> None:
    rule = f'deny contains {{"reason": "fits"}} if glob.match({F}, [], {V})'
    same = f'deny contains {{"reason": "fits"}} if glob.match("{pattern}", [], {V})'

    assert answer(rule, f=pattern, v=value) == reason
    assert answer(same, v=value) == reason  # as rules that an earlier version took


@pytest.mark.parametrize(
    ("condition", "values", "reason"),
    [
        (f'upper({F}) == "ÄΔЖ中1"', ("äδж中1",), "policy.so"),
        (f'upper({F}) == "SS"', ("ß",), "engine.failed"),
        (f'upper({F}) == "FI"', ("\ufb01",), "engine.failed"),
        (f'lower({F}) == "äö"', ("ÄÖ",), "policy.so"),
        (f'lower({F}) == "ας"', ("ΑΣ",), "engine.failed"),
        (f'lower({F}) == "i"', ("İ",), "engine.failed"),
        (f"indexof({F}, {V}) == 1", ("abc", "b"), "policy.so"),
        (f"indexof({F}, {V}) == 0", ("abc", ""), "engine.failed"),
        (f"net.cidr_contains({F}, {V})", ("10.0.0.0/8", "10.1.2.3"), "policy.so"),
        (f"net.cidr_contains({F}, {V})", ("2001:db8::/32", "2001:db8::1"), "policy.so"),
        (f"net.cidr_contains({F}, {V})", ("10.0.0.0/8", "11.1.2.3"), "allowed"),
        (f"net.cidr_contains({F}, {V})", ("10.0.0.0/8", "::ffff:10.1.2.3"), "engine.failed"),
        (f"net.cidr_contains({F}, {V})", ("10.0.0.0/8", "0:0:0:0:0:FFFF:a01:203"), "engine.failed"),
        (f"net.cidr_contains({F}, {V})", ("::ffff:10.0.0.0/104", "10.1.2.3"), "engine.failed"),
        (f"semver.is_valid({F})", ("1.0.0",), "policy.so"),
        (f"semver.is_valid({F})", ("1.0",), "allowed"),
        (f"semver.is_valid({F})", ("v1.0.0",), "engine.failed"),
        (f'lower({W}) == "a"', (), "allowed"),
        (f"json.marshal({F}) == {V}", (["a"], '["a"]'), "policy.so"),
        (f"json.marshal({F}) == {V}", (["<a>"], '["<a>"]'), "engine.failed"),
        (f"json.marshal({F}) == {V}", ("\u2028", "\u2028"), "engine.failed"),
        (f"to_number({F}) == 1", ("1",), "policy.so"),
        (f"to_number({F}) == 1", (True,), "policy.so"),
        (f"to_number({F}) == 1", (" 1",), "engine.failed"),
    ],
)
def test_what_opa_answers_otherwise_denies(
    condition: str, values: tuple[Any, ...], reason: str
) -> None:
    rule = f'deny contains {{"reason": "so"}} if {condition}'

    assert answer(rule, **dict(zip("fv", values, strict=False))) == reason


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('p := sprintf("%05d", [1])', "x.rego:3: a format has %s, %d, %v and %% here"),
        ("p := sprintf(`%.2f`, [1])", "write numbers that have to look otherwise as texts first"),
        ('p if glob.match("{,a}", [], input.phase)', "x.rego:3: a choice of nothing"),
        ("p if glob.match(`{a,{b,}}`, [], input.phase)", "ask for each pattern by itself"),
        ('p := units.parse("1K")', "units.parse is not available to a host's rules; write the num"),
        ('p := units.parse_bytes("1K")', "write the number of bytes, in the data too"),
        ("sprintf(x, y) := x if y", "sprintf is a built-in's name; rename it"),
        ("glob := 1", "x.rego:3: glob is a built-in's name; rename it"),
        ("lower(x) := x", "x.rego:3: lower is a built-in's name; rename it"),
    ],
)
def test_what_is_written_out_and_differs_is_refused(rule: str, said: str) -> None:
    with pytest.raises(BundleError) as refused:
        judge((("host/x.rego", f"package safeconduct.host\n\n{rule}\n"),))

    assert said in refused.value.public


@pytest.mark.parametrize(
    "rule", ['p := sprintf("%d%%: %s %v", [1, "a", 2])', 'p if glob.match("{a,b}*", [], "a,,")']
)
def test_what_does_not_differ_is_taken(rule: str) -> None:
    judge((("host/x.rego", f"package safeconduct.host\n\n{rule}\n"),))


def test_a_pattern_that_is_written_out_costs_nothing_more() -> None:
    module = ("host/x.rego", 'package safeconduct.host\n\np if glob.match("{a,b}", [], "a")\n')

    assert exact((module,)) == (module,)
