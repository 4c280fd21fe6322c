"""Two eras on one address: told apart by header and body together, never mixed."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from safeconduct.proxy.eras import decoded, encoded
from tests.road.world import (
    ACME,
    LEGACY,
    LEGACY_VERSIONS,
    MODERN,
    VERSIONS,
    Loopback,
    Tokens,
    World,
    body_of,
    line,
)

CALL = {"name": "get_issue", "arguments": {"id": "T-7"}}
META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


def _error(answer: httpx2.Response) -> tuple[int, int]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.requirement("P-25", "GW-01", "SEC-61")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"mcp-method": None}, (400, -32020)),
        ({"mcp-method": "tools/list"}, (400, -32020)),
        ({"mcp-method": "Tools/Call"}, (400, -32020)),
        ({"mcp-method": ""}, (400, -32020)),
        ({"mcp-name": None}, (400, -32020)),
        ({"mcp-name": "delete_issue"}, (400, -32020)),
        ({"mcp-name": "GET_ISSUE"}, (400, -32020)),
        ({"mcp-name": ""}, (400, -32020)),
        ({"mcp-name": "=?base64?!!!?="}, (400, -32020)),
        ({"mcp-name": "=?base64?/w==?="}, (400, -32020)),
        ({"mcp-name": "=?BASE64?Z2V0X2lzc3Vl?="}, (400, -32020)),
        ({"mcp-protocol-version": "2099-01-01"}, (400, -32022)),
        ({"mcp-protocol-version": "2024-10-07"}, (400, -32022)),
        ({"mcp-protocol-version": ""}, (400, -32022)),
        ({"mcp-protocol-version": LEGACY}, (400, -32020)),
        ({"mcp-protocol-version": None}, (400, -32020)),
        ({"accept": "application/json"}, (406, -32600)),
        ({"accept": "text/event-stream"}, (406, -32600)),
    ],
    ids=str,
)
async def test_headers_that_do_not_say_what_the_body_says(
    road: World, tokens: Tokens, headers: dict[str, str | None], expected: tuple[int, int]
) -> None:
    answer = await road.send(tokens.access, "tools/call", CALL, headers=headers)

    assert _error(answer) == expected
    assert road.upstream.seen == []


@pytest.mark.requirement("P-25", "GW-01")
@pytest.mark.parametrize(
    "headers",
    [
        {"mcp-name": "=?base64?Z2V0X2lzc3Vl?="},
        {"mcp-session-id": "ignored"},
        {"accept": "*/*"},
        {"accept": "text/event-stream, application/json;q=0.9"},
        {"accept": None},
    ],
    ids=str,
)
async def test_headers_that_say_it_otherwise_are_fine(
    road: World, tokens: Tokens, headers: dict[str, str | None]
) -> None:
    answer = await road.send(tokens.access, "tools/call", CALL, headers=headers)

    assert answer.status_code == 200
    (seen,) = road.upstream.seen
    assert seen.header("mcp-name") == "get_issue"
    assert seen.header("mcp-session-id") is None


@pytest.mark.requirement("P-25")
@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({META_VERSION: None}, (400, -32602)),
        ({META_VERSION: LEGACY}, (400, -32020)),
        ({META_VERSION: "2099-01-01"}, (400, -32020)),
        ({META_VERSION: 1}, (400, -32020)),
        ({META_CAPABILITIES: None}, (400, -32602)),
        ({META_CAPABILITIES: []}, (400, -32602)),
    ],
    ids=str,
)
async def test_a_modern_message_without_its_envelope(
    road: World, tokens: Tokens, meta: dict[str, Any], expected: tuple[int, int]
) -> None:
    answer = await road.send(tokens.access, "tools/call", CALL | {"_meta": meta})

    assert _error(answer) == expected
    assert road.upstream.seen == []


@pytest.mark.requirement("P-25")
@pytest.mark.parametrize("params", [{"_meta": "x"}, {"_meta": None}, {}, None], ids=str)
async def test_a_modern_message_without_any_meta(
    road: World, tokens: Tokens, params: dict[str, Any] | None
) -> None:
    body = body_of("tools/list", params, version=LEGACY)

    assert _error(await road.send(tokens.access, "tools/list", body=body)) == (400, -32602)


@pytest.mark.requirement("P-25")
@pytest.mark.parametrize(
    "method",
    ["initialize", "ping", "logging/setLevel", "resources/subscribe", "nope", "stream/open",
     "session/end", "tasks/get", "TOOLS/CALL", "sampling/createMessage"],
)  # fmt: skip
async def test_what_is_no_method_of_the_modern_era_is_404(
    road: World, tokens: Tokens, method: str
) -> None:
    assert _error(await road.send(tokens.access, method)) == (404, -32601)
    assert road.upstream.seen == []


@pytest.mark.requirement("P-25")
@pytest.mark.parametrize("version", LEGACY_VERSIONS)
@pytest.mark.parametrize(
    "method", ["server/discover", "subscriptions/listen", "nope", "stream/open", "session/end"]
)
async def test_what_is_no_method_of_the_older_era_is_an_error(
    road: World, tokens: Tokens, method: str, version: str
) -> None:
    answer = await road.send(tokens.access, method, version=version)

    assert _error(answer) == (200, -32601)
    assert road.upstream.seen == []


@pytest.mark.requirement("P-02")
@pytest.mark.parametrize("verb", ["GET", "DELETE", "PUT", "PATCH", "HEAD"])
async def test_the_modern_era_takes_post_only(road: World, tokens: Tokens, verb: str) -> None:
    headers = {"authorization": f"Bearer {tokens.access}", "mcp-protocol-version": MODERN}

    answer = await road.http.request(verb, f"{ACME}/mcp/tickets", headers=headers)

    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    assert road.upstream.seen == []


@pytest.mark.requirement("GW-05", "SEC-61")
@pytest.mark.parametrize("version", [*LEGACY_VERSIONS, None])
async def test_a_modern_body_is_not_smuggled_in_under_an_older_header(
    road: World, tokens: Tokens, version: str | None
) -> None:
    body = body_of("tools/call", CALL, version=MODERN)
    own = body_of("tools/call", CALL, version=LEGACY)
    headers = {"mcp-protocol-version": version}

    smuggled = await road.send(
        tokens.access, "tools/call", CALL, version=LEGACY, body=body, headers=headers
    )
    honest = await road.send(
        tokens.access, "tools/call", CALL, version=LEGACY, body=own, headers=headers
    )

    assert _error(smuggled) == (400, -32020)
    assert honest.status_code == 200
    assert [seen.body for seen in road.upstream.seen] == [own]


@pytest.mark.requirement("GW-05", "SEC-61")
async def test_an_older_body_is_not_smuggled_in_under_the_modern_header(
    road: World, tokens: Tokens
) -> None:
    body = body_of("tools/call", CALL, version=LEGACY)

    assert _error(await road.send(tokens.access, "tools/call", CALL, body=body)) == (400, -32602)
    assert road.upstream.seen == []


@pytest.mark.requirement("GW-02", "P-26")
@pytest.mark.parametrize("version", [*LEGACY_VERSIONS, None])
async def test_routing_headers_on_older_requests_say_what_the_body_says_and_are_not_sent(
    road: World, tokens: Tokens, version: str | None
) -> None:
    true = {"mcp-method": "tools/call", "mcp-name": "query_rows", "mcp-param-region": "eu"}
    more = {"mcp-protocol-version": version}
    arguments = {"region": "eu", "limit": 1}  # which headers need not mirror, in older revisions

    for name in (None, *true):
        lie = {} if name is None else {name: "other"}
        answer = await road.call(
            tokens.access,
            "query_rows",
            arguments=arguments,
            version=LEGACY,
            headers=true | more | lie,
        )
        assert _error(answer) == (400, -32020) if lie else answer.status_code == 200

    (seen,) = road.upstream.seen
    assert all(seen.header(name) is None for name in true)
    assert seen.header("mcp-protocol-version") == version


@pytest.mark.requirement("P-25", "P-26")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/list", {}),
        ("resources/read", {"uri": "note://1"}),
        ("tools/call", {"name": "get_issue", "arguments": {"id": "T-7"}}),
        ("tools/call", {"name": "nothing_known", "arguments": {}}),
    ],
)
async def test_a_mirrored_parameter_the_pinned_schema_does_not_know_is_refused(
    road: World, tokens: Tokens, version: str, method: str, params: dict[str, Any]
) -> None:
    extra: dict[str, str | None] = {"mcp-param-id": "T-7"}
    answer = await road.send(tokens.access, method, params, version=version, headers=extra)

    assert _error(answer) == (400, -32020)
    assert "mcp-param-id" in answer.json()["error"]["message"].lower()
    assert road.upstream.seen == []


@pytest.mark.requirement("GW-02", "P-26", "Z-01")
@pytest.mark.parametrize("version", VERSIONS)
async def test_headers_never_decide(road: World, version: str) -> None:
    """A header that names an allowed tool does not let a denied one through."""
    from safeconduct.core.model import Level

    low = await road.tokens(person="bob", level=Level.LOW)

    answer = await road.call(
        low.access, "delete_issue", version=version, headers={"mcp-name": "get_issue"}
    )

    assert answer.status_code in {400, 403}
    assert road.upstream.seen == []


@pytest.mark.requirement("P-25")
async def test_an_unknown_version_is_told_what_is_spoken(road: World, tokens: Tokens) -> None:
    answer = await road.send(
        tokens.access, "tools/list", headers={"mcp-protocol-version": "2099-01-01"}, message_id=9
    )

    error = answer.json()["error"]
    assert error["data"]["requested"] == "2099-01-01"
    assert MODERN in error["data"]["supported"]


@pytest.mark.requirement("K-08")
@pytest.mark.parametrize(
    ("speaks", "version", "supported"),
    [
        (("legacy",), MODERN, list(LEGACY_VERSIONS)),
        (("modern",), "2025-11-25", [MODERN]),
        (("modern",), "2025-03-26", [MODERN]),
    ],
)
async def test_an_era_the_server_does_not_speak_is_named_with_the_other(
    world: World, speaks: tuple[str, ...], version: str, supported: list[str]
) -> None:
    tokens = await world.tokens()
    world.upstream.eras = speaks
    await world.crawl()
    world.upstream.seen.clear()

    for method, params in (("tools/call", CALL), ("tools/list", {})):
        answer = await world.send(tokens.access, method, params, version=version)
        assert _error(answer) == (400, -32022)
        assert answer.json()["error"]["data"]["supported"] == supported
        assert answer.json()["id"] == 1
    assert world.upstream.seen == []


@pytest.mark.requirement("K-08", "P-02")
@pytest.mark.parametrize("speaks", [("legacy",), ("modern",), ("modern", "legacy")], ids=str)
async def test_a_client_that_tries_both_eras_finds_the_servers(
    world: World, speaks: tuple[str, ...]
) -> None:
    tokens = await world.tokens()
    world.upstream.eras = speaks
    await world.crawl()
    headers = {"Authorization": f"Bearer {tokens.access}"}
    async with httpx2.AsyncClient(transport=Loopback(world.port), headers=headers) as http:
        transport = streamable_http_client(f"{ACME}/mcp/tickets", http_client=http)
        async with Client(transport, mode="auto") as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            result = await client.call_tool("get_issue", {"id": "T-9"})

    assert "get_issue" in names
    assert "get_hidden" not in names
    assert "T-9" in str(result.content)


ROWS = {"region": "eu-west", "limit": 10, "dry": True, "nested": {"zone": "a"}}
MIRRORED = {
    "mcp-param-region": "eu-west",
    "mcp-param-limit": "10",
    "mcp-param-dry": "true",
    "mcp-param-zone": "a",
}


async def _query(
    road: World, tokens: Tokens, arguments: dict[str, Any], headers: dict[str, str | None]
) -> httpx2.Response:
    return await road.call(tokens.access, "query_rows", arguments=arguments, headers=headers)


def _base64(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@pytest.mark.requirement("P-25", "GW-01", "GW-03")
@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        (ROWS, MIRRORED),
        (ROWS, MIRRORED | {"mcp-param-region": _base64("eu-west")}),
        ({"region": "eu-w\u00e9st"}, {"mcp-param-region": _base64("eu-w\u00e9st")}),
        ({"region": " x "}, {"mcp-param-region": _base64(" x ")}),
        ({"limit": -5}, {"mcp-param-limit": "-5"}),
        ({"limit": 0}, {"mcp-param-limit": "0"}),
        ({"limit": 7}, {"mcp-param-limit": "007"}),
        ({"dry": False}, {"mcp-param-dry": "false"}),
        ({"region": None}, {}),
        ({}, {}),
        ({"other": "x"}, {}),
    ],
    ids=str,
)
async def test_mirrored_arguments_that_agree_go_through(
    road: World, tokens: Tokens, arguments: dict[str, Any], headers: dict[str, str | None]
) -> None:
    answer = await _query(road, tokens, arguments, headers)

    assert answer.status_code == 200, answer.text
    (seen,) = road.upstream.seen
    sent = {name: value for name, value in seen.headers if name.lower()[:10] == b"mcp-param-"}
    assert {name.decode().lower() for name in sent} == set(headers)
    for name, value in headers.items():  # the same, as it is written from the judged body
        assert value is not None
        plain = str(int(value)) if name == "mcp-param-limit" else decoded(value.encode())
        assert seen.header(name) == encoded(plain).decode()


@pytest.mark.requirement("P-25", "GW-01")
@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        (ROWS, MIRRORED | {"mcp-param-unknown": "anything"}),
        ({}, {"mcp-param-unknown": ""}),
        (ROWS, MIRRORED | {"mcp-param-": "x"}),
        (ROWS, MIRRORED | {"mcp-param-region": None}),
        (ROWS, MIRRORED | {"mcp-param-zone": None}),
        (ROWS, MIRRORED | {"mcp-param-region": "us-east"}),
        (ROWS, MIRRORED | {"mcp-param-region": "EU-WEST"}),
        (ROWS, MIRRORED | {"mcp-param-region": _base64("us-east")}),
        (ROWS, MIRRORED | {"mcp-param-region": "=?base64?****?="}),
        (ROWS, MIRRORED | {"mcp-param-limit": "1_0"}),
        (ROWS, MIRRORED | {"mcp-param-limit": "+10"}),
        (ROWS, MIRRORED | {"mcp-param-limit": "10.0"}),
        (ROWS, MIRRORED | {"mcp-param-limit": "1e1"}),
        (ROWS, MIRRORED | {"mcp-param-limit": "11"}),
        (ROWS, MIRRORED | {"mcp-param-limit": "9" * 5000}),
        (ROWS, MIRRORED | {"mcp-param-dry": "True"}),
        (ROWS, MIRRORED | {"mcp-param-dry": "1"}),
        (ROWS, MIRRORED | {"mcp-param-zone": "b"}),
        ({}, {"mcp-param-region": "eu-west"}),
        ({"region": None}, {"mcp-param-region": "null"}),
        ({"region": 5}, {"mcp-param-region": "6"}),
        ({"region": ["x"]}, {"mcp-param-region": "x"}),
        ({"nested": "x"}, {"mcp-param-zone": "x"}),
        ({"limit": 1.5}, {"mcp-param-limit": "1.5"}),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_mirrored_arguments_that_disagree_are_refused(
    road: World, tokens: Tokens, arguments: dict[str, Any], headers: dict[str, str | None]
) -> None:
    answer = await _query(road, tokens, arguments, headers)

    assert _error(answer) == (400, -32020)
    assert road.upstream.seen == []


@pytest.mark.requirement("GW-04", "SEC-61")
@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ("mcp-method: tools/call", 400),
        ("mcp-name: query_rows", 400),
        ("mcp-name: get_issue", 400),
        (f"mcp-protocol-version: {MODERN}", 400),
        (f"mcp-protocol-version: {LEGACY}", 400),
        ("mcp-param-region: eu", 400),
        ("MCP-Param-Region: us", 400),
        ("mcp-session-id: a\r\nmcp-session-id: b", 400),
        ("content-type: application/json", 415),
        ("content-type: text/plain", 415),
        ("authorization: Bearer x", 401),
        (f"origin: {ACME}\r\norigin: {ACME}", 403),
        ("x-other: a\r\nx-other: b", 200),
        ("mcp-param-other: a", 400),
    ],
)
async def test_a_header_that_must_be_single_is_not_there_twice(
    road: World, tokens: Tokens, extra: str, status: int
) -> None:
    params = {"name": "query_rows", "arguments": {"region": "eu"}}
    async with line(road) as client:
        await client.post(tokens.access, "tools/call", params, more=("mcp-param-region: eu", extra))
        got, _, _ = await client.whole()

    assert got == status
    assert len(road.upstream.seen) == (status == 200)


@pytest.mark.requirement("SEC-61")
@pytest.mark.parametrize("blanks", ["  ", "\t", " \t "])
async def test_blanks_around_a_header_value_mean_nothing(
    road: World, tokens: Tokens, blanks: str
) -> None:
    """RFC 9110 section 5.5: they are no part of the value, and are not passed on."""
    params = {"name": "query_rows", "arguments": {"region": "eu"}}
    async with line(road) as client:
        await client.post(
            tokens.access, "tools/call", params, more=(f"mcp-param-region:{blanks}eu{blanks}",)
        )
        status, _, _ = await client.whole()

    assert status == 200
    (seen,) = road.upstream.seen
    assert b"mcp-param-region: eu\r\n" in seen.raw


@pytest.mark.requirement("P-02", "K-08")
async def test_both_eras_live_on_one_token(road: World, tokens: Tokens) -> None:
    for version in [*VERSIONS, *reversed(VERSIONS)]:
        assert (await road.call(tokens.access, version=version)).status_code == 200


@pytest.mark.requirement("P-19", "P-25")
async def test_a_modern_notification_is_accepted_without_a_body(
    road: World, tokens: Tokens
) -> None:
    body = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'
    unknown = b'{"jsonrpc":"2.0","method":"notifications/whatever"}'
    call = b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"get_issue"}}'

    for sent in (body, unknown, call):
        answer = await road.send(
            tokens.access, "x", body=sent, headers={"mcp-method": None, "mcp-name": None}
        )
        assert (answer.status_code, answer.content) == (202, b"")
    assert road.upstream.seen == [], "what is about no open request is dropped"
