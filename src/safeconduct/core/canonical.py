"""Strict JSON in, canonical JSON out.

What we judge must mean the same to everybody who reads it after us, so input that readers
may interpret differently is refused: duplicate names, a byte-order mark, encodings other
than UTF-8, lone surrogates, numbers beyond IEEE 754 double, nesting beyond a bound
(RFC 8259 sections 4, 6, 8.1 and 9; RFC 7493).

There are two ways to the same value. Text that comes out again as it went in, blanks apart,
leaves nothing to interpret: a second member of a name, another spelling of a character or a
number, half a surrogate pair or a byte-order mark would not come out. All other text is read
slowly, and only the slow way refuses.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

import msgspec

MAX_DEPTH = 64
_MAX_NUMBER_DIGITS = 400
_SAFE_DIGITS = 300  # a whole number of fewer is below the greatest double, which has 309
_DIGIT = re.compile(rb"[0-9]")
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % _SAFE_DIGITS)
_QUICK_BYTES = 64 * 1024  # reading what is larger twice costs more than it may save
# A string, closed or not: possessive, so that no text makes it look twice at the same byte.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_EVERYTHING_ELSE = bytes(set(range(256)) - set(b"[]{}"))
_SQUARE = bytes.maketrans(b"{}", b"[]")


class StrictJSONError(ValueError):
    """The text is not JSON that every reader understands alike. The message says why."""


def parse(raw: bytes) -> Any:
    """Read one JSON value.

    Raises:
        StrictJSONError: If the text is malformed or ambiguous, see the module's first lines.
    """
    deep = raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _nested_too_deeply(raw)
    # A run of so many digits has one at every so many bytes, wherever it begins.
    long = _DIGIT.search(raw[::_SAFE_DIGITS]) is not None and _LONG_NUMBER.search(raw) is not None
    if not deep and not long and len(raw) <= _QUICK_BYTES:
        try:
            value = _read(raw)
            written = _write(value)
            if written == raw or written == _without_blanks(raw, indent=-1):
                return value
        except _UNSURE:
            pass  # the slow way says what is wrong, if anything is
    return _read_slowly(raw, deep=deep)


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


def _read_slowly(raw: bytes, *, deep: bool) -> Any:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StrictJSONError("the text is not UTF-8") from error
    if text.startswith("\ufeff"):
        raise StrictJSONError("the text starts with a byte-order mark")
    if deep:
        raise StrictJSONError(f"the text is nested deeper than {MAX_DEPTH} levels")
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


def _nested_too_deeply(raw: bytes) -> bool:
    """Find deep nesting before anything recursive sees it.

    Strings are taken out and the innermost pairs removed, layer by layer; what is left after
    as many layers as we allow is too deep (or unbalanced, which the parser would refuse too).
    Every layer is one pass at the speed of `bytes.replace`. Counting the brackets can only
    overstate the depth, so this is for texts that have many.
    """
    brackets = _STRING.sub(b"", raw).translate(_SQUARE, _EVERYTHING_ELSE)
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    return bool(brackets)


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
