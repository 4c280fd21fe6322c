"""The decision point: one question, the facts, one decision. It never raises.

Everything but a well-formed and coherent allow is a deny. XACML 3.0 section 7.2 lets an
enforcement point permit only what it fully understands; here that is done once, for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec.structs import replace

from safeconduct.core.binding import Binding
from safeconduct.core.decision import MOST_OBLIGATIONS, Decision, Obligation, Word
from safeconduct.core.ids import Series
from safeconduct.core.model import AccessRequest, HostId, Level, Value
from safeconduct.policy.engine import Engine
from safeconduct.policy.facts import Facts, Input, document
from safeconduct.policy.failures import EngineFailed
from safeconduct.policy.memory import Items, Memory
from safeconduct.policy.own_reads import EVERYTHING, OwnReads

FAILED = "engine.failed"
ALLOWED = "allowed"
# What was asked, what was decided, the bundle that would have said the opposite, and its reason.
Told = Callable[[AccessRequest, Decision, str, str], None]
_ITEMS_AT_ONCE = 200
_NOTHING = Input(settled=b"", basis=b"", arguments=b"")


class Beside(Protocol):
    """Rules that answer beside those that decide."""

    bundle: str
    questions: tuple[tuple[str, Binding], ...]

    def beside(
        self, request: AccessRequest, decision: Decision, document: bytes, told: Told
    ) -> None:
        """Answer a question once more, and tell of another answer."""


class HostPolicy(Value, frozen=True):
    """What decides for one host: an engine, and the digest of the bundle it runs.

    Attributes:
        questions: What the host's rules want to know of the relations, by name.
        obliges: Whether they may oblige to anything.
        reads: What the host's own rules read of what callers choose.
        schema: The host's own definitions of types and permissions.
        shadow: Rules that are asked beside these, or None.
    """

    engine: Engine
    bundle: str
    questions: tuple[tuple[str, Binding], ...] = ()
    obliges: bool = True
    reads: OwnReads = EVERYTHING
    schema: str = ""
    shadow: Beside | None = None


class Answer(Value, frozen=True):
    """What rules must answer, exactly; an unknown or missing member is no answer."""

    allow: bool
    reason: str
    message: str
    required_level: Word | None
    effective_level: Word | None
    step_up: bool
    obligations: tuple[Obligation, ...]
    rules: tuple[str, ...]


class Pdp:
    """Decides. The same decisions serve calls, listings, tokens and other enforcement points."""

    def __init__(
        self,
        engines: Callable[[HostId], HostPolicy],
        *,
        new_id: Callable[[], str] | None = None,
        told: Told | None = None,
    ) -> None:
        """Take the policies' source.

        Args:
            engines: Finds a host's policy; raises LookupError where there is none.
            new_id: Names a decision; by default a series of this process.
            told: Hears what the rules of a shadow would have decided otherwise.
        """
        self._engines = engines
        self._new_id = new_id or Series("dec")
        self._told = told
        self._decoder = msgspec.json.Decoder(Answer)

    def obliges(self, host: HostId) -> bool:
        """Say whether a host's rules may oblige to anything at all."""
        try:
            return self._engines(host).obliges
        except LookupError:
            return True  # nothing is known, so nothing is ruled out

    def reads(self, host: HostId) -> OwnReads:
        """Say what a host's own rules read of what callers choose."""
        try:
            return self._engines(host).reads
        except LookupError:
            return EVERYTHING  # as above

    async def decide(self, request: AccessRequest, facts: Facts) -> Decision:
        """Decide one request on its facts."""
        try:
            policy = self._engines(request.caller.host)
        except LookupError:
            return self._failed(bundle="")
        given = _NOTHING
        try:
            given = document(request, facts)
            memory = policy.engine.memory
            key = memory.key(given, facts.environment)
            answered = memory.held.get(key)
            if answered is None:
                answered = self._understood(await policy.engine.evaluate(memory.readable(given)))
                memory.keep(key, answered)
        # What is not JSON going in, or not an answer coming out, is a deny like any other.
        except (EngineFailed, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            return self._failed(policy.bundle, given)
        decision = replace(
            answered,
            id=self._new_id(),
            bundle=policy.bundle,
            basis=given.basis,
            arguments=given.arguments,
        )
        if policy.shadow is not None and self._told is not None:
            policy.shadow.beside(request, decision, given.document, self._told)
        return decision

    async def allows_each(
        self, request: AccessRequest, facts: Facts, items: Items
    ) -> tuple[bool, ...]:
        """Decide a request about each item of a list, for which all other facts are the same.

        Args:
            request: What is asked about each; its resource names none.
            facts: What is true of all of them.
            items: The name of each, and what is known of it.
        """
        memory, key = self._memory_of_lists(request, facts)
        known = None if memory is None else memory.lists.get((key, items))
        if known is not None:
            return known
        shown = []
        for number, (name, tool) in enumerate(items):
            if number % _ITEMS_AT_ONCE == _ITEMS_AT_ONCE - 1:
                await asyncio.sleep(0)  # a long list holds nobody else up
            about = replace(request, resource=replace(request.resource, name=name))
            decision = await self.decide(about, replace(facts, tool=tool))
            shown.append(decision.allow)
        if memory is not None:
            memory.keep_list(key, items, tuple(shown))
        return tuple(shown)

    def _memory_of_lists(self, request: AccessRequest, facts: Facts) -> tuple[Memory | None, bytes]:
        """Return where answers about lists may be remembered, and under what, or None."""
        try:
            policy = self._engines(request.caller.host)
            key = policy.engine.memory.key(document(request, facts), facts.environment)
        except (LookupError, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            return None, b""  # each item is refused for itself
        return (policy.engine.memory, key) if key and policy.shadow is None else (None, b"")

    def _understood(self, raw: bytes) -> Decision:
        """Read an answer: a decision that is nobody's yet."""
        answer = self._decoder.decode(raw)
        if not coherent(answer):
            raise EngineFailed("the policy's answer contradicts itself")
        return Decision(
            id="",
            allow=answer.allow,
            reason=answer.reason,
            message=answer.message,
            bundle="",
            required_level=_level(answer.required_level),
            effective_level=_level(answer.effective_level),
            step_up=answer.step_up,
            obligations=answer.obligations,
            rules=answer.rules,
        )

    def _failed(self, bundle: str, given: Input = _NOTHING) -> Decision:
        return Decision(
            id=self._new_id(),
            allow=False,
            reason=FAILED,
            message="The policy gave no answer, so the request was refused. "
            "Ask an admin of this host.",
            bundle=bundle,
            basis=given.basis,
            arguments=given.arguments,
        )


def public_reason(reason: str) -> str:
    """Return the reason as the caller may see it: a disabled tool is an unknown one."""
    return "tool.unknown" if reason == "tool.disabled" else reason


def coherent(answer: Answer) -> bool:
    """Tell whether an answer agrees with itself, so that no slip in a rule opens the gate."""
    if not answer.allow:
        return answer.reason != ALLOWED and not answer.obligations
    if len(answer.obligations) > MOST_OBLIGATIONS:
        return False
    required, effective = _level(answer.required_level), _level(answer.effective_level)
    within = required is not None and effective is not None and required <= effective
    return within and answer.reason == ALLOWED and not answer.step_up


def _level(word: Word | None) -> Level | None:
    return None if word is None else _LEVELS[word]


_LEVELS: dict[str, Level] = {level.word: level for level in Level}
