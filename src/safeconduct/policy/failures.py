"""What is wrong with a bundle, in a form that a report can name."""

from __future__ import annotations

from safeconduct.core.model import Value


class Failure(Value, frozen=True):
    """One thing that is wrong with a bundle.

    Attributes:
        test: The rule that failed as `package.test_name`, the case of a scenario, or "" if it
            never came to that.
        message: What happened, with file and line where they are known.
    """

    test: str
    message: str
