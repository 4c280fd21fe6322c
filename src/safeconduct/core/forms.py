"""The form encoding (`application/x-www-form-urlencoded`), read in one place: bodies, queries.

Strict where readers differ: a percent sign begins an encoded byte or it is an error, what is
encoded is UTF-8, and nothing is replaced by something else. Who may send what, and how often,
is the business of each address.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote_plus

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


def form_pairs(raw: bytes, *, most: int) -> list[tuple[str, str]]:
    """Return names and values in order, those without a value too.

    Args:
        raw: A body, or the query of an address without its question mark.
        most: Pairs that may be there.

    Raises:
        ValueError: If it cannot be read, or there are more.
    """
    text = raw.decode("utf-8")
    _check(text)
    return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=most)


def form_decoded(text: str) -> str:
    """Return what one form-encoded value says.

    Raises:
        ValueError: If it is not form-encoded.
    """
    _check(text)
    return unquote_plus(text, errors="strict")


def _check(text: str) -> None:
    if _BROKEN.search(text):
        raise ValueError("a percent sign encodes nothing")
