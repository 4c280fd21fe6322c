"""Makes a list answer legible around what is no JSON in it, so that one item alone is lost.

Servers cut descriptions in the middle of a character, write `NaN` and nest schemas without end;
readers of JSON then refuse the text as a whole, and with it every other item. Such a string, word
or array is replaced by a mark that no strict reader accepts: the item around it is refused for it,
and the others are as they were spelled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from safeconduct.core.canonical import MAX_DEPTH

MOST_BYTES = 1024 * 1024  # of a text that is mended: each string with an escape is looked at
_MARK = b"\xff\xfe\xff"  # no byte of UTF-8
_REASONS = (
    "a string holds half a surrogate pair",
    "a string holds what JSON does not allow",
    "a number is NaN or infinite, which JSON does not know",
    f"it is nested deeper than {MAX_DEPTH} levels",
)
_FOUND = re.compile(rb"\xff\xfe\xff([0-9])")
# What needs no look, at one go; and behind it a string with an escape or a control, or a word.
_SUSPECT = re.compile(
    rb'((?:"[^"\\\x00-\x1f]*+"|[^"NI]++)*+)("(?:[^"\\]|\\.)*+"|NaN|Infinity)', re.DOTALL
)
# Brackets, and what needs no look before them.
_BRACKETS = re.compile(
    rb'(?:[^\]\[{}"]++|"(?:[^"\\]|\\.)*+")*+(?:(?P<opened>[\[{]++)|(?P<closed>[\]}]++))', re.DOTALL
)
_DEEPEST = MAX_DEPTH + 36  # with an answer's own levels; an item that goes deeper is refused
# Whoever reads a text that was legible may stand somewhat deeper, and reads no deeper than that.
_SPARE = 20
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
_TEXT = msgspec.json.Decoder(str)
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def legible(raw: bytes) -> bytes:
    """Return a text as it is, or with marks in place of what keeps it from being read.

    Whatever else is wrong with it stays, for the reader to refuse.
    """
    try:
        _ANYTHING.decode(b"%b%b%b" % (b"[" * _SPARE, raw, b"]" * _SPARE))
    except _BROKEN:
        return _marked(_cut(raw)) if len(raw) <= MOST_BYTES else raw
    return raw


def illegible(raw: bytes) -> str:
    """Return what was replaced in a part of such a text, as a reason; "" if nothing was."""
    found = _FOUND.search(raw) if _MARK in raw else None
    return "" if found is None else _REASONS[int(found[1]) % len(_REASONS)]


def _marked(raw: bytes) -> bytes:
    """Return a text with marks in place of strings and words that are none."""
    pieces, kept = [], 0
    for found in _one_after_another(_SUSPECT, raw):
        pieces.append(_looked_at(found))
        kept = found.end()
    return b"".join((*pieces, raw[kept:]))


def _one_after_another(pattern: re.Pattern[bytes], raw: bytes) -> Iterator[re.Match[bytes]]:
    """Yield matches that follow each other, and none behind a place where there is none.

    A search would go on from every byte of what is no JSON, to the end of the text each time.
    """
    found = pattern.match(raw)
    while found:
        yield found
        found = pattern.match(raw, found.end())


def _cut(raw: bytes) -> bytes:
    """Return a text with marks in place of the arrays and objects that are nested too deep."""
    pieces, depth, kept = [], 0, 0
    for found in _one_after_another(_BRACKETS, raw):
        if opened := found["opened"]:
            begins = found.end() - len(opened) + _DEEPEST - depth
            depth += len(opened)
            if depth - len(opened) <= _DEEPEST < depth:
                pieces.append(raw[kept:begins])
        else:
            over = depth - _DEEPEST
            depth -= len(found["closed"])
            if over > 0 and depth <= _DEEPEST:
                kept = found.end() - len(found["closed"]) + over
                pieces.append(_mark(3))
    return b"".join((*pieces, raw[kept:])) if depth <= _DEEPEST else raw


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
