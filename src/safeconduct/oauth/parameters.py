"""Request parameters, read strictly: each name once, no control characters, bounded.

RFC 6749 section 3.1: a parameter without a value is treated as omitted, and parameters must
not be repeated. `resource` may repeat (RFC 8707 section 2). Pure.
"""

from __future__ import annotations

from safeconduct.core.forms import form_pairs
from safeconduct.core.model import Value

_REPEATABLE = "resource"
_MOST = 64
_LONGEST = 4096


class NotParameters(ValueError):
    """The text is not a list of form-encoded parameters within our bounds."""


class Parameters(Value, frozen=True):
    """What was sent.

    Attributes:
        values: Parameters that may be used.
        resources: Values of `resource`, in order.
        faults: Name of each parameter that must not be used, and why. Such a parameter is
            not among `values`.
    """

    values: dict[str, str]
    resources: tuple[str, ...]
    faults: dict[str, str]

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    def fault(self) -> str | None:
        """Return one sentence about what is wrong, or None."""
        return next(iter(self.faults.values()), None)


def read(raw: bytes) -> Parameters:
    """Read a query string or a form.

    Raises:
        NotParameters: If it is not UTF-8 or has too many parameters.
    """
    try:
        pairs = form_pairs(raw, most=_MOST)
    except ValueError as error:
        raise NotParameters("the parameters cannot be read") from error
    return _collected(pairs)


def _collected(pairs: list[tuple[str, str]]) -> Parameters:
    values: dict[str, str] = {}
    resources: list[str] = []
    faults: dict[str, str] = {}
    seen: set[str] = set()
    for name, value in pairs:
        if fault := _fault(name, value, seen):
            faults.setdefault(name, fault)
            values.pop(name, None)
        elif value and name == _REPEATABLE:
            resources.append(value)
        elif value and name not in faults:
            values[name] = value
        seen.add(name)
    return Parameters(values=values, resources=tuple(resources), faults=faults)


def _fault(name: str, value: str, seen: set[str]) -> str | None:
    shown = name if name.isascii() and name.isidentifier() and len(name) <= 64 else "a parameter"
    if name in seen and name != _REPEATABLE:
        return f"{shown} is repeated"
    if len(value) > _LONGEST:
        return f"{shown} is too long"
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in value):
        return f"{shown} holds a control character"
    return None
