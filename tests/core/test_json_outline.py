"""The outline of a JSON text: told from its bytes, and the same as a reader would tell it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.json_outline import (
    count_controls,
    count_values,
    depth_of,
    has_unusual_number,
    outline_of,
)

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a\\"[]{},:é\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='a\\":[{'), inner),
    max_leaves=30,
)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _count(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    return 1 + sum(map(_count, value)) if isinstance(value, list) else 1


def _members(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_members, value.values()))
    return sum(map(_members, value)) if isinstance(value, list) else 0


@given(_VALUES, st.sampled_from([None, 1]))
def test_the_outline_tells_depth_members_and_at_least_the_values(
    value: object, indent: int | None
) -> None:
    outline = outline_of(json.dumps(value, indent=indent).encode())

    assert depth_of(outline) == _depth(value)
    assert outline.count(b":") == _members(value)
    assert _count(value) <= count_values(outline) <= 2 * _count(value)


@given(st.text(alphabet="[]{}", max_size=60))
def test_depth_is_the_most_brackets_open_at_once(brackets: str) -> None:
    opened = deepest = 0
    for each in brackets:
        opened += 1 if each in "[{" else -1
        deepest = max(deepest, opened)

    assert depth_of(brackets.encode()) == deepest


def test_a_control_character_in_a_string_is_told_from_a_blank() -> None:
    blank, text = b'{"a":\n1}', b'{"a\n":1}'

    assert count_controls(blank) == count_controls(outline_of(blank)) == 1
    assert (count_controls(text), count_controls(outline_of(text))) == (1, 0)


@given(st.integers(-(10**18) + 1, 10**18 - 1) | st.sampled_from([True, False, None, 1.5, "1e5"]))
def test_ordinary_numbers_are_no_unusual_ones(value: object) -> None:
    assert not has_unusual_number(outline_of(json.dumps([value]).encode()))


@given(st.sampled_from(["1e5", "1E5", "0.5e-7", "-1E+400", "1" * 19, "0." + "3" * 19]))
def test_exponents_and_many_digits_are_unusual(number: str) -> None:
    assert has_unusual_number(f"[{number}]".encode())
