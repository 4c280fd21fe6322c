from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.audit import redacted_shape


@pytest.mark.requirement("L-18")
def test_a_shape_tells_names_types_and_sizes_and_no_values() -> None:
    arguments = {
        "title": "hunter2",
        "count": 7,
        "ratio": 0.5,
        "force": True,
        "labels": ["secret"],
        "body": {"secret": "hunter2"},
        "nothing": None,
    }

    assert redacted_shape(arguments) == {
        "title": "string(7)",
        "count": "number",
        "ratio": "number",
        "force": "boolean",
        "labels": "array(1)",
        "body": "object(1)",
        "nothing": "null",
    }


@given(
    st.dictionaries(
        st.text(),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    )
)
def test_a_shape_says_of_every_value_what_it_is(arguments: dict[str, object]) -> None:
    for name, value in arguments.items():
        said = redacted_shape({name: value})[name[:64]]
        match value:
            case None:
                assert said == "null"
            case bool():
                assert said == "boolean"
            case int() | float():
                assert said == "number"
            case str():
                assert said == f"string({len(value)})"
            case _:
                assert said == "bytes"


@pytest.mark.requirement("L-18")
def test_a_shape_is_bounded_whatever_the_caller_sends() -> None:
    shape = redacted_shape({f"{number}{'x' * 100_000}": number for number in range(1000)})

    assert shape["\u2026"] == "936 more"
    assert len(shape) == 65
    assert len(json.dumps(shape)) < 10_000
