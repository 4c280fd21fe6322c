"""The arguments of a tool that are mirrored into headers."""

from __future__ import annotations

from typing import Any

import pytest

from safeconduct.upstreams.definitions import HeaderParam, header_params


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
