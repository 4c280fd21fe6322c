"""What relations refuse: a schema that cannot be, a tuple it does not allow, a question too far."""

from __future__ import annotations

from difflib import get_close_matches

from safeconduct.core.errors import Code, GatewayError


class SchemaError(GatewayError):
    """A schema, or a tuple under it, that cannot be used; the message names the line."""

    code = Code.INVALID_PARAMS

    def __init__(self, public: str, *, line: int | None = None) -> None:
        super().__init__(public if line is None else f"schema line {line}: {public}")
        self.line = line


class QuestionRefused(GatewayError):
    """A question that names what the schema does not have. Callers treat it as a no."""

    code = Code.INVALID_PARAMS


class Unanswerable(GatewayError):
    """A question whose answer would take too deep or too long a walk. Callers treat it as a no."""

    code = Code.FORBIDDEN


class BackendUnavailable(GatewayError):
    """The cluster that keeps the tuples cannot be asked. Callers treat it as a no."""

    code = Code.UNAVAILABLE


def nearest(name: str, known: list[str]) -> str:
    """Say which known name was probably meant, as the end of a sentence."""
    found = get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""
