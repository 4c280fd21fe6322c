"""Text from outside as it may be shown: nothing in it steers a terminal, or hides.

What is not seen are Unicode's categories C (controls, marks of direction, surrogates, private use,
unassigned) and the separators of lines and paragraphs.
"""

from __future__ import annotations

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT = 0xFFFF


def printable(text: str) -> str:
    """Replace what is not seen or steers the terminal."""
    if text.isprintable():
        return text
    return "".join("\ufffd" if _is_unseen(character) else character for character in text)


def spelled(text: str) -> str:
    r"""Spell what is not seen as an escape such as `\u001b`, so that it can be told what it was."""
    if text.isprintable():
        return text
    return "".join(_escape(each) if _is_unseen(each) else each for each in text)


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\u{number:04x}" if number <= _SHORT else f"\\U{number:08x}"
