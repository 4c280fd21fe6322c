"""What one person, and one tenant, may have of a server, and that the others keep theirs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from safeconduct.core.errors import Code
from safeconduct.proxy.refusals import Busy, answer
from safeconduct.proxy.shares import Share, ShareLimits, Shares

KINDS = {
    "call": ("request", "POST"),
    "stream": ("notification", "GET"),
    "note": ("response", "POST"),
}


def call(
    kind: str = "call",
    *,
    person: str = "alice",
    host: str = "acme",
    url: str = "https://up.test/mcp",
    method: str = "tools/call",
) -> Any:
    """Return as much of a call as is looked at."""
    form, verb = KINDS[kind]
    return SimpleNamespace(
        message=SimpleNamespace(form=form, method=method),
        exchange=SimpleNamespace(verb=verb),
        caller=SimpleNamespace(host=host, subject=person),
        server=SimpleNamespace(url=url, name="Tickets"),
    )


def shares(*, host: int = 3, person: int = 2) -> Shares:
    each = Share(host=host, person=person)
    return Shares(ShareLimits(call=each, stream=each, note=each))


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_has_a_share_and_others_have_theirs(kind: str) -> None:
    counting = shares()
    first = counting.take(call(kind))
    counting.take(call(kind, url="https://UP.test/other"))

    with pytest.raises(Busy, match=r"You have 2 .* open at Tickets, the most at a time") as caught:
        counting.take(call(kind))
    assert caught.value.code is Code.THROTTLED
    counting.take(call(kind, person="bob"))
    counting.take(call(kind, host="other"))
    counting.take(call(kind, url="https://elsewhere.test/mcp"))
    for other in KINDS.keys() - {kind}:
        counting.take(call(other))
    counting.give_back(first)
    counting.take(call(kind, url="https://up.test:443/mcp"))
    with pytest.raises(Busy):
        counting.take(call(kind))


def test_a_tenant_has_a_share_whoever_its_people_are() -> None:
    counting = shares()
    for person in ("alice", "bob", "carol"):
        counting.take(call(person=person))

    with pytest.raises(Busy, match="This host has 3 calls open"):
        counting.take(call(person="dora"))
    counting.take(call(person="alice", host="other"))


def test_what_takes_the_place_of_a_counted_one_counts_and_is_never_refused() -> None:
    counting = shares(person=1)
    held = counting.take(call())
    streaming = counting.take(call(), stands_in=True)
    counting.give_back(held)

    with pytest.raises(Busy):
        counting.take(call())
    counting.give_back(streaming)
    assert not counting._under_way, "what has ended leaves nothing behind"


def test_listening_is_a_stream_and_a_call_that_is_answered_by_one_is_a_call() -> None:
    counting = shares(person=1)
    counting.take(call(method="subscriptions/listen"))
    counting.take(call())

    with pytest.raises(Busy, match="1 streams open"):
        counting.take(call("stream"))


@pytest.mark.parametrize(("message_id", "status"), [(7, 200), (None, 429)])
def test_who_is_refused_is_told_when_to_come_back(message_id: int | None, status: int) -> None:
    refusal = answer(Busy("Too much."), era="legacy", message_id=message_id)

    assert refusal.status == status
    assert dict(refusal.headers)[b"retry-after"] == b"5"


def test_addresses_that_are_remembered_are_bounded() -> None:
    counting = shares()
    for number in range(5000):
        counting.give_back(counting.take(call(url=f"https://up{number}.test/mcp")))

    assert len(counting._origins) <= 4096
