"""Rules and data that nobody hears are said with the nearest name, and helpers are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from safeconduct.app import unheard
from safeconduct.policy import Bundle, BundleError, refused_today, unread_files
from safeconduct.policy.written_obligations import check_obligations

DATA = """
regions: {allowed: [EU]}
questions: {owns: {path: arguments.id, object: "ticket:{value}", permission: own}}
"""


def text_of(rules: str) -> str:
    return f"package safeconduct.host\n\nimport rego.v1\n\n{rules}\n"


def bundle_of(rules: str, data: str = DATA) -> Bundle:
    """Put rules beside the built-in ones, without judging them, which takes a process."""
    modules = (*Bundle.shipped().modules, ("host/a.rego", text_of(rules)))
    return Bundle.of(modules=modules, data=yaml.safe_load(data))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ('denny contains {"reason": "x"} if input.phase == "call"', "did you mean deny?"),
        ('Deny contains {"reason": "x"} if input.phase == "call"', "did you mean deny?"),
        ('obligation contains {"type": "notify", "about": "x"}', "did you mean obligations?"),
        (
            'deny contains {"reason": "x"} if input.action == "tools/cal"',
            "input.action is never tools/cal; did you mean tools/call?",
        ),
        (
            'deny contains {"reason": "x"} if input.resource.kind == "tol"',
            "input.resource.kind is never tol; did you mean tool?",
        ),
        ("test_it if 1 == 1", "test_it is never run; tests stand in files that end with _test"),
        ('allow if input.phase == "call"', "only refuse (deny)"),
        (
            'deny contains {"reason": "x"} if not data.regons.allowed',
            "a.rego:5: there is no data.regons in the data; did you mean regions?",
        ),
        (
            'deny contains {"reason": "x"} if not data.regions.alowed',
            "there is no data.regions.alowed in the data; did you mean allowed?",
        ),
        (
            'deny contains {"reason": "x"} if data.safeconduct.questions.answers.own',
            "there is no question own in the data; did you mean owns?",
        ),
        (
            'deny contains {"reason": "x"} if data.safeconduct.tiers.teir == "a"',
            "there is no data.safeconduct.tiers.teir; did you mean tier?",
        ),
        (
            'deny contains {"reason": "x"} if data.safeconduct.host.hepler\n\nhelper := 1',
            "there is no data.safeconduct.host.hepler; did you mean helper?",
        ),
        (
            'deny contains {"reason": "x", "mesage": "No."} if input.phase == "call"',
            "nobody is told mesage of a deny; did you mean message?",
        ),
        (
            'deny contains {"reason": "x"} if input.phase == "cal"',
            "a.rego:5: input.phase is never cal; did you mean call?",
        ),
        (
            'deny contains {"reason": "x"} if "hihg" != input.tool.level',
            "input.tool.level is never hihg; did you mean high?",
        ),
        (
            'deny contains {"reason": "x"} if input.tool.state in {"pinned", "odd"}',
            "input.tool.state is never odd; there is changed, new, pinned",
        ),
        ('deny contains {"reason": "Not so"} if input.phase == "call"', "this reason is not told"),
    ],
)
def test_what_nobody_hears_is_said_with_the_nearest_name(rules: str, said: str) -> None:
    (note,) = unheard(bundle_of(rules))

    assert said in note


@pytest.mark.parametrize("name", ["deny_list", "denylist", "Roles", "agent", "question"])
def test_data_near_what_the_built_in_rules_read_is_said(name: str) -> None:
    rules = 'deny contains {"reason": "x"} if not data.regions.allowed'
    (note,) = unheard(bundle_of(rules, DATA + f"{name}: {{}}"))

    assert f"no rule reads {name}; the built-in rules read" in note
    assert unheard(bundle_of(f"{rules}\n\nx if data.{name}", DATA + f"{name}: {{}}")) == ()


def test_rules_and_data_of_a_hosts_own_are_its_own() -> None:
    rules = """
deny contains {"reason": "region"} if {
	not in_region
	denys
	data.safeconduct.questions.answers.owns
	input.resource.kind == "tool"
	input.action in {"tools/call", "oauth/token", "tools/list"}
	input.phase in {"call", "list"}
	input.arguments.phase == "cal"
	input.tool.level in data.regions.allowed
	data.safeconduct.levels.rank[input.tool.level] > data.safeconduct.levels.rank.low
}

in_region if input.subject.attributes.region in data.regions.allowed

denys if data.safeconduct.tiers.tier == "x"

levels := [input.tool.level, "x" == "y", sprintf("%s", ["x"]) == "y"]

unused_helper if input.phase == "call"
"""
    assert unheard(bundle_of(rules, DATA + "another: 1")) == ()
    assert unheard(Bundle.shipped()) == ()


@pytest.mark.parametrize(
    ("obligation", "said"),
    [
        ('{"type": "maks", "pointers": ["/a"]}', "there is no obligation maks; did you mean mask"),
        ('{"type": "sing"}', "there is no obligation sing; there is filter, mask,"),
        ('{"type": "mask", "pointer": ["/a"]}', "has no member pointer; did you mean pointers?"),
        ('{"type": "throttle", "count": 3}', "throttle needs seconds"),
        ('{"type": "throttle", "count": 0, "seconds": 3}', "count of throttle: "),
        ('{"type": "throttle", "count": 1, "seconds": 3, "per": "client"}', "per of throttle: "),
        ('{"type": "redact", "pointers": ["a"]}', "pointers of redact: "),
    ],
)
@pytest.mark.parametrize("form", ["%s", "each if each := %s"])
def test_an_obligation_that_is_written_out_and_is_none_is_refused(
    obligation: str, said: str, form: str
) -> None:
    with pytest.raises(BundleError) as refused:
        check_obligations([("a.rego", text_of(f"obligations contains {form % obligation}"))])

    assert said in refused.value.public
    assert "a.rego:5: " in refused.value.public


@pytest.mark.parametrize(
    "obligation",
    [
        '{"type": "mask", "pointers": ["/a"], "keep_last": 4}',
        '{"type": "notify", "about": input.resource.name}',
        '{"type": input.phase, "whatever": 1}',
        '{"type": "throttle", "count": data.regions.count, "seconds": 3}',
        '{"type": "throttle", input.phase: 3}',
    ],
)
def test_what_an_obligation_computes_is_not_judged_by_its_text(obligation: str) -> None:
    check_obligations([("a.rego", text_of(f"obligations contains {obligation}"))])


def test_such_an_obligation_is_refused_when_rules_are_offered_and_said_of_those_in_force() -> None:
    text = text_of('obligations contains {"type": "maks"}')

    with pytest.raises(BundleError, match="there is no obligation maks"):
        Bundle.shipped().with_files({"a.rego": text.encode()})
    assert "there is no obligation maks" in refused_today((("host/a.rego", text),), "")


def test_files_that_look_like_data_and_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    names = ("data.yaml", "a.scenario.yaml", "dat.yaml", "sub/data.json", ".x.yaml", "README.md")
    for name in names:
        (tmp_path / name).write_text("")

    assert [*unread_files(tmp_path)] == ["dat.yaml", "sub/data.json"]
