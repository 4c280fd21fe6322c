"""What counts as under way, and what has to pass a session that has enough of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from safeconduct.core.errors import Code, Refused
from safeconduct.proxy.flights import Flights


def call(form: str, verb: str, session: str = "s") -> Any:
    """Return as much of a call as is looked at."""
    return SimpleNamespace(
        message=SimpleNamespace(form=form, method="tools/call"),
        exchange=SimpleNamespace(verb=verb),
        caller=SimpleNamespace(host="h", session=session, subject="p"),
        server=SimpleNamespace(url="https://up.test/mcp", name="Up"),
    )


def flights(most: int) -> Flights:
    return Flights(cast("Any", SimpleNamespace(streams=0)), most=most)


@pytest.mark.parametrize(("form", "verb"), [("request", "POST"), ("notification", "GET")])
def test_what_keeps_somebody_waiting_counts_until_it_ends(form: str, verb: str) -> None:
    counting = flights(2)
    first, _second = counting.begin(call(form, verb)), counting.begin(call(form, verb))

    for each in (call("request", "POST"), call("notification", "GET")):
        with pytest.raises(Refused) as caught:
            counting.begin(each)
        assert caught.value.code is Code.THROTTLED
    assert counting.begin(call(form, verb, "other")) is not None
    counting.end(first)
    assert counting.begin(call(form, verb)) is not None


@pytest.mark.parametrize(
    ("form", "verb"), [("notification", "POST"), ("response", "POST"), ("notification", "DELETE")]
)
def test_what_keeps_nobody_waiting_passes_a_full_session_and_ends_nothing(
    form: str, verb: str
) -> None:
    counting = flights(1)
    flight = counting.begin(call("request", "POST"))

    passing = counting.begin(call(form, verb))
    counting.end(passing)

    with pytest.raises(Refused):
        counting.begin(call("request", "POST"))
    counting.end(flight)
    assert not counting._under_way, "a session that has ended leaves nothing behind"


def test_a_stream_stands_in_its_calls_place() -> None:
    counting = flights(1)
    flight = counting.begin(call("request", "POST"))
    stream = counting.begin_stream(call("request", "POST"))
    counting.end(flight)

    with pytest.raises(Refused):
        counting.begin(call("request", "POST"))
    assert counting._metrics.streams == 1
    counting.end_stream(stream)
    assert counting._metrics.streams == 0
    assert not counting._under_way
