"""Every kind of obligation there is: on one side of the call, and discharged there."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from safeconduct.core.binding import Question
from safeconduct.core.decision import (
    Decision,
    Filter,
    Incoming,
    Mask,
    MaxItems,
    Notify,
    Obligation,
    Outgoing,
    Redact,
    RequireApproval,
    RequireConsent,
    Role,
    Throttle,
    Ttl,
    Word,
)
from safeconduct.core.model import Level
from safeconduct.proxy.obligations import ROLES, outgoing
from safeconduct.proxy.reshaping import reshaped

ONE_OF_EACH: tuple[Obligation, ...] = (
    RequireApproval(),
    RequireConsent(within_seconds=1),
    Throttle(count=1, seconds=1),
    Notify(about="this"),
    Ttl(seconds=1),
    Redact(pointers=("/email",)),
    Mask(pointers=("/email",)),
    Filter(items="/rows", object="ticket:{id}", permission="view"),
    MaxItems(items="/rows", count=1),
)
DATA = {"email": "alice@acme.test", "rows": [{"id": "T-1"}, {"id": "T-2"}]}
MAY_VIEW = {Question("ticket:T-1", "view", "person"): True}


def obliging(*obligations: Obligation) -> Decision:
    return Decision(
        id="d", allow=True, reason="allowed", message="", bundle="b", obligations=obligations
    )


def test_these_are_all_kinds_there_are() -> None:
    assert {type(each) for each in ONE_OF_EACH} == set(get_args(Obligation))
    assert set(get_args(Incoming)) | set(get_args(Outgoing)) == set(get_args(Obligation))
    assert not set(get_args(Incoming)) & set(get_args(Outgoing))


@pytest.mark.parametrize("each", ONE_OF_EACH, ids=lambda each: type(each).__name__)
def test_a_kind_that_is_for_results_changes_them_and_no_other_is_taken_for_one(
    each: Obligation,
) -> None:
    due = outgoing(obliging(each))

    assert (due == (each,)) is (type(each) in get_args(Outgoing))
    data: Any = reshaped(msgspec.json.decode(msgspec.json.encode(DATA)), due, MAY_VIEW)
    assert (data != DATA) is bool(due)


def test_the_words_of_decisions_are_those_of_levels_and_of_roles() -> None:
    assert get_args(Word) == tuple(level.word for level in sorted(Level))
    assert get_args(Role) == ROLES
