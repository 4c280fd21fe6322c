"""The decision point: one question, the facts, one decision. No I/O, and it never raises.

Everything but a well-formed and coherent allow is a deny. XACML 3.0 section 7.2 lets an
enforcement point permit only what it fully understands; here that is done once, for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from safeconduct.core.ids import Series
from safeconduct.core.model import AccessRequest, Decision, HostId, Level, Value
from safeconduct.policy.engine import Engine, EngineFailed
from safeconduct.policy.facts import Facts, document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Word = Literal["low", "medium", "high"]

FAILED = "engine.failed"
ALLOWED = "allowed"


class HostPolicy(Value, frozen=True):
    """What decides for one host: an engine, and the digest of the bundle it runs."""

    engine: Engine
    bundle: str


class Answer(Value, frozen=True):
    """What rules must answer, exactly; an unknown or missing member is no answer."""

    allow: bool
    reason: str
    message: str
    required_level: Word | None
    effective_level: Word | None
    step_up: bool


class Pdp:
    """Decides. The same decisions serve calls, listings, tokens and other enforcement points."""

    def __init__(
        self,
        engines: Callable[[HostId], HostPolicy],
        *,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        """Take the policies' source.

        Args:
            engines: Finds a host's policy; raises LookupError where there is none.
            new_id: Names a decision; by default a series of this process.
        """
        self._engines = engines
        self._new_id = new_id or Series("dec")
        self._decoder = msgspec.json.Decoder(Answer)

    def decide(self, request: AccessRequest, facts: Facts) -> Decision:
        """Decide one request on its facts."""
        try:
            policy = self._engines(request.caller.host)
        except LookupError:
            return self._failed(bundle="")
        try:
            raw = policy.engine.evaluate(document(request, facts))
            answer = self._decoder.decode(raw)
        # What is not JSON going in, or not an answer coming out, is a deny like any other.
        except (EngineFailed, msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            return self._failed(policy.bundle)
        return self._decision(answer, policy.bundle)

    def decide_all(self, questions: Iterable[tuple[AccessRequest, Facts]]) -> list[Decision]:
        """Decide many, for listings; each stands for itself."""
        return [self.decide(request, facts) for request, facts in questions]

    def _decision(self, answer: Answer, bundle: str) -> Decision:
        required, effective = _level(answer.required_level), _level(answer.effective_level)
        if not _coherent(answer, required, effective):
            return self._failed(bundle)
        return Decision(
            id=self._new_id(),
            allow=answer.allow,
            reason=answer.reason,
            message=answer.message,
            bundle=bundle,
            required_level=required,
            effective_level=effective,
            step_up=answer.step_up,
        )

    def _failed(self, bundle: str) -> Decision:
        return Decision(
            id=self._new_id(),
            allow=False,
            reason=FAILED,
            message="The policy gave no answer, so the request was refused. "
            "Ask an admin of this host.",
            bundle=bundle,
        )


def public_reason(reason: str) -> str:
    """Return the reason as the caller may see it: a disabled tool is an unknown one."""
    return "tool.unknown" if reason == "tool.disabled" else reason


def _coherent(answer: Answer, required: Level | None, effective: Level | None) -> bool:
    """Tell whether an answer agrees with itself, so that no slip in a rule opens the gate."""
    if not answer.allow:
        return answer.reason != ALLOWED
    within = required is not None and effective is not None and required <= effective
    return within and answer.reason == ALLOWED and not answer.step_up


def _level(word: Word | None) -> Level | None:
    return None if word is None else _LEVELS[word]


_LEVELS: dict[str, Level] = {level.word: level for level in Level}
