"""What is made of a value that never changes, made once for each such value.

Views hand out the same object until its row changes, so the object itself says whether what was
made of it still holds: another object, even an equal one, has its own made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")
D = TypeVar("D")
_MOST = 10_000


class Derived(Generic[V, D]):
    """Remembers what a function makes of objects; for functions of the object and nothing else."""

    def __init__(self, make: Callable[[V], D], *, most: int = _MOST) -> None:
        """Start with nothing.

        Args:
            make: Makes it.
            most: How much is kept; the oldest goes first.
        """
        self._make = make
        self._most = most
        # The object is kept as well: while it is, its id is nobody else's.
        self._made: dict[int, tuple[V, D]] = {}

    def __call__(self, value: V) -> D:
        """Return what is made of a value."""
        held = self._made.get(id(value))
        if held is not None:
            return held[1]
        made = self._make(value)
        if len(self._made) >= self._most:
            del self._made[next(iter(self._made))]
        self._made[id(value)] = (value, made)
        return made
