"""A story told in steps, each held against a fact."""

from __future__ import annotations

from collections.abc import Callable

from safeconduct.core.model import Value


class Step(Value, frozen=True):
    """One sentence, whether it held, and the fact that shows it."""

    act: str
    sentence: str
    held: bool
    fact: str


class Story:
    """What was told so far."""

    def __init__(self, tell: Callable[[Step], None]) -> None:
        """Begin.

        Args:
            tell: Hears each step as it is made.
        """
        self._tell = tell
        self._act = ""
        self.steps: list[Step] = []

    @property
    def held(self) -> bool:
        """Whether every step so far behaved, and there was at least one."""
        return bool(self.steps) and all(step.held for step in self.steps)

    def act(self, title: str) -> None:
        """Begin a new part."""
        self._act = title

    def step(self, sentence: str, fact: str, *, held: bool) -> None:
        """Tell what should have happened and what did."""
        step = Step(act=self._act, sentence=sentence, held=held, fact=fact)
        self.steps.append(step)
        self._tell(step)
