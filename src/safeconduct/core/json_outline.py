"""The outline of a JSON text: all that stands outside its strings.

Made in a handful of native passes, before any value is built, so that what would be too deep or
too much to build is refused at the speed of `bytes.replace`. A text that is not JSON has an
outline too: up to the first error, where every parser stops, it is the right one, and what
follows can only make it longer.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from itertools import accumulate

_BRACKETS = bytes.maketrans(b"[]{}", b"1010")
_EVERYTHING_ELSE = bytes(set(range(256)) - set(b"[]{}"))
_CONTROLS = bytes(range(0x20))
_NUMBERS = bytes(0x30 if byte in b"0123456789" else byte | 0x20 for byte in range(256))
_MANY_DIGITS = b"0" * 19  # a whole number of fewer fits into 64 bits


def outline_of(raw: bytes) -> bytes:
    """Return a text without its strings; quotation marks are left out too."""
    if b"\\" in raw:  # within a string an escape begins with the first backslash of a run
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(raw.split(b'"')[::2])


def count_values(outline: bytes) -> int:
    """Return how many values a text has at most: one, and one more for each comma and bracket."""
    return 1 + outline.count(b",") + outline.count(b"[") + outline.count(b"{")


def count_controls(raw: bytes) -> int:
    """Return how many control characters there are, blanks such as line feeds among them."""
    return len(raw) - len(raw.translate(None, _CONTROLS))


def has_unusual_number(outline: bytes) -> bool:
    """Tell whether a number has an exponent, or many digits: readers differ in how they hold it."""
    alike = outline.translate(_NUMBERS)
    return b"0e" in alike or _MANY_DIGITS in alike


def depth_of(outline: bytes) -> int:
    """Return how deep a text is nested at its deepest, counted in arrays and objects.

    Eight brackets are taken at a time: as bits of one number, opening ones set. What eight of
    them add to the depth, and how high they go on the way, stands in two tables.
    """
    bits = outline.translate(_BRACKETS, _EVERYTHING_ELSE)
    if not bits:
        return 0
    bits += b"0" * (-len(bits) % 8)  # closing what is open reaches no new depth
    eights = int(bits, 2).to_bytes(len(bits) // 8, "big")
    before: Iterable[int] = accumulate(map(_GAINS.__getitem__, eights), initial=0)
    deepest: int = max(map(operator.add, before, map(_PEAKS.__getitem__, eights)))
    return deepest


def _climb(eight: int) -> list[int]:
    """Return the depth after each of eight brackets, from 0 on."""
    steps = (1 if eight >> bit & 1 else -1 for bit in range(7, -1, -1))
    return list(accumulate(steps, initial=0))


_GAINS = tuple(_climb(eight)[-1] for eight in range(256))
_PEAKS = tuple(max(_climb(eight)) for eight in range(256))
