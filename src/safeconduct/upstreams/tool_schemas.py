"""The schemas a tool was reviewed with: for its arguments and results, as each era spells them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from safeconduct.core.json_schema import Validator
from safeconduct.core.model import Value


class ToolSchemas(Value, frozen=True):
    """One spelling.

    Attributes:
        input: The schema of the arguments.
        output: That of structured results, or None where there is none.
    """

    input: Any = None
    output: Any = None

    @classmethod
    def of(cls, definition: dict[str, Any]) -> ToolSchemas:
        """Take them from a definition."""
        return cls(input=definition.get("inputSchema"), output=definition.get("outputSchema"))


def unchecked(definitions: Iterable[dict[str, Any]]) -> list[str]:
    """Return what of tools' schemas is not checked: each with the tool, the place and why."""
    found: dict[str, None] = {}
    for definition in definitions:
        schemas = ToolSchemas.of(definition)
        for schema in (schemas.input, schemas.output):
            for each in () if schema is None else Validator(schema).unchecked:
                found[f"{definition.get('name')} {each}"] = None
    return list(found)


def spoken_in(eras: Sequence[str], pins: Sequence[str]) -> dict[str, str] | None:
    """Return which era spells a tool under which pin; None where all spell it alike.

    Args:
        eras: Those in which it was read.
        pins: What it was recognised by in each, in the same order.
    """
    return dict(zip(eras, pins, strict=True)) if len(set(pins)) > 1 else None


def schemas_by_era(
    definitions: Sequence[dict[str, Any]], pins: Sequence[str], spoken: dict[str, str] | None
) -> dict[str, ToolSchemas]:
    """Return the reviewed schemas for each era; under "" those of an era that is not named.

    Args:
        definitions: The spellings that were reviewed.
        pins: What each is recognised by, in the same order.
        spoken: See `spoken_in`.
    """
    made = {made: ToolSchemas.of(each) for made, each in zip(pins, definitions, strict=False)}
    first = ToolSchemas.of(definitions[0])
    named = {era: made[each] for era, each in (spoken or {}).items() if each in made}
    return {"": first, **named}
