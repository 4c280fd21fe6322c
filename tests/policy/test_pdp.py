"""The decision point: who may, who may not, and what happens when nobody can tell."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.decision import Redact
from safeconduct.core.model import ConsentId, HostId, Level, Resource, ServerKey, SessionId
from safeconduct.policy import (
    Bundle,
    ClientFacts,
    ConsentFacts,
    Embedded,
    EngineFailed,
    Facts,
    HostPolicy,
    Pdp,
    SessionFacts,
    SubjectFacts,
    ToolFacts,
    document,
    public_reason,
)
from safeconduct.policy.memory import Memory
from safeconduct.policy.rego import ENTRY_POINT, interpreter

from .builders import TICKETS, a_request, at_levels, at_once, decided, some_facts

LEVELS = list(Level)
MAYBE = [*LEVELS, None]


class Scripted:
    """An engine that answers what it was told to."""

    def __init__(self, answer: bytes | EngineFailed) -> None:
        self.answer = answer
        self.memory = Memory(None)

    async def evaluate(self, document: bytes) -> bytes:
        if isinstance(self.answer, EngineFailed):
            raise self.answer
        return self.answer


def scripted(answer: bytes | EngineFailed) -> Pdp:
    return Pdp(lambda _: HostPolicy(engine=Scripted(answer), bundle="b"))


def allowing(**changes: Any) -> bytes:
    answer = {
        "allow": True,
        "reason": "allowed",
        "message": "Allowed.",
        "required_level": "low",
        "effective_level": "low",
        "step_up": False,
        "obligations": [],
        "rules": [],
    }
    return msgspec.json.encode(answer | changes)


def tool(**changes: Any) -> ToolFacts:
    return msgspec.structs.replace(some_facts().tool, **changes)


@pytest.mark.requirement("Z-07", "Z-09", "Z-30", "K-16")
@pytest.mark.parametrize(("consent", "ceiling"), list(itertools.product(LEVELS, LEVELS)))
def test_the_effective_level_is_the_lower_of_consent_and_ceiling(
    pdp: Pdp, consent: Level, ceiling: Level
) -> None:
    for required in LEVELS:
        decision = decided(pdp, a_request(), at_levels(required, consent, ceiling))

        assert decision.effective_level == min(consent, ceiling)
        assert decision.required_level == required
        assert decision.allow == (required <= min(consent, ceiling))
        assert decision.step_up == (consent < required <= ceiling)


SUBJECT = some_facts().subject
CLIENT = some_facts().client
SESSION = SessionFacts(id=SessionId("ses-bob"), server=TICKETS, live=True)
CONSENT = ConsentFacts(id=ConsentId("con-1"), level=Level.HIGH, live=True)
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("session.ended", {"session": None}),
    ("session.ended", {"session": msgspec.structs.replace(SESSION, live=False)}),
    ("subject.inactive", {"subject": msgspec.structs.replace(SUBJECT, active=False)}),
    ("client.blocked", {"client": msgspec.structs.replace(CLIENT, active=False)}),
    ("binding.mismatch", {"subject": msgspec.structs.replace(SUBJECT, id="alice")}),
    ("binding.mismatch", {"client": msgspec.structs.replace(CLIENT, id="other")}),
    ("binding.mismatch", {"session": msgspec.structs.replace(SESSION, id="ses-2")}),
    ("binding.mismatch", {"session": msgspec.structs.replace(SESSION, server="wiki")}),
    ("tool.unknown", {"tool": tool(known=False)}),
    ("tool.disabled", {"tool": tool(enabled=False)}),
    ("tool.changed", {"tool": tool(state="changed")}),
    ("tool.changed", {"tool": tool(state="new")}),
    ("ceiling.none", {"ceiling": None}),
    ("consent.none", {"consent": None}),
    ("consent.expired", {"consent": msgspec.structs.replace(CONSENT, live=False)}),
    ("ceiling.exceeded", {"ceiling": Level.MEDIUM}),
    ("consent.level", {"consent": msgspec.structs.replace(CONSENT, level=Level.MEDIUM)}),
]


@pytest.mark.requirement("Z-01", "Z-02", "Z-29", "L-10", "Z-10", "D-08")
@pytest.mark.parametrize(("reason", "change"), REFUSED)
def test_one_wrong_fact_refuses_what_is_allowed_without_it(
    pdp: Pdp, reason: str, change: dict[str, Any]
) -> None:
    assert decided(pdp, a_request(), some_facts()).allow

    decision = decided(pdp, a_request(), some_facts(**change))

    assert (decision.allow, decision.reason) == (False, reason)
    assert decision.message.strip()
    assert decision.step_up == (reason == "consent.level")


@pytest.mark.requirement("Z-29")
def test_when_several_facts_are_wrong_the_first_reason_of_the_order_is_given(pdp: Pdp) -> None:
    given_so_far: dict[str, Any] = {}
    order = [
        ("consent.level", {"consent": msgspec.structs.replace(CONSENT, level=Level.LOW)}),
        ("ceiling.exceeded", {"ceiling": Level.LOW}),
        ("consent.expired", {"consent": msgspec.structs.replace(CONSENT, live=False)}),
        ("consent.none", {"consent": None}),
        ("ceiling.none", {"ceiling": None}),
        ("tool.changed", {"tool": tool(state="new")}),
        ("tool.disabled", {"tool": tool(state="new", enabled=False)}),
        ("tool.unknown", {"tool": tool(state="new", enabled=False, known=False)}),
        ("binding.mismatch", {"session": msgspec.structs.replace(SESSION, server="wiki")}),
        ("client.blocked", {"client": msgspec.structs.replace(CLIENT, active=False)}),
        ("subject.inactive", {"subject": msgspec.structs.replace(SUBJECT, active=False)}),
        ("session.ended", {"session": None}),
    ]
    for reason, change in order:
        given_so_far |= change
        assert decided(pdp, a_request(), some_facts(**given_so_far)).reason == reason


@pytest.mark.requirement("Z-11", "K-03")
def test_two_people_behind_one_client_id_never_lend_each_other_a_level(pdp: Pdp) -> None:
    alices, bobs = a_request(who="alice"), a_request(who="bob")
    high, low = some_facts(who="alice"), some_facts(who="bob", ceiling=Level.LOW)

    assert decided(pdp, alices, high).allow
    assert decided(pdp, bobs, low).reason == "ceiling.exceeded"
    assert decided(pdp, bobs, high).reason == "binding.mismatch"
    for part in ("subject", "session"):
        borrowed = msgspec.structs.replace(low, ceiling=Level.HIGH, **{part: getattr(high, part)})
        assert decided(pdp, bobs, borrowed).reason == "binding.mismatch"


@pytest.mark.requirement("Z-02", "K-11")
def test_a_disabled_tool_cannot_be_told_from_an_unknown_one(pdp: Pdp) -> None:
    unknown = decided(pdp, a_request(), some_facts(tool=tool(known=False)))
    disabled = decided(pdp, a_request(), some_facts(tool=tool(enabled=False)))

    assert unknown.message == disabled.message == "Unknown tool: delete_issue"
    assert public_reason(disabled.reason) == unknown.reason == public_reason(unknown.reason)
    assert (disabled.required_level, disabled.effective_level) == (
        unknown.required_level,
        unknown.effective_level,
    )
    assert disabled.required_level is None


@pytest.mark.requirement("Z-29", "K-13")
def test_the_message_names_the_limit_and_who_can_change_it(pdp: Pdp) -> None:
    limited = decided(pdp, a_request(), at_levels(Level.HIGH, Level.HIGH, Level.MEDIUM))
    cautious = decided(pdp, a_request(), at_levels(Level.HIGH, Level.MEDIUM, Level.HIGH))

    assert limited.message == (
        "delete_issue needs level high; an admin of this host limits this person to medium "
        "on tickets. Ask an admin."
    )
    assert "sign in again and choose high" in cautious.message


@pytest.mark.requirement("Z-29")
def test_a_name_of_any_length_still_gets_its_own_reason_and_a_short_message(pdp: Pdp) -> None:
    resource = Resource(kind="tool", server=TICKETS, name="x" * 100_000)

    decision = decided(pdp, a_request(resource=resource), some_facts(tool=tool(known=False)))

    assert decision.reason == "tool.unknown"
    assert len(decision.message) < 200


@pytest.mark.requirement("Z-37", "Z-03")
@pytest.mark.parametrize(
    "answer",
    [
        EngineFailed("down"),
        b"",
        b"not json",
        b"{}",
        b"true",
        b'{"allow":true}',
        allowing(allow="yes"),
        allowing(required_level=1),
        allowing(effective_level="highest"),
        allowing(extra=1),
        allowing(required_level="high"),
        allowing(required_level=None),
        allowing(effective_level=None),
        allowing(reason="consent.level"),
        allowing(step_up=True),
        allowing(allow=False),
        allowing(obligations=[{"type": "sing"}]),
        allowing(obligations=[{"pointers": ["/a"]}]),
        allowing(obligations=[{"type": "redact", "pointers": []}]),
        allowing(obligations=[{"type": "redact", "pointers": ["a"]}]),
        allowing(obligations=[{"type": "redact", "pointers": ["/a"], "extra": 1}]),
        allowing(obligations=[{"type": "max_items", "items": "/a", "count": -1}]),
        allowing(obligations=[{"type": "redact", "pointers": ["/a"]}] * 33),
        allowing(obligations=None),
        allowing(allow=False, reason="x", obligations=[{"type": "ttl", "seconds": 1}]),
    ],
)
def test_an_unusable_answer_is_a_deny(answer: bytes | EngineFailed) -> None:
    """XACML 3.0 section 7.2: everything but a well-formed allow is a deny."""
    decision = decided(scripted(answer), a_request(), some_facts())

    assert (decision.allow, decision.reason, decision.bundle) == (False, "engine.failed", "b")


@pytest.mark.requirement("Z-37")
def test_the_nearest_usable_answer_allows() -> None:
    assert decided(scripted(allowing()), a_request(), some_facts()).allow
    obliged = allowing(obligations=[{"type": "redact", "pointers": ["/a"]}] * 32)
    decision = decided(scripted(obliged), a_request(), some_facts())
    assert decision.allow
    assert decision.obligations == (Redact(pointers=("/a",)),) * 32


@pytest.mark.requirement("Z-03", "Z-37")
def test_a_host_without_a_policy_is_refused(pdp: Pdp) -> None:
    caller = msgspec.structs.replace(a_request().caller, host=HostId("nobody"))

    assert decided(pdp, a_request(caller=caller), some_facts()).reason == "engine.failed"


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize("hostile", [object(), "\ud800", {1: {2: object()}}])
def test_arguments_that_are_not_json_are_a_deny(pdp: Pdp, hostile: object) -> None:
    decision = decided(pdp, a_request(arguments={"x": hostile}), some_facts())

    assert (decision.allow, decision.reason) == (False, "engine.failed")


def test_whole_numbers_of_any_size_can_be_decided_on(pdp: Pdp) -> None:
    assert decided(pdp, a_request(arguments={"n": 10**40}), some_facts()).allow


@pytest.mark.requirement("Z-23")
def test_each_decision_stands_for_itself_and_names_its_bundle(pdp: Pdp) -> None:
    allowed, refused = (
        decided(pdp, a_request(), facts) for facts in (some_facts(), some_facts(ceiling=None))
    )

    assert (allowed.allow, refused.allow) == (True, False)
    assert allowed.id != refused.id
    assert allowed.bundle == refused.bundle == Bundle.shipped().digest


SHIPPED = Bundle.shipped()
FAST = Embedded(SHIPPED)


def facts_of_any_kind() -> st.SearchStrategy[Facts]:
    ids = st.sampled_from(["bob", "alice", "shared-agent", "ses-bob", ""])
    levels, flags = st.sampled_from(LEVELS), st.booleans()
    servers = st.sampled_from([TICKETS, ServerKey("wiki")])
    return st.builds(
        some_facts,
        ceiling=st.sampled_from(MAYBE),
        consent=st.none()
        | st.builds(ConsentFacts, id=st.just(ConsentId("c")), level=levels, live=flags),
        tool=st.builds(
            ToolFacts,
            known=flags,
            enabled=flags,
            state=st.sampled_from(["pinned", "changed", "new"]),
            level=levels,
        ),
    ).flatmap(
        lambda facts: (
            st.builds(
                lambda session, subject, client: msgspec.structs.replace(
                    facts, session=session, subject=subject, client=client
                ),
                st.none() | st.builds(SessionFacts, id=ids, server=servers, live=flags),
                st.builds(SubjectFacts, id=ids, email=st.text(max_size=5), active=flags),
                st.builds(ClientFacts, id=ids, name=st.text(max_size=5), active=flags),
            )
            | st.just(facts)
        )
    )


@pytest.mark.requirement("Z-03", "Z-09", "Z-30", "D-08")
@given(facts=facts_of_any_kind())
def test_allow_means_that_everything_needed_is_there(pdp: Pdp, facts: Facts) -> None:
    decision = decided(pdp, a_request(), facts)

    session, consent, tools = facts.session, facts.consent, facts.tool
    needed = (
        session is not None
        and session.live
        and (session.id, session.server) == ("ses-bob", TICKETS)
        and (facts.subject.id, facts.client.id) == ("bob", "shared-agent")
        and facts.subject.active
        and facts.client.active
        and consent is not None
        and consent.live
        and facts.ceiling is not None
        and tools.level <= min(consent.level, facts.ceiling)
        and tools.known
        and tools.enabled
        and tools.state == "pinned"
    )
    assert decision.allow == needed
    assert decision.reason != "engine.failed"


@pytest.mark.requirement("Z-07")
@given(
    required=st.sampled_from(LEVELS), consent=st.sampled_from(MAYBE), ceiling=st.sampled_from(MAYBE)
)
def test_more_trust_never_takes_a_permission_away(
    pdp: Pdp, required: Level, consent: Level | None, ceiling: Level | None
) -> None:
    if decided(pdp, a_request(), at_levels(required, consent, ceiling)).allow:
        for higher_consent, higher_ceiling in itertools.product(LEVELS, LEVELS):
            if higher_consent >= (consent or 0) and higher_ceiling >= (ceiling or 0):
                facts = at_levels(required, higher_consent, higher_ceiling)
                assert decided(pdp, a_request(), facts).allow


@given(facts=facts_of_any_kind())
def test_the_compiled_rules_and_the_interpreter_give_the_same_answer(facts: Facts) -> None:
    bundle = SHIPPED
    slow = interpreter(bundle.modules, bundle.data)
    raw = document(a_request(), facts).document
    slow.set_input_json(raw.decode())

    assert msgspec.json.decode(at_once(FAST.evaluate(raw))) == slow.eval_rule(ENTRY_POINT)


def test_the_engine_answers_in_any_thread() -> None:
    engine = Embedded(Bundle.shipped())
    other = Pdp(lambda _: HostPolicy(engine=engine, bundle="b"))
    seen: list[bool] = []
    thread = threading.Thread(
        target=lambda: seen.append(decided(other, a_request(), some_facts()).allow)
    )
    thread.start()
    thread.join(timeout=10)

    assert seen == [True]
    assert decided(other, a_request(), some_facts()).allow
