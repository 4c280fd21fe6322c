"""What is wrong with a bundle, in a form that a report can name; and an engine's failing."""

from __future__ import annotations

from collections.abc import Sequence

from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.model import Value
from safeconduct.policy.rego import BundleError

_MOST_NAMED = 5


class EngineFailed(GatewayError):
    """The engine gave no answer. Whoever asked must deny."""

    code = Code.UNAVAILABLE


class Failure(Value, frozen=True):
    """One thing that is wrong with a bundle.

    Attributes:
        test: The rule that failed as `package.test_name`, the case of a scenario, or "" if it
            never came to that.
        message: What happened, with file and line where they are known.
    """

    test: str
    message: str


class Failing(BundleError):
    """Rules whose tests do not hold; the sentence names the first few."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        said = "; ".join(failure.message for failure in failures[:_MOST_NAMED])
        more = len(failures) - _MOST_NAMED
        super().__init__(said + (f"; and {more} more" if more > 0 else ""))
        self.failures = tuple(failures)
