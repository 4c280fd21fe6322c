"""Arguments as the trail may hold them: their names, types and sizes, never their values."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

MOST_NAMES = 64
_NAME_CHARACTERS = 64


def redacted_shape(arguments: Mapping[str, Any], *, most: int = MOST_NAMES) -> dict[str, str]:
    """Describe each argument by type and size, such as `{"title": "string(24)"}`.

    Names are chosen by the caller and may be many or long, so both are bounded; what was
    left out is counted under the name `…`.

    Args:
        arguments: As they came.
        most: So many are described.
    """
    shape = {}
    for name, value in islice(arguments.items(), most):
        kind = type(value)  # of what was JSON, exactly one of those below
        word = _SIZED.get(kind)
        shape[name[:_NAME_CHARACTERS]] = (
            f"{word}({len(value)})" if word else _PLAIN.get(kind) or kind.__name__
        )
    if len(arguments) > most:
        shape["…"] = f"{len(arguments) - most} more"
    return shape


_SIZED: dict[type, str] = {str: "string", dict: "object", list: "array"}
_PLAIN: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
}
