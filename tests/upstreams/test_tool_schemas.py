"""Which schema counts for which era, and what of it is not checked."""

from __future__ import annotations

from typing import Any

import pytest

from safeconduct.upstreams import ToolSchemas, unchecked
from safeconduct.upstreams.tool_schemas import schemas_by_era, spoken_in

pytestmark = pytest.mark.requirement("SEC-56")
TEXT: dict[str, Any] = {"name": "t", "inputSchema": {"properties": {"id": {"type": "string"}}}}
NUMBER: dict[str, Any] = {"name": "t", "inputSchema": {"properties": {"id": {"type": "number"}}}}


def test_an_era_has_the_schema_that_it_spells() -> None:
    spoken = spoken_in(("modern", "legacy"), ("a", "b"))

    found = schemas_by_era([TEXT, NUMBER], ["a", "b"], spoken)

    assert found["modern"] == found[""] == ToolSchemas.of(TEXT)
    assert found["legacy"] == ToolSchemas.of(NUMBER)
    assert spoken_in(("modern", "legacy"), ("a", "a")) is None
    assert schemas_by_era([TEXT], ["a"], {"legacy": "gone"}) == {"": ToolSchemas.of(TEXT)}


def test_what_is_not_checked_is_named_with_its_tool() -> None:
    looking: dict[str, Any] = {"properties": {"id": {"pattern": "^(?!x)"}}}

    assert unchecked([TEXT, TEXT | {"outputSchema": looking}]) == [
        "t #/properties/id/pattern: it looks around, or sets flags"
    ]
