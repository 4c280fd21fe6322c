"""Names that clients give themselves, made safe to show: one line, bounded, nothing unseen.

Unicode categories Cc, Cf, Cs, Co, Cn, Zl and Zp go: controls, marks that turn the direction
of writing, half surrogates, private use, unassigned, line and paragraph separators. Pure.
"""

from __future__ import annotations

import unicodedata

LONGEST = 100
_UNNAMED = "Unnamed client"


def shown(name: str) -> str:
    """Return a name as it may stand on a page or in a record."""
    head = unicodedata.normalize("NFC", name[: LONGEST * 4])
    visible = "".join(" " if character.isspace() else character for character in head)
    kept = "".join(
        character
        for character in visible
        if unicodedata.category(character)[0] != "C" and character not in "\u2028\u2029"
    )
    return " ".join(kept.split())[:LONGEST].rstrip() or _UNNAMED
