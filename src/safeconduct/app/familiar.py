"""Heads of requests that a connection has sent before, told by their bytes.

A client says the same before each of its messages, but for the length of what follows. A head
that the parser has read once, byte for byte and up to that number, means the same again, so it
is not read again. Whatever differs in anything else goes to the parser.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from safeconduct.edge import Approach
from safeconduct.proxy import Head

_MOST = 8  # of a connection
_MOST_BYTES = 32 * 1024 * 1024
_MOST_HEAD_BYTES = 16 * 1024
_FIXED_BYTES, _COPIES = 4096, 3  # objects around them; each field is kept as bytes and as text
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]?([0-9]{1,7})(?=\r\n)", re.IGNORECASE)
_END = b"\r\n\r\n"
_DIGITS = 8  # one more than are taken, so that the end of the line is among them


class Familiar(NamedTuple):
    """One head: its bytes around the digits of its Content-Length, and what it says."""

    opening: bytes
    closing: bytes
    head: Head
    approach: Approach

    @property
    def size(self) -> int:
        """About how much memory it takes, with everything that was read from it."""
        return _FIXED_BYTES + _COPIES * (len(self.opening) + len(self.closing))

    def body_in(self, data: bytes) -> bytes | None:
        """Return the body if `data` is this head and one whole body, and nothing else."""
        if not data.startswith(self.opening):
            return None
        start = len(self.opening)
        stop = data.find(b"\r", start, start + _DIGITS)
        if stop < 0 or not data.startswith(self.closing, stop):
            return None
        digits = data[start:stop]
        body = data[stop + len(self.closing) :]
        return body if digits.isdigit() and int(digits) == len(body) else None


class HeadBudget:
    """How many bytes all connections of this process may remember together."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._left = most_bytes

    @property
    def left(self) -> int:
        return self._left

    def take(self, size: int) -> bool:
        """Take some of it, if there is as much."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._left += size


class FamiliarHeads:
    """The heads a connection has sent last, of requests that were let in."""

    def __init__(self, budget: HeadBudget) -> None:
        self._budget = budget
        self._held: list[Familiar] = []

    def find(self, data: bytes) -> tuple[Familiar, bytes] | None:
        """Return the head that `data` begins with, and the body that is all of the rest."""
        for familiar in self._held:
            body = familiar.body_in(data)
            if body is not None:
                return familiar, body
        return None

    def remember(self, familiar: Familiar) -> None:
        """Remember a head whose request was let in, instead of the oldest if there are many."""
        if len(self._held) == _MOST:
            self._budget.give_back(self._held.pop().size)
        if self._budget.take(familiar.size):
            self._held.insert(0, familiar)

    def forget(self) -> None:
        """Forget all of them; the connection has ended."""
        for familiar in self._held:
            self._budget.give_back(familiar.size)
        self._held = []


def familiar_from(data: bytes, head: Head, approach: Approach) -> Familiar | None:
    """Return what there is to remember of a request that has just been read, whole, from `data`.

    Args:
        data: One request and nothing else, to be answered on a connection that is kept.
        head: What it says; it has a Content-Length, and its body is not coded or chunked.
        approach: What it says to the door.
    """
    end = data.find(_END, 0, _MOST_HEAD_BYTES) + len(_END)
    found = _LENGTH.search(data, 0, end)
    if found is None or int(found[1]) != len(data) - end:
        return None
    return Familiar(data[: found.start(1)], data[found.end(1) : end], head, approach)
