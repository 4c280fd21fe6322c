"""Makes a list answer legible around what is no JSON in it, so that one item alone is lost.

Servers cut descriptions in the middle of a character and write `NaN`; readers of JSON then
refuse the text as a whole, and with it every other item. Such a string or word is replaced by a
mark that no strict reader accepts: the item around it is refused for it, and the others are as
they were spelled.
"""

from __future__ import annotations

import re

import msgspec

MOST_BYTES = 1024 * 1024  # of a text that is mended: each string with an escape is looked at
_MARK = b"\xff\xfe\xff"  # no byte of UTF-8
_REASONS = (
    "a string holds half a surrogate pair",
    "a string holds what JSON does not allow",
    "a number is NaN or infinite, which JSON does not know",
)
_FOUND = re.compile(rb"\xff\xfe\xff([0-9])")
# What needs no look, at one go; and behind it a string with an escape or a control, or a word.
_SUSPECT = re.compile(
    rb'((?:"[^"\\\x00-\x1f]*+"|[^"NI]++)*+)("(?:[^"\\]|\\.)*+"|NaN|Infinity)', re.DOTALL
)
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
_TEXT = msgspec.json.Decoder(str)
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def legible(raw: bytes) -> bytes:
    """Return a text as it is, or with marks in place of what keeps it from being read.

    Whatever else is wrong with it stays, for the reader to refuse.
    """
    try:
        _ANYTHING.decode(raw)
    except _BROKEN:
        return _SUSPECT.sub(_looked_at, raw) if len(raw) <= MOST_BYTES else raw
    return raw


def illegible(raw: bytes) -> str:
    """Return what was replaced in a part of such a text, as a reason; "" if nothing was."""
    found = _FOUND.search(raw) if _MARK in raw else None
    return "" if found is None else _REASONS[int(found[1]) % len(_REASONS)]


def _looked_at(found: re.Match[bytes]) -> bytes:
    before, what = found[1], found[2]
    if not what.startswith(b'"'):
        return before.removesuffix(b"-") + _mark(2)
    try:
        _TEXT.decode(what)
    except _BROKEN:
        return before + _mark(0 if _HALF.search(what) else 1)
    return found[0]


def _mark(reason: int) -> bytes:
    return b'"%b%d"' % (_MARK, reason)
