"""Arguments as the trail may hold them: their names, types and sizes, never their values."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from itertools import islice

_MOST_NAMES = 64
_NAME_CHARACTERS = 64


def redacted_shape(arguments: Mapping[str, object]) -> dict[str, str]:
    """Describe each argument by type and size, such as `{"title": "string(24)"}`.

    Names are chosen by the caller and may be many or long, so both are bounded; what was
    left out is counted under the name `…`.
    """
    shape = {
        name[:_NAME_CHARACTERS]: _describe(value)
        for name, value in islice(arguments.items(), _MOST_NAMES)
    }
    if len(arguments) > _MOST_NAMES:
        shape["…"] = f"{len(arguments) - _MOST_NAMES} more"
    return shape


def _describe(value: object) -> str:
    if value is None:
        return "null"
    for kind, word in _WORDS.items():
        if isinstance(value, kind):
            return f"{word}({len(value)})" if isinstance(value, Sized) else word
    return type(value).__name__


# In this order: a boolean is an int to Python.
_WORDS: dict[type, str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    dict: "object",
    list: "array",
}
