"""What a definition is recognised by: a hash over every member of it that goes to a client.

The hash is over canonical JSON, never over bytes: servers spell the same tool differently from
one revision to the next, and neither order nor blanks are a change. A pin says which version of
this rule it was made by. Pins of version 1, which knew a list of members, bear no mark; what
still matches one is pinned anew (`observing`), and until then it counts for what it covers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from safeconduct.core.canonical import fingerprint

_MARK = "2:"
_FIRST_MEMBERS = frozenset(
    {"name", "title", "description", "inputSchema", "outputSchema", "annotations", "_meta"}
)
# Members of MCP's own that say the same as null and left out. Others may speak by their names.
_OPTIONAL = frozenset(
    {*_FIRST_MEMBERS, "icons", "execution", "arguments", "mimeType", "uriTemplate", "size"}
)
_canonical = msgspec.json.Encoder(order="sorted").encode


def pin(definition: dict[str, Any]) -> str:
    """Return the hash by which a definition is recognised."""
    members = definition
    if None in definition.values():
        members = {
            name: value
            for name, value in definition.items()
            if value is not None or name not in _OPTIONAL
        }
    return _MARK + hashlib.sha256(_canonical(members)).hexdigest()


def first_pin(definition: dict[str, Any]) -> str:
    """Return the hash that version 1 knew a tool by."""
    return fingerprint(
        {name: definition[name] for name in _FIRST_MEMBERS if definition.get(name) is not None}
    )


def is_first(pinned: str) -> bool:
    """Say whether a pin is of version 1."""
    return not pinned.startswith(_MARK)


def is_pinned(definition: dict[str, Any], made: str, pins: Iterable[str]) -> bool:
    """Say whether a definition is one of those that were reviewed.

    Args:
        definition: What is there.
        made: Its pin.
        pins: Those of what was reviewed.
    """
    if made in pins:
        return True
    first = [each for each in pins if is_first(each)]
    return bool(first) and first_pin(definition) in first


def digest_of(pins: Iterable[str]) -> str:
    """Return what names one or several spellings together, for whoever accepts them."""
    return hashlib.sha256("\n".join(sorted(pins)).encode()).hexdigest()
