"""Step 2 of the road by itself: one exchange becomes one call, however often its head came."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import (
    Caller,
    ClientId,
    HostId,
    Level,
    ServerKey,
    SessionId,
    SubjectId,
)
from safeconduct.hosts import Host, Policies
from safeconduct.policy import ClientFacts
from safeconduct.proxy.calls import Call, Progress, parse
from safeconduct.proxy.claims import claim_of
from safeconduct.proxy.eras import Headers, UnsupportedVersion
from safeconduct.proxy.event_ids import EventIds
from safeconduct.proxy.exchange import Exchange
from safeconduct.proxy.gate import Admitted
from safeconduct.proxy.messages import METHODS
from safeconduct.proxy.transport_sessions import TransportSessions
from safeconduct.sessions import Session
from safeconduct.upstreams import HeaderParam, Server, Tool

pytestmark = pytest.mark.requirement("GW-01", "SEC-61")

HOST, SERVER = HostId("acme"), ServerKey("items")
NOW = datetime(2026, 8, 1, tzinfo=UTC)
TRANSPORTS = TransportSessions(b"k" * 32)
EVENT_IDS = EventIds(b"k" * 32)
MODERN = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "search",
}
LEGACY = {
    name: value for name, value in MODERN.items() if name not in {"mcp-method", "mcp-name"}
} | {"mcp-protocol-version": "2025-11-25"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def _tool(name: str, *params: HeaderParam) -> Tool:
    return Tool(
        name=name,
        title=name,
        description="",
        level=Level.LOW,
        because="",
        enabled=True,
        state="pinned",
        pins=(),
        header_params=params,
    )


CALLER = Caller(
    host=HOST,
    subject=SubjectId("p"),
    client=ClientId("c"),
    session=SessionId("s"),
    server=SERVER,
)
ADMITTED = Admitted(
    CALLER,
    Session(
        host=HOST,
        id=CALLER.session,
        subject=CALLER.subject,
        client=CALLER.client,
        server=SERVER,
        opened_at=NOW,
        used_at=NOW,
        ends_at=NOW + timedelta(days=1),
        idle_seconds=60,
    ),
    ClientFacts(id=CALLER.client, name="Agent", active=True),
    Server(
        host=HOST,
        key=SERVER,
        name="Items",
        url="http://127.0.0.1:1/mcp",
        description="",
        eras=("legacy", "modern"),
        tools={
            "search": _tool("search"),
            "mirrored": _tool("mirrored", HeaderParam(name="Q", path=("q",), type="string")),
        },
    ),
)


def _headers(said: dict[str, str]) -> Headers:
    return Headers((name.encode(), value.encode("latin-1")) for name, value in said.items())


def _exchange(
    headers: Headers, body: dict[str, Any] | None = None, *, verb: str = "POST"
) -> Exchange:
    return Exchange(
        id="x",
        host=Host(key=HOST, name="Acme", origin="https://acme.test", policies=Policies()),
        server=SERVER,
        published="/mcp/items",
        typed="/mcp/items",
        claim=claim_of(headers),
        suggestion="",
        verb=verb,
        headers=headers,
        body=b"" if body is None else json.dumps(body).encode(),
        ip="192.0.2.7",
        began=0.0,
    )


def _body(method: str = "tools/call", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


def _call(name: str = "search", **params: Any) -> dict[str, Any]:
    return _body(name=name, _meta=META, **params)


def _parsed(exchange: Exchange, server: Server = ADMITTED.server) -> Call | None:
    return parse(exchange, ADMITTED._replace(server=server), TRANSPORTS, EVENT_IDS, Progress())


def _refusal(exchange: Exchange, server: Server = ADMITTED.server) -> tuple[Code, str]:
    with pytest.raises(Refused) as caught:
        _parsed(exchange, server)
    return caught.value.code, caught.value.public


def test_a_call_knows_all_the_later_steps_need() -> None:
    exchange = _exchange(_headers(MODERN), _call(arguments={"q": "x"}))
    progress = Progress()

    call = parse(exchange, ADMITTED, TRANSPORTS, EVENT_IDS, progress)

    assert call is not None
    assert (progress.era, progress.message_id) == ("modern", 7)
    assert call.exchange is exchange
    assert (call.caller, call.session, call.client, call.server) == ADMITTED
    assert call.row is METHODS["tools/call"]
    assert (call.revision.version, call.revision.era) == ("2026-07-28", "modern")
    assert call.upstream_session is None
    assert call.decision is None
    asked = call.request("tool", "search", "tools/call", "call")
    assert asked.arguments == {"q": "x"}
    assert call.request("tool", "search", "tools/call", "list").arguments is None


def test_a_head_that_came_before_yields_the_same_call() -> None:
    headers = _headers(MODERN)

    first, second = (_parsed(_exchange(headers, _call())) for _ in "ab")

    assert first is not None
    assert second is not None
    assert headers.fit == {"POST": first.revision}
    assert replace(first, exchange=second.exchange) == second


def test_the_era_is_known_again_when_the_head_comes_again() -> None:
    headers, progress = _headers(MODERN), Progress()
    _parsed(_exchange(headers, _call()))

    with pytest.raises(Refused):
        parse(_exchange(headers, _call("other")), ADMITTED, TRANSPORTS, EVENT_IDS, progress)

    assert (progress.era, progress.message_id) == ("modern", 7)


def test_a_head_fit_for_a_message_is_not_fit_for_a_stream() -> None:
    headers = _headers(MODERN)
    _parsed(_exchange(headers, _call()))

    for verb in ("GET", "DELETE", "PUT", "post"):
        assert _refusal(_exchange(headers, verb=verb)) == (
            Code.METHOD_NOT_ALLOWED,
            "This address takes POST in this revision.",
        )


def test_a_head_fit_for_a_stream_is_not_fit_for_a_message() -> None:
    headers = _headers({**LEGACY, "accept": "text/event-stream"})
    call = _parsed(_exchange(headers, verb="GET"))

    assert call is not None
    assert (call.message.method, call.row.recorded) == ("stream/open", False)
    for _ in "twice":
        assert _refusal(_exchange(headers, _body("ping"))) == (
            Code.NOT_ACCEPTABLE,
            "The Accept header must list application/json.",
        )


JSON_ONLY = (Code.UNSUPPORTED_MEDIA, "Send application/json in UTF-8.")
PLAIN_ONLY = (Code.UNSUPPORTED_MEDIA, "Send the body without a content encoding.")
CHUNKS_ONLY = (Code.UNSUPPORTED_MEDIA, "Send the body in chunks, or with its length.")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"content-type": ""}, JSON_ONLY),
        ({"content-type": "text/plain"}, JSON_ONLY),
        ({"content-type": "application/json; charset=latin-1"}, JSON_ONLY),
        ({"content-encoding": "gzip"}, PLAIN_ONLY),
        ({"transfer-encoding": "gzip, chunked"}, CHUNKS_ONLY),
        (
            {"accept": "application/json"},
            (Code.NOT_ACCEPTABLE, "The Accept header must list text/event-stream."),
        ),
        (
            {"mcp-protocol-version": "2024-10-07"},
            (
                Code.UNSUPPORTED_VERSION,
                "Protocol version '2024-10-07' is not spoken here; use one of 2026-07-28.",
            ),
        ),
    ],
)
def test_an_unfit_head_is_refused_as_often_as_it_comes(
    changes: dict[str, str], expected: tuple[Code, str]
) -> None:
    headers = _headers({**MODERN, **changes})

    for _ in range(3):
        assert _refusal(_exchange(headers, _call())) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"content-type": "application/json; charset=utf-8"},
        {"content-encoding": "Identity"},
        {"transfer-encoding": "Chunked"},
        {"accept": "*/*"},
        {"accept": "TEXT/event-stream;q=1, application/JSON"},
    ],
)
def test_the_nearest_fit_head_is_taken(changes: dict[str, str]) -> None:
    headers = _headers({**MODERN, **changes})

    for _ in "twice":
        assert _parsed(_exchange(headers, _call())) is not None


def test_a_head_said_twice_is_refused_as_often_as_it_comes() -> None:
    lines = [(name.encode(), value.encode()) for name, value in MODERN.items()]
    headers = Headers([*lines, (b"mcp-name", b"search")])

    for _ in range(3):
        assert _refusal(_exchange(headers, _call())) == (
            Code.HEADER_MISMATCH,
            "The header mcp-name is there twice.",
        )


def test_an_unspoken_revision_is_answered_for_the_server_at_hand() -> None:
    headers = _headers({**MODERN, "mcp-protocol-version": "1"})
    for eras in (("legacy",), ("modern",), ()):
        progress = Progress()
        server = replace(ADMITTED.server, eras=eras)
        with pytest.raises(UnsupportedVersion) as caught:
            parse(
                _exchange(headers, _call()),
                ADMITTED._replace(server=server),
                TRANSPORTS,
                EVENT_IDS,
                progress,
            )
        assert ("2026-07-28" in caught.value.supported) == (eras != ("legacy",))
        assert progress.message_id == 7


@pytest.mark.parametrize(
    ("said", "spoken", "other"),
    [(MODERN, ("legacy",), "2025-11-25"), (LEGACY, ("modern",), "2026-07-28")],
)
def test_a_server_of_the_other_era_is_not_reached_by_a_head_it_has_not_seen(
    said: dict[str, str], spoken: tuple[str, ...], other: str
) -> None:
    headers = _headers(said)
    body = _call() if said is MODERN else _body(name="search")
    assert _parsed(_exchange(headers, body)) is not None

    code, sentence = _refusal(_exchange(headers, body), replace(ADMITTED.server, eras=spoken))

    assert code is Code.UNSUPPORTED_VERSION
    assert other in sentence


@pytest.mark.parametrize("said", [MODERN, LEGACY])
def test_a_server_nobody_has_asked_yet_may_speak_either_era(said: dict[str, str]) -> None:
    server = replace(ADMITTED.server, eras=())
    body = _call() if said is MODERN else _body(name="search")

    assert _parsed(_exchange(_headers(said), body), server) is not None


def test_what_nobody_knows_is_refused_when_asked_and_dropped_when_told() -> None:
    unknown = "x" * 200
    for said in (LEGACY, {**MODERN, "mcp-method": unknown}):
        body = _body(unknown, **({} if said is LEGACY else {"_meta": META}))
        assert _refusal(_exchange(_headers(said), body)) == (
            Code.UNKNOWN_METHOD,
            f"Method not found: {'x' * 100}",
        )
        del body["id"]
        assert _parsed(_exchange(_headers(said), body)) is None


def test_what_another_era_knows_is_not_known_in_this_one() -> None:
    asked = {**MODERN, "mcp-method": "ping"}

    assert _refusal(_exchange(_headers(asked), _body("ping", _meta=META)))[0] is Code.UNKNOWN_METHOD
    assert _parsed(_exchange(_headers(LEGACY), _body("ping"))) is not None
    told = {"jsonrpc": "2.0", "method": "notifications/progress"}
    assert _parsed(_exchange(_headers({**MODERN, "mcp-method": told["method"]}), told)) is None
    assert _parsed(_exchange(_headers(LEGACY), told)) is not None


def _fits(exchange: Exchange) -> bool:
    try:
        return _parsed(exchange) is not None
    except Refused as error:
        return error.code is not Code.HEADER_MISMATCH


def test_mirrored_arguments_are_held_against_each_body() -> None:
    headers = _headers({**MODERN, "mcp-name": "mirrored", "mcp-param-q": "a"})

    assert _parsed(_exchange(headers, _call("mirrored", arguments={"q": "a"}))) is not None
    assert _refusal(_exchange(headers, _call("mirrored", arguments={"q": "b"}))) == (
        Code.HEADER_MISMATCH,
        "The header Mcp-Param-Q does not equal its argument.",
    )
    assert _refusal(_exchange(headers, _call("mirrored"))) == (
        Code.HEADER_MISMATCH,
        "The header Mcp-Param-Q mirrors no argument.",
    )
    older = _headers({**LEGACY, "mcp-param-q": "a"})
    for value, fits in (("a", True), ("b", False)):
        body = _body(name="mirrored", arguments={"q": value})
        assert _fits(_exchange(older, body)) == fits
    assert _fits(_exchange(_headers(LEGACY), _body(name="mirrored", arguments={"q": "b"})))


def test_a_transport_session_is_the_callers_own_and_of_the_older_era() -> None:
    sealed = TRANSPORTS.seal("theirs", CALLER)
    older, modern = ({**said, "mcp-session-id": sealed} for said in (LEGACY, MODERN))

    call = _parsed(_exchange(_headers(older), _body("ping")))
    assert call is not None
    assert call.upstream_session == "theirs"
    first = _parsed(_exchange(_headers(older), _body("initialize")))
    assert first is not None
    assert first.upstream_session is None
    later = _parsed(_exchange(_headers(modern), _call()))
    assert later is not None
    assert later.upstream_session is None
    headers = _headers(older)
    foreign = ADMITTED._replace(caller=replace(CALLER, subject=SubjectId("q")))
    assert parse(_exchange(headers, _body("ping")), ADMITTED, TRANSPORTS, EVENT_IDS, Progress())
    with pytest.raises(Refused) as caught:
        parse(_exchange(headers, _body("ping")), foreign, TRANSPORTS, EVENT_IDS, Progress())
    assert caught.value.code is Code.NOT_FOUND
