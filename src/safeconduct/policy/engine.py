"""Where rules run: one narrow interface, and the engines that run them in this process.

The built-in rules are compiled, and more than 25,000 instructions in one decision end it (a
limit built into the engine). A host's own are interpreted, here where they come to an end by
themselves, beside this process where they might not (`loops`, `apart`). What nothing here
protects against is the time of a single built-in; so rules that took long have to rest: others
wait for them a small part of the time at most. An answer larger than anything we write is
refused, and a host's modules are judged before they get here (`vetting`).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from safeconduct.policy.apart import Apart
from safeconduct.policy.failures import EngineFailed
from safeconduct.policy.interpreted import Collected
from safeconduct.policy.machines import Machines, said_of
from safeconduct.policy.memory import Memory
from safeconduct.policy.reading import reads_of
from safeconduct.policy.rego import is_panic, place_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from safeconduct.policy.bundle import Bundle

MAX_ANSWER_BYTES = 8192
_LONG_SECONDS = 0.25  # of processor time; the longest of honest decisions take milliseconds
_REST = 10
_UNDEFINED = '"<undefined>"'

# One process for all bundles of this one; it starts with the first question that needs it.
_apart = Apart()

Runs = Literal["compiled", "interpreted", "apart"]


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


class _Allowing(msgspec.Struct):
    allow: bool


class Embedded:
    """The rules of one bundle; nothing in a decision yields, but for rules that run apart."""

    def __init__(self, bundle: Bundle, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Make the rules ready.

        Args:
            bundle: The rules and their data.
            monotonic: Seconds that only grow.

        Raises:
            BundleError: If they cannot be; the message names the file and the line.
        """
        self._machines = Machines(bundle)
        self.memory = Memory(reads_of(bundle.modules))
        self._watched = bundle.has_own_rules  # the built-in ones are quick, whatever they read
        self._monotonic = monotonic
        self._rests_until = float("-inf")

    @property
    def runs(self) -> Runs:
        """How the host's own rules run; the built-in ones are always compiled."""
        if not self._machines.has_own:
            return "compiled"
        return "interpreted" if self._machines.most_here else "apart"

    async def evaluate(self, document: bytes) -> bytes:
        if len(document) <= self._machines.most_here or not _loop_runs():
            return self.evaluate_now(document)
        # Others are served while the process beside this one thinks.
        return self._decided(document, await asyncio.to_thread(self._asked_apart, document))

    def evaluate_now(self, document: bytes) -> bytes:
        """Answer one input document, as `evaluate` does and without a loop."""
        if not self._watched:
            return self._decided(document, None)
        if len(document) > self._machines.most_here:
            return self._decided(document, self._asked_apart(document))
        if self._monotonic() < self._rests_until:
            raise EngineFailed("the policy took too long a moment ago")
        began = time.thread_time()
        try:
            return self._decided(document, None)
        finally:
            spent = time.thread_time() - began
            if spent > _LONG_SECONDS:
                self._rests_until = self._monotonic() + _REST * spent

    def _asked_apart(self, document: bytes) -> Collected:
        return _apart.collect(self._machines.key, self._machines.load, document)

    def _decided(self, document: bytes, said: Collected | None) -> bytes:
        """Run the rules that run here, on what those beside this process said."""
        try:
            ready = self._machines.current()
            if said is None and ready.own is not None:
                said = ready.own.collect(document.decode())
            ready.machine.set_input_json(
                said_of(document, said.text) if said else document.decode()
            )
            answer: str = ready.machine.execute()
        except (RuntimeError, ValueError) as error:
            detail = place_of(str(error)) or type(error).__name__
            raise EngineFailed("the policy engine failed", detail) from None
        except BaseException as error:
            if not is_panic(error):
                raise
            # An engine that panicked is in an unknown state and never used again.
            self._machines.discard()
            raise EngineFailed("the policy engine failed", "panic") from None
        return _checked(answer, said)


def _checked(answer: str, said: Collected | None) -> bytes:
    if answer == _UNDEFINED:
        raise EngineFailed("the policy gave no answer")
    if len(answer) > MAX_ANSWER_BYTES:
        raise EngineFailed("the policy's answer is too large")
    incomplete = said is not None and not said.complete
    if incomplete and msgspec.json.decode(answer, type=_Allowing).allow:
        raise EngineFailed("the policy engine failed", "obligations")
    return answer.encode()


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
