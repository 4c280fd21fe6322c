"""The worked examples of the product as scenarios, and what makes a scenario fail."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from safeconduct.policy import Bundle, BundleError, read_scenario, run_scenario

ROOT = Path(__file__).parents[2]
SCENARIOS = ROOT / "tests" / "scenarios"
FILES = sorted(SCENARIOS.rglob("*.scenario.yaml"))
PROVING = {
    "adoption": pytest.mark.requirement("Z-33"),
    "controls": pytest.mark.requirement("Z-41"),
    "github": pytest.mark.requirement("Z-43"),
    "intent": pytest.mark.requirement("Z-45"),
}


def name_of(file: Path) -> str:
    return file.name.partition(".")[0]


@pytest.mark.requirement("T-20", "T-22", "Z-14", "Z-15", "Z-16", "Z-17", "Z-18", "Z-19", "Z-42")
@pytest.mark.parametrize(
    "file",
    [pytest.param(each, marks=PROVING.get(name_of(each), ()), id=name_of(each)) for each in FILES],
)
def test_the_worked_examples_hold(file: Path) -> None:
    bundle = Bundle.shipped()
    if file.parent != SCENARIOS:
        bundle = bundle.with_directory(file.parent)
    scenario = read_scenario(file.name, file.read_text())

    assert run_scenario(file.name, scenario, bundle) == []


def test_each_example_that_proves_something_is_there() -> None:
    assert PROVING.keys() <= set(map(name_of, FILES))


@pytest.mark.requirement("Z-43")
def test_the_catalogue_of_scopes_that_is_told_of_is_the_one_that_is_tried() -> None:
    section = (ROOT / "docs/policies.md").read_text().partition("\n## A catalogue of scopes\n")[2]
    told = section.partition("```yaml\n")[2].partition("```")[0]
    (tried,) = [each for each in FILES if name_of(each) == "github"]

    given = read_scenario(tried.name, tried.read_text()).given

    assert given["data"] == yaml.safe_load(told)
    assert "`tools: {merge_pull_request: {level: high}}`" in section


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
