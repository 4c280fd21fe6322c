"""Regular expressions of JSON schemas, matched in time linear in the text.

Patterns come from servers, and an engine that goes back can be kept busy for hours by a few
characters. Here a pattern becomes an automaton that reads each character once; what it can be in
is remembered. What cannot be matched so (look-around, back-references, word boundaries), or is too
large, is refused when it is compiled, with the reason. The dialect is ECMA-262's, by code points.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import NamedTuple, TypeAlias, assert_never

_LONGEST = 1000
_MOST_STATES = 2000
_MOST_REPEATS = 1000
_DEEPEST = 40
_MOST_REMEMBERED = 5000
_MOST_WORK = 400_000  # states looked at for one text; tens of milliseconds
_LAST = 0x10FFFF
_ANY, _START, _END, _FORK, _FOUND = range(5)
_DIGITS = ((48, 57),)
_WORDS = ((48, 57), (65, 90), (95, 95), (97, 122))
_BLANKS = ((9, 13), (32, 32), (160, 160), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029))
_SPACES = (*_BLANKS, (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF))
_LINE_ENDS = ((10, 10), (13, 13), (0x2028, 0x2029))
_CLASSES = {"d": _DIGITS, "w": _WORDS, "s": _SPACES}
_CONTROLS = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_SYNTAX = frozenset("^$\\.*+?()[]{}|/-")
_HARMLESS = frozenset(" !\"#%&',:;<=>@_`~")  # escaped by libraries that escape too much
_REPEATS: dict[str, tuple[int, int | None]] = {
    "*": (0, None),
    "+": (1, None),
    "?": (0, 1),
    "{": (1, 1),
}
Ranges = tuple[tuple[int, int], ...]


class Unsupported(ValueError):
    """A pattern that is not matched here; the message says why."""


class _Signs(NamedTuple):
    """A set of characters: ranges of code points and Unicode categories, or all others."""

    ranges: Ranges
    categories: tuple[str, ...] = ()
    others: bool = False

    def has(self, sign: str) -> bool:
        code = ord(sign)
        inside = any(low <= code <= high for low, high in self.ranges) or (
            bool(self.categories) and unicodedata.category(sign).startswith(self.categories)
        )
        return inside != self.others


class _State(NamedTuple):
    """One state of the automaton: what it takes, and where that leads."""

    kind: int
    signs: _Signs | None
    after: tuple[int, ...]


class _Anchor(NamedTuple):
    """The beginning or the end of a text, by the kind of state it is."""

    kind: int


class _Row(NamedTuple):
    """Pieces one after the other."""

    pieces: list[_Piece]


class _Either(NamedTuple):
    """One of several pieces."""

    pieces: list[_Piece]


class _Times(NamedTuple):
    """A piece several times; `most` is None for any number."""

    inner: _Piece
    least: int
    most: int | None


_Piece: TypeAlias = "_Signs | _Anchor | _Row | _Either | _Times"


class LinearPattern:
    """One pattern. It is looked for anywhere in a text, as JSON Schema has it."""

    def __init__(self, pattern: str) -> None:
        """Compile it.

        Raises:
            Unsupported: If it cannot be matched in linear time, or not here.
        """
        piece = _Parser(pattern).whole()
        self._states: list[_State] = []
        self._first = self._build(piece, self._add(_State(_FOUND, None, ())))
        self._began = self._closed({self._first}, start=True)
        self._again = self._closed({self._first})
        self._steps: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def found_in(self, text: str) -> bool | None:
        """Say whether a text has it; None if that takes more work than is given to one text."""
        now, work = self._began, 0
        for sign in text:
            if 0 in now:
                return True
            after = self._steps.get((now, sign))
            if after is None:
                work += len(now) + 1
                if work > _MOST_WORK:
                    return None
                after = self._step(now, sign)
            now = after
        return 0 in now or 0 in self._closed(now, start=not text, end=True)

    def _step(self, now: frozenset[int], sign: str) -> frozenset[int]:
        reached: set[int] = set()
        for each in now:
            state = self._states[each]
            if state.signs is not None and state.signs.has(sign):
                reached.update(state.after)
        after = self._closed(reached) | self._again
        if len(self._steps) >= _MOST_REMEMBERED:
            self._steps.clear()
        self._steps[now, sign] = after
        return after

    def _closed(
        self, states: set[int] | frozenset[int], *, start: bool = False, end: bool = False
    ) -> frozenset[int]:
        """Return the states with all that they lead to without a character."""
        found: set[int] = set()
        waiting = list(states)
        while waiting:
            each = waiting.pop()
            if each in found:
                continue
            found.add(each)
            kind = self._states[each].kind
            if kind == _FORK or (kind == _START and start) or (kind == _END and end):
                waiting += self._states[each].after
        return frozenset(found)

    def _add(self, state: _State) -> int:
        if len(self._states) >= _MOST_STATES:
            raise Unsupported("it is too large")
        self._states.append(state)
        return len(self._states) - 1

    def _build(self, piece: _Piece, after: int) -> int:
        """Add what a piece takes; returns the state to begin it in."""
        match piece:
            case _Signs():
                return self._add(_State(_ANY, piece, (after,)))
            case _Anchor():
                return self._add(_State(piece.kind, None, (after,)))
            case _Row():
                for each in reversed(piece.pieces):
                    after = self._build(each, after)
                return after
            case _Either():
                starts = tuple(self._build(each, after) for each in piece.pieces)
                return self._add(_State(_FORK, None, starts))
            case _Times():
                return self._repeat(piece, after)
            case _:
                assert_never(piece)

    def _repeat(self, piece: _Times, after: int) -> int:
        if piece.most is None:
            loop = self._add(_State(_FORK, None, ()))
            again = self._build(piece.inner, loop)
            self._states[loop] = _State(_FORK, None, (again, after))
            after = loop
        else:
            last = after
            for _ in range(piece.most - piece.least):
                after = self._add(_State(_FORK, None, (self._build(piece.inner, after), last)))
        for _ in range(piece.least):
            after = self._build(piece.inner, after)
        return after


class _Parser:
    """Reads one pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > _LONGEST:
            raise Unsupported("it is too long")
        self._text = pattern
        self._at = 0
        self._depth = 0

    def whole(self) -> _Piece:
        piece = self._either()
        if self._at < len(self._text):
            raise Unsupported("a bracket is not opened")
        return piece

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        sign = self._peek()
        if not sign:
            raise Unsupported("it ends too soon")
        self._at += 1
        return sign

    def _skip(self, text: str) -> bool:
        there = self._text.startswith(text, self._at)
        self._at += len(text) * there
        return there

    def _either(self) -> _Piece:
        rows = [self._row()]
        while self._skip("|"):
            rows.append(self._row())
        return rows[0] if len(rows) == 1 else _Either(rows)

    def _row(self) -> _Piece:
        pieces: list[_Piece] = []
        while self._peek() not in {"", "|", ")"}:
            pieces.append(self._repeated(self._one()))
        return _Row(pieces)

    def _one(self) -> _Piece:
        sign = self._take()
        if sign in _REPEATS:
            raise Unsupported("a repetition repeats nothing")
        made: dict[str, Callable[[], _Piece]] = {
            "(": self._group,
            "[": self._set,
            ".": lambda: _Signs(_LINE_ENDS, others=True),
            "^": lambda: _Anchor(_START),
            "$": lambda: _Anchor(_END),
            "\\": self._escape,
        }
        return made.get(sign, lambda: _just(ord(sign)))()

    def _group(self) -> _Piece:
        if self._skip("?"):
            named = self._peek() == "<" and self._text[self._at + 1 : self._at + 2] not in {
                "=",
                "!",
            }
            if named:
                while self._take() != ">":
                    pass
            elif not self._skip(":"):
                raise Unsupported("it looks around, or sets flags")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Unsupported("its brackets are too deep")
        piece = self._either()
        self._depth -= 1
        if not self._skip(")"):
            raise Unsupported("a bracket is not closed")
        return piece

    def _repeated(self, piece: _Piece) -> _Piece:
        least, most = self._times()
        if (least, most) == (1, 1):
            return piece
        self._skip("?")  # whether it prefers less: of no consequence for whether it is found
        if self._peek() in {"*", "+", "?"}:
            raise Unsupported("a repetition is repeated")
        if isinstance(piece, _Anchor):
            raise Unsupported("an anchor is repeated")
        return _Times(piece, least, most)

    def _times(self) -> tuple[int, int | None]:
        for sign, times in _REPEATS.items():
            if sign != "{" and self._skip(sign):
                return times
        if not self._skip("{"):
            return 1, 1
        end = self._text.find("}", self._at)
        least, comma, most = self._text[self._at : end].partition(",")
        if end < 0 or not _is_count(least) or (most and not _is_count(most)):
            raise Unsupported("a repetition is not a number")
        self._at = end + 1
        bound = int(most) if most else None if comma else int(least)
        if bound is not None and bound < int(least):
            raise Unsupported("a repetition ends before it begins")
        return int(least), bound

    def _set(self) -> _Signs:
        others = self._skip("^")
        ranges: list[tuple[int, int]] = []
        categories: list[str] = []
        while not self._skip("]"):
            signs = self._member()
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in {"]", ""}:
                self._at += 1
                signs = _Signs(((_single(signs), _single(self._member())),))
                if signs.ranges[0][0] > signs.ranges[0][1]:
                    raise Unsupported("a range ends before it begins")
            if signs.others:
                if signs.categories:
                    raise Unsupported("a set leaves out a category")
                signs = _Signs(_rest_of(signs.ranges))
            ranges += signs.ranges
            categories += signs.categories
        return _Signs(tuple(ranges), tuple(categories), others)

    def _member(self) -> _Signs:
        sign = self._take()
        if sign != "\\":
            return _just(ord(sign))
        if self._skip("b"):
            return _just(8)
        return self._escape()

    def _escape(self) -> _Signs:
        sign = self._take()
        if sign.lower() in _CLASSES:
            return _Signs(_CLASSES[sign.lower()], others=sign.isupper())
        if sign in _CONTROLS and not (sign == "0" and self._peek().isdigit()):
            return _just(_CONTROLS[sign])
        if sign in {"p", "P"}:
            return _Signs((), (self._category(),), others=sign == "P")
        if sign in {"x", "u"}:
            return _just(self._code(2 if sign == "x" else 4))
        if sign == "c" and self._peek().isascii() and self._peek().isalpha():
            return _just(ord(self._take()) % 32)
        if sign in _SYNTAX or sign in _HARMLESS:
            return _just(ord(sign))
        raise Unsupported("it looks back, or at borders of words")

    def _code(self, digits: int) -> int:
        text = self._text[self._at : self._at + digits]
        if digits == 4 and self._skip("{"):
            end = self._text.find("}", self._at)
            text, self._at = self._text[self._at : end], end + 1
        else:
            self._at += digits
            text = text if len(text) == digits else ""
        try:
            code = int(text, 16)
        except ValueError:
            code = -1
        if not 0 <= code <= _LAST or 0xD800 <= code <= 0xDFFF or not text.isalnum():
            raise Unsupported("a code names no character")
        return code

    def _category(self) -> str:
        end = self._text.find("}", self._at)
        name = self._text[self._at + 1 : end]
        if not self._skip("{") or name not in _CATEGORIES:
            raise Unsupported("it names a property of characters that is not known here")
        self._at = end + 1
        return _CATEGORIES[name]


_CATEGORIES = {
    **{
        name: name
        for name in [
            "L",
            "Lu",
            "Ll",
            "Lt",
            "Lm",
            "Lo",
            "M",
            "Mn",
            "Mc",
            "N",
            "Nd",
            "Nl",
            "No",
            "P",
            "Pd",
            "S",
            "Sc",
            "Sm",
            "So",
            "Z",
            "Zs",
            "C",
            "Cc",
        ]
    },
    "Letter": "L",
    "Lowercase_Letter": "Ll",
    "Mark": "M",
    "Number": "N",
    "Punctuation": "P",
    "Separator": "Z",
    "Symbol": "S",
    "Uppercase_Letter": "Lu",
}


def _just(code: int) -> _Signs:
    return _Signs(((code, code),))


def _single(signs: _Signs) -> int:
    if signs.categories or signs.others or signs.ranges[0][0] != signs.ranges[-1][1]:
        raise Unsupported("a range has a class for an end")
    return signs.ranges[0][0]


def _rest_of(ranges: Ranges) -> Ranges:
    rest, after = [], 0
    for low, high in sorted(ranges):
        rest.append((after, low - 1))
        after = high + 1
    return (*rest, (after, _LAST))


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= _MOST_REPEATS
