"""Recorded decisions, computed again: by the rules that made them, or by others.

A record of a decision holds the facts, its sealed arguments and the digest of the bundle. That
is the whole input, so the same bundle must give the same answer, and another one tells what it
would have said. What a record cannot tell (arguments too large to be kept, relations that only
the other rules ask about) is said to be unknown, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from safeconduct.core.decision import RequireApproval, RequireConsent
from safeconduct.policy.bundle import Bundle
from safeconduct.policy.data import known_data
from safeconduct.policy.engine import Embedded
from safeconduct.policy.failures import EngineFailed
from safeconduct.policy.pdp import FAILED, Answer, coherent

Record = Mapping[str, Any]
Opener = Callable[[str, str], bytes]
_HOLDING = frozenset({"require_approval", "require_consent"})
KINDS = frozenset({"call.intent", "call.denied"})


class Recorded(NamedTuple):
    """A decision as the trail has it.

    Attributes:
        document: The input, or b"" if the record does not hold all of it.
        held: Whether the call had to wait for somebody.
    """

    id: str
    at: str
    subject: str
    client: str
    server: str
    resource: str
    allow: bool
    reason: str
    bundle: str
    document: bytes
    held: bool = False


class Again(NamedTuple):
    """The answer of rules to a recorded input."""

    allow: bool
    reason: str
    message: str
    obligations: tuple[Any, ...] = ()
    rules: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether the call has to wait for somebody."""
        return any(isinstance(each, RequireApproval | RequireConsent) for each in self.obligations)


class Flip(NamedTuple):
    """Who would get another answer for what, how often, and the first and last time."""

    subject: str
    client: str
    server: str
    resource: str
    before: str
    after: str
    times: int
    first: str
    last: str
    decision: str


class Comparison(NamedTuple):
    """What other rules would have said of a stretch of the trail.

    Attributes:
        decisions: How many were computed again.
        unknown: How many could not be, by why.
        flips: One for each (person, agent, server, tool, before, after), most frequent first.
    """

    decisions: int
    unknown: dict[str, int]
    flips: tuple[Flip, ...]


def recorded(record: Record, opened: Opener) -> Recorded | None:
    """Read a decision from a record of the trail; None if the record is of something else.

    Args:
        record: The record's members.
        opened: Opens sealed arguments of a host; raises ValueError if it cannot.
    """
    if record.get("kind") not in KINDS or not isinstance(record.get("facts"), dict):
        return None
    facts = record["facts"]
    return Recorded(
        id=str(record.get("decision_id") or ""),
        at=str(record["ts"]),
        subject=str(facts.get("subject", {}).get("email") or record.get("subject")),
        client=str(record.get("client") or ""),
        server=str(record.get("server") or ""),
        resource=str(record.get("resource") or record.get("method") or ""),
        allow=record.get("decision") == "allow",
        reason=str(record.get("reason") or ""),
        bundle=str(record.get("bundle") or ""),
        document=_document(record, facts, opened),
        held=any(each.get("type") in _HOLDING for each in record.get("obligations") or ()),
    )


def _document(record: Record, facts: dict[str, Any], opened: Opener) -> bytes:
    sealed = record.get("sealed_arguments")
    if sealed is None and record.get("arguments"):
        return b""  # there were arguments, and they were left out: see the record's `omitted`
    try:
        arguments = b"{}" if sealed is None else opened(str(record["host"]), str(sealed))
    except ValueError:
        return b""
    return b'{"arguments":%b,%b' % (arguments, msgspec.json.encode(facts)[1:])


class Rules:
    """One bundle, ready to answer recorded inputs."""

    def __init__(self, bundle: Bundle) -> None:
        """Compile it.

        Raises:
            BundleError: If it does not compile.
        """
        self._engine = Embedded(bundle)
        self._questions = frozenset(known_data(bundle.data).questions)
        self._decoder = msgspec.json.Decoder(Answer)

    def answer(self, document: bytes) -> Again:
        """Answer one input; what fails is a deny, as on the road."""
        try:
            answer = self._decoder.decode(self._engine.evaluate_now(document))
        except (EngineFailed, msgspec.MsgspecError, ValueError):
            return Again(allow=False, reason=FAILED, message="The policy gave no answer.")
        if not coherent(answer):
            return Again(allow=False, reason=FAILED, message="The answer contradicts itself.")
        return Again(
            allow=answer.allow,
            reason=answer.reason,
            message=answer.message,
            obligations=answer.obligations,
            rules=answer.rules,
        )

    def asks_more(self, decision: Recorded) -> bool:
        """Say whether the rules ask the relations what the recorded input does not answer."""
        if not self._questions or not decision.document:
            return False
        relations = msgspec.json.decode(decision.document).get("relations", [])
        return not self._questions <= {fact.get("name") for fact in relations}


def compare(decisions: Iterable[Recorded], rules: Rules) -> Comparison:
    """Have other rules answer recorded decisions; list every answer that would be another.

    A call that would be held for somebody's yes and was not, or the other way round, is one.
    """
    unknown: dict[str, int] = {}
    flips: dict[tuple[str, ...], Flip] = {}
    count = 0
    for decision in decisions:
        why = _unknown(decision, rules)
        if why:
            unknown[why] = unknown.get(why, 0) + 1
            continue
        count += 1
        again = rules.answer(decision.document)
        if (again.allow, again.held) != (decision.allow, decision.held):
            _note(flips, decision, again)
    ordered = sorted(flips.values(), key=lambda flip: (-flip.times, flip))
    return Comparison(decisions=count, unknown=unknown, flips=tuple(ordered))


def _unknown(decision: Recorded, rules: Rules) -> str:
    if not decision.document:
        return "its arguments were not kept, or not by this installation"
    if rules.asks_more(decision):
        return "the other rules ask the relations what nobody asked then"
    return ""


def _note(flips: dict[tuple[str, ...], Flip], decision: Recorded, again: Again) -> None:
    before, after = _word(decision), _word(again)
    who = (decision.subject, decision.client, decision.server, decision.resource, before, after)
    known = flips.get(who)
    flips[who] = Flip(
        *who,
        times=1 if known is None else known.times + 1,
        first=decision.at if known is None else known.first,
        last=decision.at,
        decision=decision.id,
    )


def _word(decision: Recorded | Again) -> str:
    if not decision.allow:
        return f"deny ({decision.reason})"
    return "held" if decision.held else "allow"


def explained(bundle: Bundle, document: bytes) -> Iterator[tuple[str, bool]]:
    """Yield every condition of an allow, in order, and whether it holds for this input.

    The built-in rules of another version may not have them all.
    """
    engine = bundle.interpreter()
    engine.set_input_json(document.decode())
    for condition in CONDITIONS:
        try:
            holds = engine.eval_rule_as_json(f"data.safeconduct.decision.{condition}")
        except RuntimeError as error:
            if "not a valid rule path" not in str(error):
                raise
            continue
        yield condition, holds == "true"


CONDITIONS = (
    "session_live",
    "subject_active",
    "client_active",
    "bound",
    "listed_nowhere",
    "tool_known",
    "tool_enabled",
    "tool_pinned",
    "has_ceiling",
    "has_consent",
    "consent_live",
    "within_ceiling",
    "within_consent",
    "within_tier",
    "within_roles",
    "related",
    "host_agrees",
)
