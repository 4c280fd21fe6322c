"""Computing recorded decisions again: the same rules say the same, and what is unknown is said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.model import Intent, Level
from safeconduct.policy import (
    Bundle,
    Embedded,
    HostPolicy,
    Pdp,
    Recorded,
    Rules,
    compare,
    document,
    explained,
    recorded,
)
from safeconduct.policy.replay import CONDITIONS

from .builders import a_request, at_levels, decided, some_facts

pytestmark = pytest.mark.requirement("L-11", "L-22", "Z-42")
SHIPPED = Bundle.shipped()
RULES = Rules(SHIPPED)
PDP = Pdp(lambda _: HostPolicy(engine=Embedded(SHIPPED), bundle=SHIPPED.digest))
MAYBE = [None, *Level]


def opened(_host: str, sealed: str) -> bytes:
    if sealed == "nonsense":
        raise ValueError(sealed)
    return sealed.encode()


def a_record(**changes: Any) -> dict[str, Any]:
    decision = decided(PDP, a_request(), some_facts())
    return {
        "kind": "call.intent",
        "ts": "2026-11-26T10:00:00.000000Z",
        "host": "acme",
        "client": "shared-agent",
        "server": "tickets",
        "resource": "delete_issue",
        "arguments": {"id": "string(3)"},
        "sealed_arguments": '{"id":"T-7"}',
        "decision": "allow",
        "decision_id": decision.id,
        "reason": decision.reason,
        "bundle": decision.bundle,
        "facts": msgspec.json.decode(decision.basis),
    } | changes


def a_decision(**changes: Any) -> Recorded:
    found = recorded(a_record(**changes), opened)
    assert found is not None
    return found


def candidate(directory: Path, rule: str, data: str = "") -> Rules:
    (directory / "own.rego").write_text(f"package safeconduct.host\n\nimport rego.v1\n\n{rule}\n")
    if data:
        (directory / "data.yaml").write_text(data)
    return Rules(SHIPPED.with_directory(directory))


def test_a_record_gives_back_the_very_input_of_its_decision() -> None:
    assert a_decision().document == document(a_request(), some_facts()).document


@pytest.mark.requirement("Z-45")
def test_an_intent_is_part_of_what_is_computed_again_and_records_of_before_have_none(
    tmp_path: Path,
) -> None:
    asked = a_request(intent=Intent(purpose="triage", workflow="w"))
    facts = msgspec.json.decode(decided(PDP, asked, some_facts()).basis)
    rules = candidate(tmp_path, 'deny contains {"reason": "x"} if not input.intent.purpose')
    before = {name: value for name, value in facts.items() if name != "intent"}

    assert a_decision(facts=facts).document == document(asked, some_facts()).document
    assert rules.answer(a_decision(facts=facts).document).allow
    assert RULES.answer(a_decision(facts=before).document).allow
    assert rules.answer(a_decision(facts=before).document).reason == "policy.x"


@pytest.mark.slow
@given(
    required=st.sampled_from(Level), consent=st.sampled_from(MAYBE), ceiling=st.sampled_from(MAYBE)
)
def test_the_same_rules_say_the_same_again(
    required: Level, consent: Level | None, ceiling: Level | None
) -> None:
    facts = at_levels(required, consent, ceiling)
    decision = decided(PDP, a_request(), facts)
    again = RULES.answer(document(a_request(), facts).document)

    assert (again.allow, again.reason, again.message) == (
        decision.allow,
        decision.reason,
        decision.message,
    )
    conditions = dict(explained(SHIPPED, document(a_request(), facts).document))
    assert all(conditions.values()) == decision.allow


def test_the_conditions_that_are_explained_are_all_there_are() -> None:
    text = dict(SHIPPED.modules)["safeconduct/main.rego"]
    body = re.search(r"\nallow if \{\n(.*?)\n\}", text, re.DOTALL)
    assert body is not None

    assert tuple(line.strip() for line in body[1].splitlines()) == CONDITIONS


def test_flips_are_listed_by_person_agent_and_tool(tmp_path: Path) -> None:
    rules = candidate(tmp_path, 'deny contains {"reason": "x"} if input.arguments.id == "T-7"')
    other = a_decision(sealed_arguments='{"id":"T-8"}')

    found = compare([a_decision(), a_decision(ts="2026-11-26T11:00:00.000000Z"), other], rules)

    (flip,) = found.flips
    assert (found.decisions, found.unknown) == (3, {})
    assert flip[:6] == (
        "bob@acme.test",
        "shared-agent",
        "tickets",
        "delete_issue",
        "allow",
        "deny (policy.x)",
    )
    assert (flip.times, flip.first[:13], flip.last[:13]) == (2, "2026-11-26T10", "2026-11-26T11")


def test_a_denial_that_would_be_allowed_is_a_flip_too() -> None:
    strict = a_decision(decision="deny", reason="policy.old", kind="call.denied")

    (flip,) = compare([strict], RULES).flips

    assert (flip.before, flip.after) == ("deny (policy.old)", "allow")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sealed_arguments": None}, "arguments"),
        ({"sealed_arguments": "nonsense"}, "arguments"),
    ],
)
def test_what_a_record_does_not_hold_is_unknown_and_no_flip(
    changes: dict[str, Any], why: str
) -> None:
    found = compare([a_decision(**changes)], RULES)

    assert (found.decisions, found.flips) == (0, ())
    (said,) = found.unknown
    assert why in said


def test_relations_that_only_the_other_rules_ask_about_are_unknown(tmp_path: Path) -> None:
    data = "questions:\n  owns: {path: arguments.id, object: 'ticket:{value}', permission: owner}\n"
    rules = candidate(
        tmp_path,
        'deny contains {"reason": "x"} if not data.safeconduct.questions.answers.owns',
        data,
    )

    found = compare([a_decision()], rules)

    assert (found.decisions, found.flips) == (0, ())
    assert list(found.unknown.values()) == [1]


@pytest.mark.parametrize("kind", ["call.outcome", "session.opened", "policy.activated"])
def test_records_of_something_else_are_no_decisions(kind: str) -> None:
    assert recorded(a_record(kind=kind), opened) is None
    assert recorded(a_record(facts=None), opened) is None


HOLDING = """package safeconduct.host

obligations contains {"type": "require_approval"} if input.resource.name == "delete_issue"
"""


def test_a_call_that_would_newly_be_held_is_a_flip(tmp_path: Path) -> None:
    (tmp_path / "x.rego").write_text(HOLDING)
    holding = Rules(SHIPPED.with_directory(tmp_path))
    free = recorded(a_record(), opened)
    held = recorded(a_record(obligations=[{"type": "require_approval"}]), opened)
    assert free is not None
    assert held is not None

    (flip,) = compare([free, held], holding).flips
    (back,) = compare([free, held], RULES).flips

    assert (flip.before, flip.after, flip.times) == ("allow", "held", 1)
    assert (back.before, back.after, back.times) == ("held", "allow", 1)
