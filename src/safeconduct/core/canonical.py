"""Strict JSON in, canonical JSON out.

What we judge must mean the same to everybody who reads it after us, so input that readers
may interpret differently is refused: duplicate names, a byte-order mark, encodings other
than UTF-8, lone surrogates, numbers beyond IEEE 754 double, nesting beyond a bound
(RFC 8259 sections 4, 6, 8.1 and 9; RFC 7493).

There are three ways to the same value, from quick to slow, and only the slow one says what is
wrong. A short text that comes out again as it went in, blanks apart, leaves nothing to interpret:
a second member of a name, another spelling of a character or a number, half a surrogate pair or a
byte-order mark would not come out. Of any other text, what stands outside its strings (its
outline) tells whether a native reader and the slow one agree: no unusual numbers, no control
characters in strings, and as many members as come out again. How many values a text may have is
bounded before the first is built: a value takes up to fifty times the memory of its text.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

import msgspec

from safeconduct.core.json_outline import (
    count_controls,
    count_values,
    depth_of,
    has_unusual_number,
    outline_of,
)

MAX_DEPTH = 64
MAX_VALUES = 1_000_000
_MAX_NUMBER_DIGITS = 400
_SAFE_DIGITS = 300  # a whole number of fewer is below the greatest double, which has 309
_DIGIT = re.compile(rb"[0-9]")
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % _SAFE_DIGITS)
_QUICK_BYTES = 64 * 1024  # reading what is larger twice costs more than it may save


class StrictJSONError(ValueError):
    """The text is not JSON that every reader understands alike. The message says why."""


def parse(raw: bytes, *, max_values: int = MAX_VALUES) -> Any:
    """Read one JSON value.

    Args:
        raw: The text.
        max_values: How many values it may have, nested ones counted.

    Raises:
        StrictJSONError: If the text is malformed or ambiguous, see the module's first lines.
    """
    short = len(raw) <= _QUICK_BYTES
    if short and raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH and not _has_long_number(raw):
        try:
            value = _read(raw)
            written = _write(value)
            if written == raw or written == _without_blanks(raw, indent=-1):
                return value
        except _UNSURE:
            return _read_slowly(raw)
    outline = _bounded_outline(raw, max_values)
    try:
        return _read_by_outline(raw, outline)
    except _UNSURE:
        return _read_slowly(raw)


def check_bounds(raw: bytes, *, max_values: int = MAX_VALUES) -> None:
    """Look whether a text may be read at all, before any of it is.

    Raises:
        StrictJSONError: If it has too many values, or is nested too deeply.
    """
    _bounded_outline(raw, max_values)


def disguised(members: dict[str, Any], known: frozenset[str]) -> bool:
    """Say whether a member is a known one but for its case, or stands in for known ones.

    We would not look at it; readers that ignore case, as Go's encoding/json does, would take
    it for the known one, and even prefer it. Readers in JavaScript that copy members find those
    of `__proto__` where an object has none of its own.
    """
    if known.issuperset(members):
        return False
    if "__proto__" in members:
        return True
    folded = {*map(str.casefold, known)}
    return not folded.isdisjoint(map(str.casefold, members.keys() - known))


def canonical_bytes(value: object) -> bytes:
    """Return the one spelling of a JSON value: sorted names, no spaces, UTF-8.

    Ours, not RFC 8785: numbers keep Python's shortest form, which is enough to compare
    what this program itself has parsed.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8", "surrogatepass")


def fingerprint(value: object) -> str:
    """Return SHA-256 of the canonical spelling, in hex."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()


def _has_long_number(raw: bytes) -> bool:
    """Find numbers that may be beyond a double, in strings as well."""
    # A run of so many digits has one at every so many bytes, wherever it begins.
    return _DIGIT.search(raw[::_SAFE_DIGITS]) is not None and _LONG_NUMBER.search(raw) is not None


def _bounded_outline(raw: bytes, max_values: int) -> bytes:
    """Return what stands outside the strings.

    Raises:
        StrictJSONError: If the text has too many values, or is nested too deeply.
    """
    # Each string is a value or the name of one; the outline is made of as many pieces.
    if raw.count(b'"') - raw.count(b'\\"') > 4 * max_values:
        raise StrictJSONError(f"the text has more than {max_values} values")
    outline = outline_of(raw)
    if count_values(outline) > max_values:
        raise StrictJSONError(f"the text has more than {max_values} values")
    if outline.count(b"[") + outline.count(b"{") > MAX_DEPTH and depth_of(outline) > MAX_DEPTH:
        raise StrictJSONError(f"the text is nested deeper than {MAX_DEPTH} levels")
    return outline


def _read_by_outline(raw: bytes, outline: bytes) -> Any:
    """Read a text natively.

    Raises:
        ValueError: If the slow way might read it differently, or refuse it.
    """
    if has_unusual_number(outline) or count_controls(raw) != count_controls(outline):
        raise ValueError("not certain")
    value = _read(raw)
    if outline_of(_write(value)).count(b":") != outline.count(b":"):
        raise ValueError("a member has a second value")
    return value


def _read_slowly(raw: bytes) -> Any:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJSONError("the text is not UTF-8") from error
    if text.startswith("\ufeff"):
        raise StrictJSONError("the text starts with a byte-order mark")
    try:
        value = _DECODER.decode(text)
    except RecursionError as error:  # belt and braces: the depth is already bounded
        raise StrictJSONError("the text is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"the text is not JSON: {error.msg}") from error
    if "\\ud" in text or "\\uD" in text:
        _no_lone_surrogates(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise StrictJSONError("an object has two members of the same name")
    return members


def _constant(name: str) -> float:
    raise StrictJSONError(f"{name} is not a JSON number")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise StrictJSONError("a number is too large")
    return number


def _int(text: str) -> int:
    if len(text) > _MAX_NUMBER_DIGITS:
        raise StrictJSONError("a number has too many digits")
    number = int(text)
    _float(text)
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float, parse_int=_int
)
_read, _write = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
_without_blanks = msgspec.json.format
_UNSURE = (msgspec.MsgspecError, ValueError, RecursionError)


def _no_lone_surrogates(value: object) -> None:
    match value:
        case str():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise StrictJSONError("a string holds half a surrogate pair") from error
        case dict():
            for name, member in value.items():
                _no_lone_surrogates(name)
                _no_lone_surrogates(member)
        case list():
            for item in value:
                _no_lone_surrogates(item)
        case _:
            pass  # numbers, true, false and null hold no text
