"""Running a bundle's tests in a process of its own: a runaway test refuses the bundle, no more."""

from __future__ import annotations

import msgspec

from safeconduct.policy.bundle import Bundle
from safeconduct.policy.checks import check_bundle
from safeconduct.policy.elsewhere import BroughtDown, Question, asked
from safeconduct.policy.failures import Failure

CPU_SECONDS = 20


def tried_elsewhere(bundle: Bundle) -> tuple[Failure, ...]:
    """Compile the rules and run their tests; an empty answer means all is well."""
    try:
        found = asked("trial", msgspec.to_builtins(bundle))
    except BroughtDown:
        return (Failure(test="", message="the tests take too long, or too much memory"),)
    return msgspec.convert(found, tuple[Failure, ...])


def answer(question: Question) -> object:
    return msgspec.to_builtins(check_bundle(msgspec.convert(question, Bundle)))
