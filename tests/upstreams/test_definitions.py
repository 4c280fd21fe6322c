"""What is pinned of a tool, and the arguments that are mirrored into headers."""

from __future__ import annotations

from typing import Any

import pytest

from safeconduct.upstreams.definitions import HeaderParam, header_params, pin

TOOL: dict[str, Any] = {
    "name": "sql",
    "title": "SQL",
    "description": "Run a query.",
    "inputSchema": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "required": ["region"],
    },
    "outputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
    "_meta": {"vendor": 1},
}


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _reversed(member) for name, member in reversed(value.items())}
    return value


@pytest.mark.requirement("SEC-50")
def test_the_order_of_members_does_not_change_the_pin() -> None:
    assert pin(_reversed(TOOL)) == pin(TOOL)


@pytest.mark.requirement("SEC-50")
@pytest.mark.parametrize("member", list(TOOL))
def test_changing_or_dropping_any_member_changes_the_pin(member: str) -> None:
    dropped = {name: value for name, value in TOOL.items() if name != member}
    pins = {pin(TOOL), pin({**TOOL, member: "other"}), pin(dropped)}

    assert len(pins) == 3


@pytest.mark.requirement("SEC-50")
def test_a_change_deep_in_a_schema_changes_the_pin() -> None:
    schema = {**TOOL["inputSchema"], "properties": {"region": {"type": "string"}}}

    assert pin({**TOOL, "inputSchema": schema}) != pin(TOOL)
    assert pin({**TOOL, "inputSchema": {**TOOL["inputSchema"], "required": []}}) != pin(TOOL)


def test_a_member_that_is_null_is_as_if_absent() -> None:
    """Servers spell an absent member either way from one era to the next."""
    assert pin({"name": "a", "title": None}) == pin({"name": "a"})
    assert pin({"name": "a", "icons": []}) == pin({"name": "a"})


def _schema(properties: dict[str, Any]) -> dict[str, Any]:
    return {"name": "t", "inputSchema": {"type": "object", "properties": properties}}


@pytest.mark.requirement("P-25", "GW-01")
def test_mirrored_arguments_are_found_along_chains_of_properties() -> None:
    inner = {"type": "object", "properties": {"id": {"type": "integer", "x-mcp-header": "Tenant"}}}
    definition = _schema(
        {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "tenant": inner,
            "list": {"type": "array", "items": {"type": "string", "x-mcp-header": "Item"}},
        }
    )

    assert header_params(definition) == (
        HeaderParam(name="Region", path=("region",), type="string"),
        HeaderParam(name="Tenant", path=("tenant", "id"), type="integer"),
    )


@pytest.mark.parametrize(
    "definition",
    [{}, {"inputSchema": None}, {"inputSchema": []}, _schema({"a": True}), _schema({})],
)
def test_a_tool_without_mirrored_arguments_has_none(definition: dict[str, Any]) -> None:
    assert header_params(definition) == ()


@pytest.mark.requirement("P-25")
@pytest.mark.parametrize(
    "properties",
    [
        {"a": {"type": "string", "x-mcp-header": ""}},
        {"a": {"type": "string", "x-mcp-header": "a b"}},
        {"a": {"type": "string", "x-mcp-header": "a\r\nb"}},
        {"a": {"type": "string", "x-mcp-header": "ü"}},
        {"a": {"type": "string", "x-mcp-header": 7}},
        {"a": {"type": "string", "x-mcp-header": "x" * 129}},
        {"a": {"type": "object", "x-mcp-header": "A"}},
        {"a": {"type": "number", "x-mcp-header": "A"}},
        {"a": {"type": ["string", "null"], "x-mcp-header": "A"}},
        {"a": {"x-mcp-header": "A"}},
        {
            "a": {"type": "string", "x-mcp-header": "Region"},
            "b": {"type": "string", "x-mcp-header": "REGION"},
        },
    ],
)
def test_a_mirrored_argument_that_cannot_be_a_header_is_refused(properties: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="argument"):
        header_params(_schema(properties))
