"""Where rules run: one narrow interface, and the engine that runs them in this process.

What the embedded engine protects against: more than 25,000 instructions in one decision end it
(a limit built into the engine), and an answer larger than anything we write is refused. What
it does not: recursion, and the memory of a single built-in; so a host's modules are judged
before they get here (`vetting`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from safeconduct.core.errors import Code, GatewayError
from safeconduct.policy.machines import Machines
from safeconduct.policy.rego import is_panic

if TYPE_CHECKING:
    from safeconduct.policy.bundle import Bundle

MAX_ANSWER_BYTES = 8192
_UNDEFINED = '"<undefined>"'


class EngineFailed(GatewayError):
    """The engine gave no answer. Whoever asked must deny."""

    code = Code.UNAVAILABLE


class Engine(Protocol):
    """Runs the rules of one bundle."""

    async def evaluate(self, document: bytes) -> bytes:
        """Answer one input document (JSON) with one decision (JSON), not yet trusted.

        Raises:
            EngineFailed: If there is no answer, for whatever reason.
        """


class Embedded:
    """The rules of one bundle, compiled, in this process.

    Nothing in a decision yields, so one machine for each thread is enough.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Compile the rules.

        Raises:
            BundleError: If they do not compile; the message names the file and the line.
        """
        self._machines = Machines(bundle)

    async def evaluate(self, document: bytes) -> bytes:
        return self.evaluate_now(document)

    def evaluate_now(self, document: bytes) -> bytes:
        """Answer one input document, as `evaluate` does and without a loop."""
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
