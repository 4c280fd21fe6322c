"""A head that was read before means the same again; everything else is the parser's to read."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safeconduct.app.familiar import FamiliarHeads, HeadBudget, familiar_from
from safeconduct.edge import Approach
from safeconduct.proxy import read_head

START = b"POST /mcp/tickets HTTP/1.1\r\nhost: acme.test\r\nauthorization: Bearer sc_at_one\r\n"
BODY = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
APPROACH = Approach("acme.test", "192.0.2.7", "192.0.2.7", ())


def whole(body: bytes = BODY, start: bytes = START, length: bytes | None = None) -> bytes:
    said = b"%d" % len(body) if length is None else length
    return start + b"Content-Length: " + said + b"\r\naccept: */*\r\n\r\n" + body


class Reading:
    """What the parser makes of bytes: the messages in it, and whether it wants more."""

    def __init__(self, data: bytes) -> None:
        self.messages: list[dict[str, Any]] = []
        self.ended = 0
        self.failed = False
        parser: Any = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.failed = True

    def on_message_begin(self) -> None:
        self.messages.append({"url": b"", "headers": [], "body": b""})

    def on_url(self, url: bytes) -> None:
        self.messages[-1]["url"] += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.messages[-1]["headers"].append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.messages[-1]["body"] += body

    def on_message_complete(self) -> None:
        self.ended += 1


def learned(data: bytes = whole()) -> FamiliarHeads:
    """Return heads that know of one request, as the parser reads it."""
    message = Reading(data).messages[0]
    heads = FamiliarHeads(HeadBudget())
    learn(heads, data, message["headers"])
    return heads


def learn(heads: FamiliarHeads, data: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    head = read_head("POST", "/mcp/tickets", b"", headers)
    found = familiar_from(data, head, APPROACH)
    if found is not None:
        heads.remember(found)


def body_in(heads: FamiliarHeads, data: bytes) -> bytes | None:
    found = heads.find(data)
    return None if found is None else found[1]


@pytest.mark.parametrize("body", [b"", b"{}", BODY, b"x" * 99_999])
def test_the_same_head_with_another_body_is_known(body: bytes) -> None:
    assert body_in(learned(), whole(body)) == body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        whole()[:-1],
        whole() + b"\n",
        whole() + whole(),
        b"\r\n" + whole(),
        whole(length=b"41"),
        whole(length=b"39"),
        whole(length=b""),
        whole(length=b"-40"),
        whole(length=b"+40"),
        whole(length=b"4_0"),
        whole(length=b" 40"),
        whole(length=b"40 "),
        whole(length=b"40, 40"),
        whole(length=b"40\r\ncontent-length: 40"),
        whole(length=b"40\r\ntransfer-encoding: chunked"),
        whole(length="\u0664\u0660".encode()),
        whole(start=START.replace(b"one", b"two")),
        whole(start=START.replace(b"acme", b"acne")),
        whole(start=START.replace(b"tickets", b"rockets")),
        whole(start=START.replace(b"POST", b"post")),
        whole(start=START.replace(b"HTTP/1.1", b"HTTP/1.0")),
        whole().replace(b"*/*", b"*/+"),
    ],
)
def test_the_nearest_thing_to_a_known_request_is_the_parsers(data: bytes) -> None:
    assert body_in(learned(), data) is None


@pytest.mark.parametrize(
    "data",
    [
        whole(length=b"41") + b"x" + b"y",
        whole() + whole(),
        START + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        START + b"\r\n",
        START + b"x: content-length: 40\r\n\r\n" + BODY,
        START + b"content-length:  40\r\n\r\n" + BODY,
    ],
)
def test_nothing_is_learned_that_is_not_one_request_with_its_length(data: bytes) -> None:
    heads = FamiliarHeads(HeadBudget())
    learn(heads, data, [])

    assert heads.find(data) is None


def test_a_length_that_a_body_speaks_of_is_not_taken_for_the_heads() -> None:
    body = b"\r\ncontent-length: 30\r\n"
    heads = FamiliarHeads(HeadBudget())
    learn(heads, START + b"\r\n" + body, [])

    assert heads.find(START + b"\r\n" + body) is None


def test_what_is_known_of_a_head_is_what_it_says() -> None:
    found = learned().find(whole(b"{}"))

    assert found is not None
    known, _ = found
    assert known.head.server == "tickets"
    assert known.head.headers.get(b"authorization") == b"Bearer sc_at_one"
    assert known.approach is APPROACH


def test_a_connection_knows_a_bounded_number_of_heads_and_the_last_ones_longest() -> None:
    heads = learned()
    for number in range(8):
        assert body_in(heads, whole()) == BODY
        start = START + b"x: %d\r\n" % number
        message = Reading(whole(start=start)).messages[0]
        learn(heads, whole(start=start), message["headers"])

    assert body_in(heads, whole()) is None
    assert body_in(heads, whole(start=START + b"x: 7\r\n")) == BODY


@given(
    body=st.binary(max_size=60),
    places=st.lists(st.tuples(st.integers(0, 250), st.binary(max_size=3)), max_size=3),
)
@example(body=b"007", places=[])
@example(body=BODY, places=[(110, b"0")])
def test_what_is_known_is_what_the_parser_reads(
    body: bytes, places: list[tuple[int, bytes]]
) -> None:
    """RFC 9112 section 6.3: two readings of one message are how requests are smuggled."""
    data = whole(body)
    for place, piece in places:
        data = data[:place] + piece + data[place + 1 :]

    found = learned().find(data)

    if found is None:
        return
    known, rest = found
    reading = Reading(data)
    assert not reading.failed
    assert reading.ended == len(reading.messages) == 1
    message = reading.messages[0]
    assert message["url"] == b"/mcp/tickets"
    assert message["body"] == rest
    fields = [header for header in message["headers"] if header[0] != b"content-length"]
    assert fields == [
        (b"host", b"acme.test"),
        (b"authorization", b"Bearer sc_at_one"),
        (b"accept", b"*/*"),
    ]
    assert known.head.typed == "/mcp/tickets"


def test_all_connections_remember_within_one_budget_and_give_it_back() -> None:
    size = learned()._held[0].size
    budget = HeadBudget(3 * size)
    crowd = [FamiliarHeads(budget) for _ in range(5)]
    message = Reading(whole()).messages[0]

    for heads in crowd:
        learn(heads, whole(), message["headers"])
    assert [len(heads._held) for heads in crowd] == [1, 1, 1, 0, 0]

    crowd[0].forget()
    assert budget.left == size
    for _ in range(2):
        learn(crowd[4], whole(), message["headers"])
    assert [len(heads._held) for heads in crowd] == [0, 1, 1, 0, 1]


def test_a_head_is_remembered_for_what_it_takes_and_a_huge_one_never() -> None:
    assert learned()._held[0].size > 4096
    start = START + b"x: " + b"y" * 20_000 + b"\r\n"
    message = Reading(whole(start=start)).messages[0]
    heads = FamiliarHeads(HeadBudget())
    learn(heads, whole(start=start), message["headers"])

    assert heads._held == []


def test_a_connection_gives_back_what_it_forgets_for_newer_heads() -> None:
    budget = HeadBudget()
    heads, before = FamiliarHeads(budget), budget.left
    for number in range(50):
        start = START + b"x: %d\r\n" % (number % 10)
        message = Reading(whole(start=start)).messages[0]
        learn(heads, whole(start=start), message["headers"])
    assert before - budget.left == sum(each.size for each in heads._held)

    heads.forget()
    assert budget.left == before
