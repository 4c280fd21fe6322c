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

_MOST = 8
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]?([0-9]{1,7})(?=\r\n)", re.IGNORECASE)
_END = b"\r\n\r\n"
_DIGITS = 8  # one more than are taken, so that the end of the line is among them


class Familiar(NamedTuple):
    """One head: its bytes around the digits of its Content-Length, and what it says."""

    opening: bytes
    closing: bytes
    head: Head
    approach: Approach

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


class FamiliarHeads:
    """The heads a connection has sent last."""

    def __init__(self) -> None:
        self._held: list[Familiar] = []

    def find(self, data: bytes) -> tuple[Familiar, bytes] | None:
        """Return the head that `data` begins with, and the body that is all of the rest."""
        for familiar in self._held:
            body = familiar.body_in(data)
            if body is not None:
                return familiar, body
        return None

    def learn(self, data: bytes, head: Head, approach: Approach) -> None:
        """Remember the head of a request that has just been read, whole, from `data` alone.

        Args:
            data: One request and nothing else, to be answered on a connection that is kept.
            head: What it says; it has a Content-Length, and its body is not coded or chunked.
            approach: What it says to the door.
        """
        end = data.find(_END) + len(_END)
        found = _LENGTH.search(data, 0, end)
        if found is None or int(found[1]) != len(data) - end:
            return
        opening, closing = data[: found.start(1)], data[found.end(1) : end]
        self._held = [Familiar(opening, closing, head, approach), *self._held[: _MOST - 1]]
