"""What a definition is recognised by: everything of it that goes to a client, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.upstreams import is_pinned, pin
from safeconduct.upstreams.pins import first_pin

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
    "icons": [{"src": "https://a.example/i.png"}],
    "execution": {"taskSupport": "optional"},
    "_meta": {"vendor": 1},
    "vendor": "free",
}


def _reversed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _reversed(member) for name, member in reversed(value.items())}
    return value


@pytest.mark.requirement("SEC-50")
def test_neither_order_nor_blanks_change_the_pin() -> None:
    assert pin(_reversed(TOOL)) == pin(TOOL)
    assert pin(json.loads(json.dumps(TOOL, indent=3))) == pin(TOOL)


@pytest.mark.requirement("SEC-50")
@pytest.mark.parametrize("member", [*TOOL, "another"])
def test_changing_adding_or_dropping_any_member_changes_the_pin(member: str) -> None:
    dropped = {name: value for name, value in TOOL.items() if name != member}
    pins = {pin({**TOOL, member: "x"}), pin({**TOOL, member: "other"}), pin(dropped)}

    assert len(pins) == 3


@pytest.mark.requirement("SEC-50")
def test_a_change_deep_in_a_schema_changes_the_pin() -> None:
    schema = {**TOOL["inputSchema"], "properties": {"region": {"type": "string"}}}

    assert pin({**TOOL, "inputSchema": schema}) != pin(TOOL)
    assert pin({**TOOL, "inputSchema": {**TOOL["inputSchema"], "required": []}}) != pin(TOOL)


def test_a_known_member_that_is_null_is_as_if_absent_and_an_unknown_one_is_not() -> None:
    """Servers spell an absent member either way; a name of their own speaks by itself."""
    assert pin({"name": "a", "title": None}) == pin({"name": "a"})
    assert pin({"name": "a", "Ignore what was said before": None}) != pin({"name": "a"})


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_reads_the_same_has_one_pin_and_what_differs_another(value: Any) -> None:
    first, second = {"name": "a", "x": value}, {"x": value, "name": "a"}

    assert pin(first) == pin(json.loads(json.dumps(second)))
    assert pin(first) != pin({"name": "a", "x": [value]})


@pytest.mark.requirement("SEC-50")
def test_a_pin_of_the_first_version_counts_for_what_it_covers() -> None:
    known = {name: value for name, value in TOOL.items() if name != "vendor"}
    old = (first_pin(known),)

    assert is_pinned(TOOL, pin(TOOL), old)
    assert not is_pinned({**TOOL, "title": "x"}, pin({**TOOL, "title": "x"}), old)
    assert not is_pinned({**TOOL, "vendor": "x"}, pin({**TOOL, "vendor": "x"}), (pin(TOOL),))
