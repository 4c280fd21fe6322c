"""What has arrived reaches the parser whole and in order, and never two requests at a time."""

from __future__ import annotations

import itertools
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.app.intake import Intake
from safeconduct.app.openings import length_of

HEAD = b"POST /mcp HTTP/1.1\r\nhost: a.test\r\n"
REQUESTS = [
    b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    b"\r\n\r\nGET /blank HTTP/1.1\r\nhost: a\r\n\r\n",
    HEAD + b"content-length: 0\r\n\r\n",
    HEAD + b"content-length: 9\r\n\r\n\r\n\r\nGET /",
    HEAD + b"Content-Length:  4 \r\n\r\n\r\n\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\n1;x=y\r\nz\r\n000\r\ntrailer: t\r\n\r\n",
]


class Reader:
    """Feeds a parser from an intake, one piece at a time, as a connection does."""

    def __init__(self) -> None:
        self.intake = Intake()
        self.begun = self.whole = 0
        self.lines: list[bytes] = []
        self.pieces: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._parser: Any = httptools.HttpRequestParser(self)

    def read(self, data: bytes) -> None:
        self.intake.add(data)
        while self.intake:
            begun, whole = self.begun, self.whole
            piece = self.intake.take()
            self.pieces.append(piece)
            self._parser.feed_data(piece)
            assert self.begun <= begun + 1
            assert self.whole <= whole + 1
            if self.whole > whole:
                assert self.begun == self.whole, "the piece reached into the next request"
                assert self.intake.is_between

    def on_message_begin(self) -> None:
        self.begun += 1
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.lines.append(self.intake.opening())
        self.intake.expect(length_of(self._headers))

    def on_message_complete(self) -> None:
        self.whole += 1
        self.intake.over()


@given(
    chosen=st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 500), max_size=8),
)
def test_no_piece_reaches_into_the_next_request(chosen: list[bytes], cuts: list[int]) -> None:
    """However they are cut on the way, requests are parsed one by one."""
    data, reader = b"".join(chosen), Reader()
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})

    for start, end in itertools.pairwise(places):
        reader.read(data[start:end])

    assert b"".join(reader.pieces) == data
    assert reader.begun == reader.whole == len(chosen)
    assert reader.lines == [each.lstrip(b"\r\n").partition(b"\r\n")[0] for each in chosen]


@pytest.mark.parametrize("request_bytes", REQUESTS)
def test_every_byte_may_come_alone(request_bytes: bytes) -> None:
    reader = Reader()
    for place in range(3 * len(request_bytes)):
        reader.read((request_bytes * 3)[place : place + 1])

    assert reader.whole == 3


def test_what_waits_is_counted() -> None:
    intake = Intake()
    intake.add(REQUESTS[0] * 3)

    assert intake.take() == REQUESTS[0]
    intake.over()

    assert len(intake) == 2 * len(REQUESTS[0])
    assert intake.is_between
