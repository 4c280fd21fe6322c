"""Data as obligations leave it: what a pointer reaches, and what it must not miss."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.binding import Question
from safeconduct.core.decision import Filter, Mask, MaxItems, Redact
from safeconduct.proxy.reshaping import STARS, Unfit, questions, reshaped

pytestmark = pytest.mark.requirement("Z-34", "Z-35")
ISSUE = {"id": "T-7", "owner": {"email": "alice@acme.test", "card": "4111111111111111"}, "n": [1]}


def after(data: Any, *obligations: Any, answers: dict[Question, bool] | None = None) -> Any:
    return reshaped(copy.deepcopy(data), obligations, answers or {})


def test_a_redacted_member_is_gone_and_its_neighbour_stays() -> None:
    assert after(ISSUE, Redact(pointers=("/owner/email",))) == {
        "id": "T-7",
        "owner": {"card": "4111111111111111"},
        "n": [1],
    }


@pytest.mark.parametrize(
    ("pointer", "left"),
    [
        ("/a", [1, {"a": 1}]),
        ("/1/a", [1, {}]),
        ("/1/*", [1, {}]),
        ("/*/a", [1, {}]),
        ("/**/a", [1, {}]),
        ("/0", [None, {"a": 1}]),
        ("/*", [None, None]),
        ("/2", [1, {"a": 1}]),
        ("/-1", [1, {"a": 1}]),
        ("/01", [1, None]),
    ],
)
def test_what_a_pointer_reaches(pointer: str, left: Any) -> None:
    assert after([1, {"a": 1}], Redact(pointers=(pointer,))) == left


def test_names_with_slashes_and_tildes_are_escaped() -> None:
    """RFC 6901 section 3."""
    data = {"a/b": 1, "c~d": 2, "~1": 3, "e": 4}

    assert after(data, Redact(pointers=("/a~1b", "/c~0d", "/~01"))) == {"e": 4}


@pytest.mark.parametrize(
    ("value", "keep", "masked"),
    [
        ("4111111111111111", 4, f"{STARS}1111"),
        ("4111111111111111", 0, STARS),
        ("12345678", 4, f"{STARS}5678"),
        ("1234567", 4, STARS),
        (4111, 4, STARS),
        ({"a": 1}, 4, STARS),
        ("", 0, STARS),
        (None, 4, None),
    ],
)
def test_a_mask_shows_the_last_characters_of_a_long_text_only(
    value: Any, keep: int, masked: Any
) -> None:
    assert after({"x": value}, Mask(pointers=("/x",), keep_last=keep)) == {"x": masked}


FILTER = Filter(items="/issues", object="ticket:{id}", permission="view")


def test_a_filter_keeps_what_was_answered_with_yes() -> None:
    data = {"issues": [{"id": "T-1"}, {"id": "T-2"}, {"id": None}, {"name": "x"}, "T-1"]}
    asked = questions(data, (FILTER,))
    assert asked == [Question(f"ticket:T-{n}", "view", "person") for n in (1, 2)]

    assert after(data, FILTER, answers={asked[0]: True, asked[1]: False}) == {
        "issues": [{"id": "T-1"}]
    }
    assert after(data, FILTER) == {"issues": []}


def test_items_that_are_plain_texts_are_filtered_by_their_value() -> None:
    by_value = Filter(items="", object="ticket:{value}", permission="view")
    (one, _) = questions(["T-1", "T-2"], (by_value,))

    assert after(["T-1", "T-2"], by_value, answers={one: True}) == ["T-1"]


def test_a_list_is_cut_after_it_was_filtered() -> None:
    data = {"issues": [{"id": "T-1"}, {"id": "T-2"}, {"id": "T-3"}]}
    answers = {Question(f"ticket:T-{n}", "view", "person"): True for n in (2, 3)}
    one = MaxItems(items="/issues", count=1)

    assert after(data, one, FILTER, answers=answers) == {"issues": [{"id": "T-2"}]}
    assert after(data, MaxItems(items="/issues", count=0)) == {"issues": []}
    assert after(data, MaxItems(items="/issues", count=3)) == data


@pytest.mark.parametrize("data", [{}, {"issues": {}}, {"result": {"issues": []}}, [], "x", None])
@pytest.mark.parametrize("obligation", [FILTER, MaxItems(items="/issues", count=1)])
def test_a_list_that_is_not_there_makes_the_data_unfit(data: Any, obligation: Any) -> None:
    with pytest.raises(Unfit):
        after(data, obligation)


def test_a_list_that_could_be_several_makes_the_data_unfit() -> None:
    with pytest.raises(Unfit):
        after({"a": [1], "b": [2]}, MaxItems(items="/*", count=0))


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=20,
)


def _holds(data: Any, name: str) -> bool:
    if isinstance(data, dict):
        return name in data or any(_holds(each, name) for each in data.values())
    return isinstance(data, list) and any(_holds(each, name) for each in data)


@given(JSON)
def test_a_member_redacted_at_any_depth_is_nowhere(data: Any) -> None:
    assert not _holds(after(data, Redact(pointers=("/**/a",))), "a")


@given(JSON)
def test_without_obligations_data_stays_as_it_is(data: Any) -> None:
    assert after(data) == data
