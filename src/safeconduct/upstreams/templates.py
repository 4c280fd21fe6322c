"""Which URIs a resource template may stand for, in the widest reading of it.

The server expands and matches its templates as it likes (RFC 6570 leaves matching open), so an
expression may be anything, a slash and nothing included. Whoever asks wants to miss none, nor a
spelling that a server may take for another: by case, width, or escapes of what needs none.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from urllib.parse import unquote

_EXPRESSION = re.compile(r"\{[^{}]*\}")
_MOST_ROUNDS = 8


def fits(template: str, uri: str) -> bool:
    """Say whether a URI may be of a template; takes time that grows with their lengths alone."""
    first, *rest = _literals(template)
    if not rest:
        return _folded(uri) == first
    uri = _folded(uri)
    *middle, last = rest
    if not uri.startswith(first) or not uri.endswith(last) or len(uri) < len(first) + len(last):
        return False
    place, end = len(first), len(uri) - len(last)
    for literal in middle:
        found = uri.find(literal, place, end)
        if found < 0:
            return False
        place = found + len(literal)
    return True


@functools.lru_cache(maxsize=1024)
def _literals(template: str) -> tuple[str, ...]:
    """Return what stands between the expressions of a template."""
    return tuple(_EXPRESSION.split(_folded(template)))


def _folded(text: str) -> str:
    """Return a text without what readers of names may overlook."""
    for _ in range(_MOST_ROUNDS):  # what an escape stands for may be half of another
        plain = unquote(text, errors="surrogateescape") if "%" in text else text
        plain = unicodedata.normalize("NFKC", plain).casefold()
        if plain == text:
            break
        text = plain
    return text
