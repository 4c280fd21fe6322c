"""What passes byte for byte on the short way is what passes so on the long one."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from safeconduct.core.clock import SystemClock
from safeconduct.core.decision import Decision, MaxItems, Notify, Obligation, Redact
from safeconduct.core.model import Caller, ClientId, HostId, ServerKey, SessionId, SubjectId
from safeconduct.egress import Reply, UpstreamFailed
from safeconduct.proxy.calls import Call
from safeconduct.proxy.eras import META_CAPABILITIES, Revision
from safeconduct.proxy.exchange import STREAM_HEADERS
from safeconduct.proxy.greetings import GREETINGS
from safeconduct.proxy.messages import METHODS, MODERN, Message
from safeconduct.proxy.obligations import Obligations
from safeconduct.proxy.refusals import JSON_HEADERS
from safeconduct.proxy.results import RequestStates, read
from safeconduct.proxy.returns import Returns, _media, _passes, _reading
from safeconduct.proxy.transport_sessions import TransportSessions

NOBODY = cast("Any", None)  # a collaborator that is not asked
CALLER = Caller(
    host=HostId("h"),
    subject=SubjectId("s"),
    client=ClientId("c"),
    session=SessionId("n"),
    server=ServerKey("k"),
)
LOOKED_AT = GREETINGS | {name for name, row in METHODS.items() if row.listing}
CAN_ASK = {META_CAPABILITIES: {"elicitation": {}}}
ASKED = {"q": {"method": "elicitation/create", "params": {}}}
RESULTS = st.fixed_dictionaries(
    {},
    optional={
        "content": st.just([{"type": "text", "text": '{"a":1}'}]),
        "structuredContent": st.just({"a": 1}),
        "isError": st.booleans(),
        "resultType": st.sampled_from(["complete", "input_required"]),
        "requestState": st.sampled_from(["", "kept"]) | st.none(),
        "inputRequests": st.sampled_from([{}, ASKED]) | st.none(),
        "tools": st.just([]),
    },
)
ERRORS = st.just({"code": 1, "message": "m", "data": {"a": 1}})
DUTIES: list[Obligation] = [
    Redact(pointers=("/a",)),
    MaxItems(items="", count=0),
    Notify(about="x"),
]


def returns() -> Returns:
    clock = SystemClock()
    return Returns(
        decider=NOBODY,
        records=NOBODY,
        states=RequestStates(b"k" * 32, clock=clock),
        transports=NOBODY,
        event_ids=NOBODY,
        requests=NOBODY,
        sessions=NOBODY,
        flights=NOBODY,
        obligations=Obligations(
            consents=NOBODY,
            approvals=NOBODY,
            again=NOBODY,
            permissions=NOBODY,
            throttles=NOBODY,
            notify=NOBODY,
            clock=clock,
            background=NOBODY,
        ),
        sightings=NOBODY,
        manners=NOBODY,
        changed=NOBODY,
    )


def call_of(method: str, duties: tuple[Obligation, ...] | None) -> Call:
    """Return a decided call; None for one that nobody has decided."""
    decision = duties if duties is None else Decision(
        id="d", allow=True, reason="r", message="m", bundle="b", obligations=duties
    )  # fmt: skip
    return Call(
        exchange=NOBODY,
        caller=CALLER,
        session=NOBODY,
        client=NOBODY,
        server=NOBODY,
        message=Message(
            form="request",
            id=1,
            method=method,
            params={"_meta": CAN_ASK},
            meta=CAN_ASK,
            row=METHODS[method],
            name="t",
            raw=b"",
        ),
        row=METHODS[method],
        revision=Revision(version="2026-07-28", era=MODERN),
        upstream_session=None,
        decision=decision,
    )


@given(
    method=st.sampled_from(sorted({*METHODS} - LOOKED_AT)),
    duties=st.lists(st.sampled_from(DUTIES), max_size=2).map(tuple) | st.none(),
    answer=st.one_of(
        RESULTS.map(lambda result: {"result": result}), ERRORS.map(lambda error: {"error": error})
    ),
)
@example(method="tools/call", duties=(), answer={"result": {"requestState": ""}})
@example(method="tools/call", duties=(DUTIES[0],), answer={"result": {"structuredContent": {}}})
async def test_what_passes_unlooked_at_would_have_passed_unchanged(
    method: str, duties: tuple[Obligation, ...] | None, answer: dict[str, Any]
) -> None:
    call = call_of(method, duties)
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, **answer}).encode()
    reading = read(raw, call.message)

    long = await returns()._judged(call, raw, reading)

    if _passes(call, reading):
        assert long is raw


@pytest.mark.parametrize("method", ["tools/call", "resources/read", "prompts/get", "ping"])
def test_a_plain_answer_passes_unlooked_at(method: str) -> None:
    call = call_of(method, ())

    assert _passes(call, read(b'{"jsonrpc":"2.0","id":1,"result":{"content":[]}}', call.message))


@pytest.mark.parametrize("method", sorted(LOOKED_AT))
def test_a_list_or_a_greeting_never_does(method: str) -> None:
    call = call_of(method, ())

    assert not _passes(call, read(b'{"jsonrpc":"2.0","id":1,"result":{}}', call.message))


@pytest.mark.parametrize("result", ['"requestState":""', '"inputRequests":{"q":{"method":"x"}}'])
def test_what_asks_for_more_never_does(result: str) -> None:
    call = call_of("tools/call", ())
    raw = f'{{"jsonrpc":"2.0","id":1,"result":{{{result}}}}}'.encode()

    assert not _passes(call, read(raw, call.message))


@pytest.mark.parametrize("duties", [(DUTIES[0],), (DUTIES[2],), None])
def test_what_comes_with_an_obligation_or_no_decision_never_does(
    duties: tuple[Obligation, ...] | None,
) -> None:
    call = call_of("tools/call", duties)

    assert not _passes(call, read(b'{"jsonrpc":"2.0","id":1,"result":{}}', call.message))


@given(st.binary(max_size=30) | st.sampled_from([b"", b" Text/HTML ;x", b"a;b;c", b";", b"A/B"]))
def test_a_media_type_is_read_the_same_when_it_comes_again(said: bytes) -> None:
    expected = said.split(b";", maxsplit=1)[0].strip(b" \t").lower() if said.isascii() else b""

    assert [_media(said), _media(said)] == [expected] * 2


class _Source:
    """Where a body would come from; notes that nobody wants it any more."""

    def __init__(self) -> None:
        self.aborted = False

    def drained(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True


async def test_an_answer_of_two_kinds_is_refused_and_not_waited_for() -> None:
    source = _Source()
    kinds = [(b"content-type", b"application/json"), (b"content-type", b"text/event-stream")]

    with pytest.raises(UpstreamFailed):
        await returns().answer(call_of("tools/call", ()), Reply(200, kinds, None, source), "")

    assert source.aborted


OK_ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{}}'
ERROR_ANSWER = b'{"jsonrpc":"2.0","id":1,"error":{"code":1}}'
SERVER = cast("Any", SimpleNamespace(name="n"))


@pytest.mark.parametrize(
    ("status", "raw"),
    [(200, OK_ANSWER), (200, ERROR_ANSWER), (400, ERROR_ANSWER), (404, ERROR_ANSWER)],
)
def test_an_answer_to_a_request_is_read(status: int, raw: bytes) -> None:
    reading = _reading(call_of("ping", ()), status, b"application/json", raw)

    assert reading is not None
    assert reading.answers()


@pytest.mark.parametrize(
    ("status", "media", "raw"),
    [
        (400, b"application/json", OK_ANSWER),
        (404, b"application/json", OK_ANSWER),
        (500, b"application/json", ERROR_ANSWER),
        (202, b"application/json", OK_ANSWER),
        (204, b"", b""),
        (302, b"application/json", OK_ANSWER),
        (401, b"application/json", ERROR_ANSWER),
        (200, b"text/html", OK_ANSWER),
        (200, b"", OK_ANSWER),
        (200, b"application/json", b'{"jsonrpc":"2.0","id":1}'),
        (200, b"application/json", b'{"jsonrpc":"2.0","id":1,"method":"ping"}'),
        (200, b"application/json", b'{"jsonrpc":"2.0","method":"notifications/message"}'),
        (200, b"application/json", b'{"jsonrpc":"2.0","id":2,"result":{}}'),
        (200, b"application/json", b""),
    ],
)
def test_what_answers_no_request_is_refused(status: int, media: bytes, raw: bytes) -> None:
    call = replace(call_of("ping", ()), server=SERVER)

    with pytest.raises(UpstreamFailed):
        _reading(call, status, media, raw)


@pytest.mark.parametrize("base", [JSON_HEADERS, STREAM_HEADERS])
def test_a_transport_session_begins_sealed_with_initialize_and_with_nothing_else(
    base: tuple[tuple[bytes, bytes], ...],
) -> None:
    made, transports = returns(), TransportSessions(b"k" * 32)
    made._transports = transports
    given = Reply(200, [(b"mcp-session-id", b" own ")], None, _Source())
    none = Reply(200, [(b"content-type", b"application/json")], None, _Source())

    assert made._headers(base, call_of("tools/call", ()), given) == base
    assert made._headers(base, call_of("initialize", ()), none) == base
    *others, (name, sealed) = made._headers(base, call_of("initialize", ()), given)
    assert tuple(others) == base
    assert name == b"mcp-session-id"
    assert transports.open(sealed.decode(), CALLER) == "own"
