"""Whatever comes in is read in one way or refused; nothing else is ever raised."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safeconduct.core.errors import Refused
from safeconduct.proxy.eras import Headers, check, check_params, decoded, encoded, revision_of
from safeconduct.proxy.messages import METHODS, read
from safeconduct.upstreams import HeaderParam, Splitter, data_of, with_data

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0"]) | JSON,
        "id": st.integers() | st.text() | JSON,
        "method": st.sampled_from([*METHODS, "x"]) | JSON,
        "params": st.fixed_dictionaries(
            {}, optional={"name": JSON, "uri": JSON, "arguments": JSON, "_meta": JSON}
        )
        | JSON,
        "result": JSON,
        "error": JSON,
    },
)
NAMES = st.sampled_from(
    [b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-param-a", b"mcp-param-b",
     b"content-type", b"accept", b"authorization", b"x"]
)  # fmt: skip
VALUES = st.binary(max_size=20) | st.sampled_from(
    [b"2026-07-28", b"2025-11-25", b"tools/call", b"true", b"1", b"=?base64?YQ==?=", b"=?base64??="]
)


@pytest.mark.requirement("SEC-62")
@given(st.binary())
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":1,"a":2}')
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(Refused):
        read(raw)


@pytest.mark.requirement("SEC-62", "SEC-63")
@given(MESSAGES)
def test_any_json_is_one_message_or_refused(value: dict[str, object]) -> None:
    raw = json.dumps(value).encode()

    try:
        message = read(raw)
    except Refused:
        return
    assert value["jsonrpc"] == "2.0"
    assert message.raw is raw
    assert (message.id is not None) == (message.form == "request")
    if message.form != "response":
        assert message.method == value["method"]


@pytest.mark.requirement("GW-01", "SEC-61")
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), MESSAGES)
def test_any_headers_agree_with_the_body_or_are_refused(
    raw: list[tuple[bytes, bytes]], value: dict[str, object]
) -> None:
    params = (
        HeaderParam(name="a", path=("a",), type="string"),
        HeaderParam(name="B", path=("b", "c"), type="integer"),
    )
    with contextlib.suppress(Refused):
        headers = Headers(raw)
        headers.check_single()
        message = read(json.dumps(value).encode())
        check(revision_of(headers), headers, message)
        check_params(params, headers, message, required=True)


@given(st.text())
@example("=?base64?x?=")
@example(" x ")
@example("\u00e9")
@example("")
@example("a\r\nb: c")
def test_what_a_header_carries_comes_back(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # half a character is refused before anything is written
    carried = encoded(text)

    assert decoded(carried) == text
    assert carried.isascii()
    assert carried.decode().isprintable()
    assert carried == carried.strip()


@given(st.binary())
def test_any_header_value_is_decoded_or_refused(value: bytes) -> None:
    with contextlib.suppress(Refused):
        decoded(value)


LINES = st.lists(
    st.sampled_from(
        [b"data: x", b"data:y", b"data", b"id: 1", b"event: e", b": c", b"retry: 5", b"database: z"]
    ),
    min_size=1,
    max_size=6,
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@pytest.mark.slow
@given(LINES, ENDS, st.binary(max_size=40))
@example([b"data: x"], b"\n", "a\u2028b\x85c\nd".encode())
def test_an_event_with_other_data_keeps_the_rest(
    lines: list[bytes], end: bytes, data: bytes
) -> None:
    event = end.join([*lines, b"", b""])

    changed = with_data(event, data)

    expected = data.replace(b"\r\n", b" ").replace(b"\r", b" ").replace(b"\n", b" ")
    for end_of_line in ("\x85", "\u2028", "\u2029"):  # JSON on one line, whoever cuts it
        escape = b"\\u%04x" % ord(end_of_line)
        expected = expected.replace(end_of_line.encode(), escape)
    assert data_of(changed) == expected
    kept = [line for line in lines if not line.startswith(b"data")]
    assert all(line in changed.split(b"\r\n") for line in kept)
    assert Splitter(limit=1000).feed(changed + b"x") == [changed]


@given(st.lists(st.tuples(LINES, ENDS), max_size=5), st.lists(st.integers(1, 7), max_size=30))
def test_events_are_the_same_however_they_are_cut(
    events: list[tuple[list[bytes], bytes]], sizes: list[int]
) -> None:
    whole = b"".join(end.join([*lines, b"", b""]) for lines, end in events) + b":"
    cut, rest = [], whole
    for size in sizes:
        cut.append(rest[:size])
        rest = rest[size:]
    one, many = Splitter(limit=10_000), Splitter(limit=10_000)

    at_once = one.feed(whole)

    assert [event for piece in [*cut, rest] for event in many.feed(piece)] == at_once
    assert len(at_once) == len(events)
    assert b"".join(at_once) == whole[:-1]
