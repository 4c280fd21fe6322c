"""What the shorter way lets pass, the whole schema lets pass too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.flat_schema import Scalars
from safeconduct.core.json_schema import Validator
from safeconduct.core.schema_faults import Run
from safeconduct.core.schema_shape import Shape

_NAMES = st.sampled_from(["a", "A", "b", "c", "\uff41"])
_MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "x", 1])
        | st.lists(st.sampled_from(["null", "string"]), max_size=2),
        "description": st.just("d"),
        "maxLength": st.just(1),
        "enum": st.just(["x", 1]),
    },
)
_SCHEMAS = st.fixed_dictionaries(
    {"type": st.sampled_from(["object", "array", ["object"]])},
    optional={
        "properties": st.dictionaries(_NAMES, _MEMBERS, max_size=4) | st.none(),
        "required": st.lists(_NAMES, max_size=2) | st.just("a"),
        "additionalProperties": st.booleans(),
        "minProperties": st.just(2),
    },
)
_VALUES = st.dictionaries(
    _NAMES,
    st.none() | st.booleans() | st.integers() | st.just(1.0) | st.text(max_size=2) | st.just([]),
    max_size=3,
)


@given(_SCHEMAS, _VALUES)
def test_whatever_holds_here_holds_by_the_schema(
    schema: dict[str, Any], value: dict[str, Any]
) -> None:
    scalars = Scalars.of(schema)
    if scalars is None or scalars.may_be_taken_for(()) or not scalars.hold(value):
        return

    assert Validator(schema).fault(value) is None
    assert Shape.of(schema).twin(value, Run()) is None


SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "count": {"type": "integer", "description": "d"}},
    "required": ["id"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        ({"id": "T-7"}, True),
        ({"id": "T-7", "count": 2}, True),
        ({}, False),
        ({"count": 2}, False),
        ({"id": 7}, False),
        ({"id": None}, False),
        ({"id": "T-7", "count": True}, False),
        ({"id": "T-7", "count": 2.0}, False),
        ({"id": "T-7", "Id": "T-8"}, False),
        ({"id": "T-7", "more": 1}, False),
        ({"id": {}}, False),
    ],
)
def test_a_value_holds_only_where_nothing_has_to_be_asked(
    value: dict[str, Any], holds: bool
) -> None:
    scalars = Scalars.of(SCHEMA)

    assert scalars is not None
    assert scalars.hold(value) is holds


@pytest.mark.parametrize(
    ("known", "taken"),
    [((), False), (("id", "other"), False), (("ID",), True), (("\uff49d",), True)],
)
def test_names_that_differ_by_case_or_width_are_left_to_the_whole_schema(
    known: tuple[str, ...], taken: bool
) -> None:
    scalars = Scalars.of(SCHEMA)

    assert scalars is not None
    assert scalars.may_be_taken_for(known) is taken
