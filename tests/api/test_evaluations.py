"""Several questions at once: defaults, the three semantics, and what is refused as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.asking import AGENT, ALICE, Point, question, tool

pytestmark = pytest.mark.requirement("Z-38")

YES, NO = {"resource": tool()}, {"resource": tool("delete_issue")}
DEFAULTS: dict[str, Any] = {"subject": ALICE, "action": {"name": "tools/call"}, "context": AGENT}


def asked(*items: dict[str, Any], semantic: str | None = None, **more: Any) -> dict[str, Any]:
    options = {} if semantic is None else {"options": {"evaluations_semantic": semantic}}
    return DEFAULTS | {"evaluations": list(items)} | options | more


@pytest.mark.parametrize(
    ("semantic", "items", "answers"),
    [
        (None, [YES, NO, YES], [True, False, True]),
        ("execute_all", [NO, YES, NO], [False, True, False]),
        ("deny_on_first_deny", [YES, NO, YES], [True, False]),
        ("deny_on_first_deny", [YES, YES], [True, True]),
        ("deny_on_first_deny", [NO, NO], [False]),
        ("permit_on_first_permit", [NO, YES, NO], [False, True]),
        ("permit_on_first_permit", [NO, NO], [False, False]),
        ("permit_on_first_permit", [YES, YES], [True]),
    ],
)
async def test_a_batch_ends_where_its_semantic_says(
    point: Point, semantic: str | None, items: list[dict[str, Any]], answers: list[bool]
) -> None:
    """AuthZEN 1.0, evaluations semantics: the answers are in the order of the questions."""
    before = len(point.world.events())

    assert await point.batch(asked(*items, semantic=semantic)) == answers

    assert len(point.world.events()) - before == len(answers)  # nothing else was decided


async def test_a_member_of_an_item_replaces_the_default_as_a_whole(point: Point) -> None:
    """AuthZEN 1.0, default values: the item's context has no agent, and none is lent to it."""
    items = [
        YES,
        YES | {"action": {"name": "tools/delete"}},
        YES | {"subject": {"type": "user", "id": "bob@acme.test"}},
        YES | {"context": {"ip": "203.0.113.9"}},
        YES | {"context": {"agent": "agent"}},
    ]

    assert await point.batch(asked(*items)) == [True, False, False, False, True]


async def test_items_may_bring_everything_themselves(point: Point) -> None:
    assert await point.batch({"evaluations": [question(), question(action="x")]}) == [True, False]


async def test_without_items_it_is_a_single_question(point: Point) -> None:
    for body in (question(), question() | {"evaluations": []}):
        said = await point.said("evaluations", body)
        assert said["decision"] is True
        assert "evaluations" not in said


async def test_a_hundred_are_answered_and_one_more_is_refused(point: Point) -> None:
    assert await point.batch(asked(*[NO] * 100)) == [False] * 100
    assert (await point.post("evaluations", asked(*[NO] * 101))).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        asked(YES, {"action": {"name": "tools/call"}}),
        {"evaluations": [YES], "subject": ALICE},
        asked(YES, semantic="deny_on_first_permit"),
        asked(YES, options=[]),
        asked(YES, options={"evaluations_semantic": None}),
        asked(evaluations={}),
        asked(evaluations=[[]]),
        asked(evaluations=None),
    ],
    ids=["no-resource", "no-action", "semantic", "options", "null", "object", "list", "none"],
)
async def test_a_batch_that_is_wrong_anywhere_is_refused_as_a_whole(
    point: Point, body: dict[str, Any]
) -> None:
    """AuthZEN 1.0, JSON serialization: a required attribute that is missing is a bad request."""
    before = len(point.world.events())
    answer = await point.post("evaluations", body)

    assert answer.status_code == 400
    assert isinstance(answer.json(), str)
    assert len(point.world.events()) == before


async def test_what_nobody_knows_is_ignored(point: Point) -> None:
    body = asked(YES, extra=1) | {
        "options": {"another_option": "value"},
        "context": AGENT | {"x": []},
    }

    assert await point.batch(body) == [True]
