"""Identifiers that are cheap to make: a random part for the process, then a count.

Unique across processes (64 random bits) and ordered within one; no secret, and nothing to
guess from. Making one costs no system call, which the road of a call would feel.
"""

from __future__ import annotations

import itertools
import secrets


class Series:
    """Hands out identifiers of one kind."""

    def __init__(self, prefix: str) -> None:
        self._stem = f"{prefix}_{secrets.token_hex(8)}"
        self._count = itertools.count(1)

    def __call__(self) -> str:
        return f"{self._stem}{next(self._count):08x}"
