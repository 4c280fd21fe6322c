"""Which requests are open: by direction, type, session; for a while; and within bounds."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from safeconduct.core.clock import ManualClock
from safeconduct.proxy.messages import LEGACY, Message, read
from safeconduct.proxy.open_requests import OpenRequests

pytestmark = pytest.mark.requirement("SEC-32")


def about(method: str, params: dict[str, Any] | None = None, **more: Any) -> Message:
    message = {"jsonrpc": "2.0", "method": method, "params": params or {}} | more
    if method == "answer":
        message = {"jsonrpc": "2.0", "result": {}} | more
    return read(json.dumps(message).encode(), LEGACY)


def call(message: Message, *, session: str = "s", upstream: str | None = "u") -> Any:
    """Return as much of a call as is looked at."""
    return SimpleNamespace(
        message=message,
        exchange=SimpleNamespace(id="exchange"),
        caller=SimpleNamespace(host="h", session=session),
        upstream_session=upstream,
    )


def cancel(request_id: Any) -> Message:
    return about("notifications/cancelled", {"requestId": request_id})


ASKED = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 5,
        "method": "sampling/createMessage",
        "params": {"_meta": {"progressToken": "p"}, "text": "x"},
    }
).encode()


async def test_a_cancellation_is_for_an_open_request_of_the_same_session_and_type() -> None:
    requests = OpenRequests(ManualClock())
    for request_id in (1, "2"):
        requests.begin(call(about("tools/call", {"name": "x"}, id=request_id)))

    for known in (1, "2"):
        assert await requests.concerns(call(cancel(known)))
    for unknown in ("1", 2, 3, True, 1.0, None, [1], {}, "x" * 3000):
        assert not await requests.concerns(call(cancel(unknown)))
    assert not await requests.concerns(call(cancel(1), session="other"))
    assert not await requests.concerns(call(cancel(1), upstream="other"))
    assert not await requests.concerns(call(cancel(1), upstream=None))
    assert not await requests.concerns(call(about("notifications/cancelled")))


async def test_directions_are_apart() -> None:
    requests = OpenRequests(ManualClock())
    calling = call(about("tools/call", {"name": "x"}, id=1))
    requests.begin(calling)
    requests.ask(calling, 5, ASKED)

    progress = about("notifications/progress", {"progressToken": "p", "progress": 1})
    assert await requests.concerns(call(about("answer", id=5)))
    assert await requests.concerns(call(progress))
    for nobodys in (
        about("answer", id=1),
        about("answer", id="5"),
        cancel(5),
        about("notifications/progress", {"progressToken": 5, "progress": 1}),
        about("notifications/progress", {"progressToken": "q", "progress": 1}),
    ):
        assert not await requests.concerns(call(nobodys))


async def test_what_is_about_no_request_is_for_everybody() -> None:
    requests = OpenRequests(ManualClock())
    for method in ("notifications/initialized", "notifications/roots/list_changed"):
        assert await requests.concerns(call(about(method)))


async def test_what_was_answered_is_over_and_what_broke_is_known_for_ten_minutes() -> None:
    clock = ManualClock()
    requests = OpenRequests(clock)
    done, broken = (call(about("ping", id=each)) for each in ("done", "broken"))
    for each in (done, broken):
        requests.begin(each)
    requests.end(done, answered=True)
    requests.end(broken, answered=False)

    assert not await requests.concerns(call(cancel("done")))
    clock.advance(timedelta(seconds=599))
    assert await requests.concerns(call(cancel("broken")))
    clock.advance(timedelta(seconds=2))
    assert not await requests.concerns(call(cancel("broken")))


async def test_a_question_outlives_its_stream_by_ten_minutes_unless_it_was_answered() -> None:
    clock = ManualClock()
    requests = OpenRequests(clock)
    calling = call(about("tools/call", {"name": "x"}, id=1))
    requests.ask(calling, 5, ASKED)
    clock.advance(timedelta(hours=2))
    assert await requests.concerns(call(about("answer", id=5))), "the stream is open"
    requests.end_stream(calling)
    clock.advance(timedelta(seconds=599))

    answering = call(about("answer", id=5))
    assert await requests.concerns(answering)
    requests.end(answering, answered=False)
    assert await requests.concerns(answering), "the server did not get it"
    requests.end(answering, answered=True)
    assert not await requests.concerns(answering)


async def test_a_request_that_waits_here_is_cancelled_here_and_nowhere_else() -> None:
    requests = OpenRequests(ManualClock())
    one, heard = call(about("tools/call", {"name": "x"}, id=1)), list[str]()
    requests.begin(one)
    with requests.waiting(one, lambda: heard.append("now")):
        assert not requests.is_cancelled(one)
        assert not await requests.concerns(call(cancel(1)))
    assert heard == ["now"]


async def test_a_cancellation_between_two_waits_is_not_forgotten() -> None:
    requests = OpenRequests(ManualClock())
    one, two = (call(about("tools/call", {"name": "x"}, id=each)) for each in (1, "1"))
    for each in (one, two):
        requests.begin(each)
    heard: list[str] = []

    assert await requests.concerns(call(cancel(1)))

    assert (requests.is_cancelled(one), requests.is_cancelled(two)) == (True, False)
    with (
        requests.waiting(two, lambda: heard.append("two")),
        requests.waiting(one, lambda: heard.append("one")),
    ):
        assert heard == ["one"]
    requests.end(one, answered=True)
    requests.begin(one)
    assert not requests.is_cancelled(one), "another request of the same id"
    requests.end(one, answered=True)
    requests.end(two, answered=True)
    assert requests._cancelled == set()


async def test_what_is_remembered_is_bounded() -> None:
    clock = ManualClock()
    requests = OpenRequests(clock)
    for number in range(3000):
        one = call(about("ping", id=number))
        requests.begin(one)
        requests.end(one, answered=False)
        requests.ask(one, number, ASKED)
    for number in range(12_000):
        requests.begin(call(about("ping", id=1), session=f"s{number}"))
    assert len(requests._sessions) <= 10_000
    assert max(map(len, requests._sessions.values())) <= 512
    for number in range(12_000):
        requests.end(call(about("ping", id=1), session=f"s{number}"), answered=True)
    clock.advance(timedelta(hours=1))
    requests.begin(call(about("ping", id=1), session="last"))
    assert set(requests._sessions) == {("h", "last")}


class Neighbour:
    """Another process, which counts what it is asked."""

    def __init__(self, requests: OpenRequests) -> None:
        self.requests = requests
        self.questions: list[str] = []

    async def know(self, question: str) -> bool:
        self.questions.append(question)
        return self.requests.knows(question)


async def test_the_others_are_asked_about_what_is_not_open_here_and_hear_no_id_or_session() -> None:
    clock = ManualClock()
    there = OpenRequests(clock)
    neighbour = Neighbour(there)
    here = OpenRequests(clock, neighbour)
    there.begin(call(about("ping", id="an id"), upstream="secret"))
    here.begin(call(about("ping", id="mine"), upstream="secret"))

    assert await here.concerns(call(cancel("mine"), upstream="secret"))
    assert neighbour.questions == []
    assert await here.concerns(call(cancel("an id"), upstream="secret"))
    assert not await here.concerns(call(cancel("an id"), upstream="other"))
    assert not await here.concerns(call(cancel("an id"), upstream="secret", session="t"))
    assert not any("an id" in each or "secret" in each for each in neighbour.questions)
    assert not there.knows("nonsense")
    assert not there.knows('["h", "s", 1]')
    assert not here._questions, "what was asked leaves nothing behind"
