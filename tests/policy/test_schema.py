"""The input document is what its published schema says."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.model import AccessRequest, Intent, Level
from safeconduct.policy import Facts, RelationFact, document
from safeconduct.policy.schema import PolicyInput, input_schema

from .builders import a_request, at_levels, some_facts
from .strategies import facts as some
from .strategies import requests

PUBLISHED = Path(__file__).parent.parent.parent / "docs" / "policy-input.schema.json"
MAYBE = [None, *Level]


def test_the_published_schema_is_the_one_of_the_code() -> None:
    said = json.loads(json.dumps(input_schema()))

    assert json.loads(PUBLISHED.read_text()) == said, "safeconduct policy schema > it"


FACTS = st.builds(at_levels, st.sampled_from(Level), st.sampled_from(MAYBE), st.sampled_from(MAYBE))


@given(FACTS, st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_every_document_fits_its_schema(facts: Facts, arguments: dict[str, object]) -> None:
    for phase in ("call", "list", "stream", "token", "check"):
        said = a_request(phase=phase, arguments=None if phase == "list" else arguments)

        found = msgspec.json.decode(document(said, facts).document, type=PolicyInput)

        assert found.phase == phase
        assert found.arguments == ({} if phase == "list" else arguments)
        assert found.ceiling == (facts.ceiling and facts.ceiling.word)


def test_what_is_known_only_sometimes_fits_too() -> None:
    fact = RelationFact(
        name="owns",
        object="ticket:1",
        permission="owner",
        subject="person:p",
        allowed=True,
        required=False,
        path=("ticket:1#owner@person:p",),
    )
    facts = some_facts(session=None, consent=None, ceiling=None, relations=(fact,))

    found = msgspec.json.decode(document(a_request(), facts).document, type=PolicyInput)

    assert (found.session, found.consent, found.ceiling) == (None, None, None)
    assert found.relations == (fact,)


def test_one_member_more_or_less_does_not_fit() -> None:
    whole = json.loads(document(a_request(), some_facts()).document)
    for changed in (whole | {"extra": 1}, {k: v for k, v in whole.items() if k != "phase"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(changed, PolicyInput)


@pytest.mark.requirement("Z-45")
def test_what_is_not_declared_is_undefined_and_inputs_of_before_fit_too() -> None:
    partly, nothing = a_request(intent=Intent(purpose="Refund")), a_request()
    whole = json.loads(document(nothing, some_facts()).document)
    before = {name: value for name, value in whole.items() if name != "intent"}

    assert json.loads(document(partly, some_facts()).document)["intent"] == {"purpose": "Refund"}
    assert whole["intent"] is None
    assert msgspec.convert(before, PolicyInput).intent is None


def spelled(request: AccessRequest, facts: Facts) -> bytes:
    """Write the document member by member, as the records there are were written."""
    consent, tool = facts.consent, facts.tool
    members = {
        "arguments": request.arguments or {},
        "phase": request.phase,
        "caller": request.caller,
        "action": request.action,
        "resource": request.resource,
        "subject": facts.subject,
        "client": facts.client,
        "session": facts.session,
        "consent": consent
        and {
            "id": consent.id,
            "level": consent.level.word,
            "live": consent.live,
            "granted_at": consent.granted_at,
            "expires_at": consent.expires_at,
        },
        "ceiling": None if facts.ceiling is None else facts.ceiling.word,
        "tool": {
            "known": tool.known,
            "enabled": tool.enabled,
            "state": tool.state,
            "level": tool.level.word,
        },
        "relations": facts.relations,
        "intent": request.intent,
        "environment": facts.environment,
    }
    return msgspec.json.encode(members)


@given(requests(), some())
def test_a_document_is_one_object_in_the_order_it_always_had(
    request: AccessRequest, known: Facts
) -> None:
    written = document(request, known)

    assert written.document == spelled(request, known)
    assert written.document == b'{"arguments":%b,%b' % (written.arguments, written.basis[1:])
    assert written.basis.startswith(written.settled + b',"environment":{"time":')
