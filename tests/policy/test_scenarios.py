"""The worked examples of the product as scenarios, and what makes a scenario fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeconduct.policy import Bundle, BundleError, read_scenario, run_scenario

SCENARIOS = Path(__file__).parent.parent / "scenarios"
FILES = sorted(SCENARIOS.rglob("*.scenario.yaml"))


@pytest.mark.requirement("T-20", "T-22", "Z-14", "Z-15", "Z-16", "Z-17", "Z-18", "Z-19", "Z-42")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.partition(".")[0])
def test_the_worked_examples_hold(file: Path) -> None:
    bundle = Bundle.shipped()
    if file.parent != SCENARIOS:
        bundle = bundle.with_directory(file.parent)
    scenario = read_scenario(file.name, file.read_text())

    assert run_scenario(file.name, scenario, bundle) == []


EXPECTING = """
scenario: One case
cases:
  - {name: it, expect: EXPECT, reason: REASON, obligations: OBLIGATIONS}
"""


@pytest.mark.parametrize(
    ("expect", "reason", "obligations", "wrong"),
    [
        ("allow", "allowed", "[]", ""),
        ("allow", "null", "null", ""),
        ("deny", "null", "null", "expected deny, got allow"),
        ("allow", "role.exceeded", "[]", "expected reason role.exceeded, got allowed"),
        ("allow", "allowed", "[{type: ttl, seconds: 1}]", "expected obligations"),
    ],
)
def test_a_case_that_is_not_as_expected_is_named(
    expect: str, reason: str, obligations: str, wrong: str
) -> None:
    text = EXPECTING.replace("EXPECT", expect, 1).replace("REASON", reason)
    scenario = read_scenario("x.yaml", text.replace("OBLIGATIONS", obligations))

    failures = run_scenario("x.yaml", scenario, Bundle.shipped())

    assert [failure.test for failure in failures] == (["it"] if wrong else [])
    assert all(wrong in failure.message for failure in failures)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "scenario: x\ncases: []",
        "scenario: x\ncases: [{name: a, expect: maybe}]",
        "scenario: x\ncases: [{name: a, expect: allow, given: {consnet: low}}]",
        "scenario: x\ncases: [{name: a, expect: allow, given: {tool: {levl: low}}}]",
        "scenario: x\ngiven: &a {}\ncases: [{name: a, expect: allow, given: *a}]",
        "scenario: x\ncases: [{name: a, expect: allow, extra: 1}]",
        "scenario: [",
    ],
)
def test_what_is_no_scenario_is_refused_by_file(text: str) -> None:
    with pytest.raises(BundleError, match=r"x\.yaml: "):
        read_scenario("x.yaml", text)


def test_relations_that_cannot_be_read_fail_their_case() -> None:
    text = "scenario: x\ncases: [{name: a, expect: allow, given: {relations: [nonsense]}}]"

    (failure,) = run_scenario("x.yaml", read_scenario("x.yaml", text), Bundle.shipped())

    assert "nonsense" in failure.message
