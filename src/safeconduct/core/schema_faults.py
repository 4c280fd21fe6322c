"""What does not fit a JSON schema, and how much may be looked at to find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

_MOST_STEPS = 250_000  # places of a value held against places of a schema
_LONGEST_NAME = 80
_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


class Fault(NamedTuple):
    """What does not fit.

    Attributes:
        path: Where: names of members and indexes of items.
        problem: What is wrong there, as a clause without the value.
    """

    path: tuple[str | int, ...]
    problem: str

    def under(self, step: str | int) -> Fault:
        return Fault((step, *self.path), self.problem)

    def spelled(self, root: str) -> str:
        """Return a sentence part such as `arguments.order is a string, and must be an object`."""
        where = "".join(
            f"[{step}]" if isinstance(step, int) else f".{shown(step)}" for step in self.path[:32]
        )
        return f"{root}{where} {self.problem}"


class Run:
    """What may still be looked at for one value."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _MOST_STEPS

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise Exhausted


class Exhausted(Exception):
    """A value takes more work to check than is given to one."""


Check = Callable[[Any, Run], Fault | None]


def type_of(value: object) -> str:
    """Name the type of a JSON value, with its article."""
    return _NAMES.get(type(value), "of no JSON type")


def shown(name: str) -> str:
    """Return a name as it may stand in a sentence."""
    plain = name if name.isprintable() else ascii(name)
    return plain if len(plain) <= _LONGEST_NAME else f"{plain[:_LONGEST_NAME]}…"
