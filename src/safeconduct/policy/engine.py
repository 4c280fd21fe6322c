"""Where rules run: one narrow interface, and the engine that runs them in this process.

What the embedded engine protects against: more than 25,000 instructions in one decision end it
(a limit built into the engine), and an answer larger than anything we write is refused. What
it does not: recursion, the memory of a single built-in, and its time: a rule that sorts all of
a large document for each of many items holds everything up for seconds. So a host's modules
are judged before they get here (`vetting`), and rules that took long have to rest: others wait
for them a small part of the time at most.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from safeconduct.core.errors import Code, GatewayError
from safeconduct.policy.machines import Machines
from safeconduct.policy.memory import Memory
from safeconduct.policy.reading import reads_of
from safeconduct.policy.rego import is_panic

if TYPE_CHECKING:
    from collections.abc import Callable

    from safeconduct.policy.bundle import Bundle

MAX_ANSWER_BYTES = 8192
_LONG_SECONDS = 0.25  # of processor time; the longest of honest decisions take milliseconds
_REST = 10
_UNDEFINED = '"<undefined>"'


class EngineFailed(GatewayError):
    """The engine gave no answer. Whoever asked must deny."""

    code = Code.UNAVAILABLE


class Engine(Protocol):
    """Runs the rules of one bundle.

    Attributes:
        memory: Where its answers may be remembered.
    """

    memory: Memory

    async def evaluate(self, document: bytes) -> bytes:
        """Answer one input document (JSON) with one decision (JSON), not yet trusted.

        Raises:
            EngineFailed: If there is no answer, for whatever reason.
        """


class Embedded:
    """The rules of one bundle, compiled, in this process.

    Nothing in a decision yields, so one machine for each thread is enough.
    """

    def __init__(self, bundle: Bundle, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Compile the rules.

        Args:
            bundle: The rules and their data.
            monotonic: Seconds that only grow.

        Raises:
            BundleError: If they do not compile; the message names the file and the line.
        """
        self._machines = Machines(bundle)
        self.memory = Memory(reads_of(self._machines.modules))
        self._watched = bundle.has_own_rules  # the built-in ones are known to be quick
        self._monotonic = monotonic
        self._rests_until = float("-inf")

    async def evaluate(self, document: bytes) -> bytes:
        return self.evaluate_now(document)

    def evaluate_now(self, document: bytes) -> bytes:
        """Answer one input document, as `evaluate` does and without a loop."""
        if not self._watched:
            return self._answer(document)
        if self._monotonic() < self._rests_until:
            raise EngineFailed("the policy took too long a moment ago")
        began = time.thread_time()
        try:
            return self._answer(document)
        finally:
            spent = time.thread_time() - began
            if spent > _LONG_SECONDS:
                self._rests_until = self._monotonic() + _REST * spent

    def _answer(self, document: bytes) -> bytes:
        try:
            machine = self._machines.current()
            machine.set_input_json(document.decode())
            answer: str = machine.execute()
        except (RuntimeError, ValueError) as error:
            raise EngineFailed("the policy engine failed", type(error).__name__) from None
        except BaseException as error:
            if not is_panic(error):
                raise
            # A machine that panicked is in an unknown state and never used again.
            self._machines.discard()
            raise EngineFailed("the policy engine failed", "panic") from None
        if answer == _UNDEFINED:
            raise EngineFailed("the policy gave no answer")
        if len(answer) > MAX_ANSWER_BYTES:
            raise EngineFailed("the policy's answer is too large")
        return answer.encode()
