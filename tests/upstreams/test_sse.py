"""Server-sent events: cut where readers cut them, whatever the chunks are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.upstreams import (
    EventTooLarge,
    Splitter,
    data_of,
    id_of,
    message_event,
    plain,
    with_data,
    with_id,
)

pytestmark = pytest.mark.requirement("GW-10")

_STREAMS = st.lists(
    st.sampled_from(
        [b"data: x", b"data:{}", b"id: 1", b": hi", b"data", b"\n", b"\r", b"\r\n", b"event: m"]
    ),
    max_size=30,
).map(b"".join)


def _split(stream: bytes, cuts: list[int]) -> tuple[list[bytes], bytes]:
    splitter = Splitter(limit=10_000)
    events: list[bytes] = []
    begin = 0
    for cut in [*sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]:
        events += splitter.feed(stream[begin:cut])
        begin = cut
    return events, stream[sum(map(len, events)) :]


@given(_STREAMS, st.lists(st.integers(0, 200), max_size=8))
def test_any_chunks_give_the_same_events_and_lose_no_byte(stream: bytes, cuts: list[int]) -> None:
    events, rest = _split(stream, cuts)

    assert events == _split(stream, [])[0]
    assert b"".join(events) + rest == stream


def _reader(stream: bytes) -> list[bytes]:
    """What the standard's own algorithm dispatches (WHATWG HTML, section 9.2.6)."""
    dispatched: list[bytes] = []
    data: list[bytes] = []
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for line in lines[:-1]:
        if not line:
            if data:
                dispatched.append(b"\n".join(data))
            data = []
        elif line == b"data" or line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
    return dispatched


@given(_STREAMS)
def test_we_see_the_data_that_a_reader_sees(stream: bytes) -> None:
    stream += b"\n\nx"  # whatever was open ends here, and what follows does not
    events, _ = _split(stream, [])

    seen = [data for event in events if (data := data_of(event)) is not None]

    assert seen == _reader(stream)


@pytest.mark.parametrize(
    "end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\n\r", b"\r\n\r"]
)
def test_every_pair_of_line_ends_ends_an_event(end: bytes) -> None:
    assert Splitter(limit=100).feed(b"data: 1" + end + b"data: 2" + end + b":") == [
        b"data: 1" + end,
        b"data: 2" + end,
    ]


def test_an_event_without_its_blank_line_is_not_handed_out() -> None:
    splitter = Splitter(limit=100)

    assert splitter.feed(b"data: 1\n") == []
    assert splitter.unfinished
    assert splitter.feed(b"\n") == [b"data: 1\n\n"]
    assert not splitter.unfinished


@pytest.mark.requirement("SEC-64")
def test_an_event_is_as_long_as_the_limit_and_no_longer() -> None:
    exactly = b"data: " + b"x" * 92 + b"\n\n"

    assert Splitter(limit=100).feed(exactly) == [exactly]
    with pytest.raises(EventTooLarge):
        Splitter(limit=99).feed(exactly)


@pytest.mark.requirement("SEC-64")
def test_an_event_that_never_ends_is_cut_off() -> None:
    splitter = Splitter(limit=100)
    splitter.feed(b"data: " + b"x" * 90)

    with pytest.raises(EventTooLarge):
        splitter.feed(b"x" * 10)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\n\n", b"{}"),
        (b"data:  {}\n\n", b" {}"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data\n\n", b""),
        (b"id: 7\nevent: message\ndata: x\nretry: 3\n\n", b"x"),
        (b"\xef\xbb\xbfdata: x\n\n", b"x"),
        (b": ping\n\n", None),
        (b"id: 7\n\n", None),
        (b"database: x\n\n", None),
        (b" data: x\n\n", None),
        (b"DATA: x\n\n", None),
    ],
)
def test_data_is_what_readers_take_for_data(event: bytes, data: bytes | None) -> None:
    assert data_of(event) == data


@pytest.mark.requirement("GW-07")
@pytest.mark.parametrize("first", [b"", b"\xef\xbb\xbf", b"id: 7\r\nevent: message\r\n"])
def test_replaced_data_leaves_nothing_of_the_old(first: bytes) -> None:
    event = with_data(first + b"data: old\r\ndata: older\r\nretry: 3\r\n\r\n", b'{"new":1}')

    assert data_of(event) == b'{"new":1}'
    assert b"old" not in event
    assert b"retry: 3" in event
    assert (b"id: 7" in event) == (b"id: 7" in first)
    assert Splitter(limit=1000).feed(event) == [event]


def test_new_data_cannot_end_its_event() -> None:
    for event in (
        with_data(b"data: old\n\n", b"one\n\ndata: two"),
        message_event(b"one\n\ndata: two"),
    ):
        assert Splitter(limit=1000).feed(event) == [event]
        assert data_of(event) == b"one  data: two"


@pytest.mark.parametrize(
    "event",
    [
        b"data: {}\n\n",
        b"data:{}\r\n\r\n",
        b"id: 7\r\nevent: message\r\ndata: {}\r\n\r\n",
        b"event: message\ndata: {}\n\n",
        'data: {"a": "\N{EM DASH}"}\n\n'.encode(),
        b"id: 7\ndata: \n\n",
    ],
)
def test_an_event_that_every_reader_takes_alike_stays_byte_for_byte(event: bytes) -> None:
    assert plain(event) is event


@pytest.mark.parametrize("end", [b"\r\r", b"\n\r", b"\r\n\r", b"\r\n\n"])
def test_a_plain_event_ends_where_every_reader_sees_its_end(end: bytes) -> None:
    assert plain(b"data: 1" + end).endswith(b"\n\n")


_LINES = st.lists(
    st.sampled_from(
        [
            *("data: 1", "data:2", " data: 3", "Data: 4", "data : 5", "data", "\ufeff"),
            *("id: 6", "id: 7\0", "id", "event: m", "event: m\x0bdata: 8", ": c"),
            *(": c\x1edata: 9", "foo: data: 10", "retry: 5", "retry: x"),
            *('data: "\u2028data: 11\u0085"', "event: \u2029data: 12"),
        ]
    ),
    max_size=5,
)


@given(_LINES, st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=6, max_size=6))
def test_every_reader_takes_a_plain_event_alike(lines: list[str], ends: list[str]) -> None:
    text = "".join(line + end for line, end in zip(lines, ends, strict=False))
    (event,) = Splitter(limit=10_000).feed(text.encode() + b"\n\n:\n")[:1]

    made = plain(event)

    data = data_of(event)
    wanted = [] if data is None else [data.decode().replace("\n", " ")]
    for end in "\N{NEXT LINE}\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}":
        wanted = [text.replace(end, f"\\u{ord(end):04x}") for text in wanted]
    assert _seen_by_the_lax(made) == [text.strip() for text in wanted]
    assert plain(made) == made
    assert Splitter(limit=10_000).feed(made) == [made]


def _seen_by_the_lax(event: bytes) -> list[str]:
    """What a reader takes that cuts as `str.splitlines` does and is lax about names."""
    parted = (line.partition(":") for line in event.decode().splitlines())
    return [value.strip() for name, _, value in parted if name.strip().lower() == "data"]


def _id_by_the_standard(event: bytes) -> bytes | None:
    """What a reader takes for an event's id (WHATWG HTML, section 9.2.6)."""
    found = None
    for line in event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"id":
            found = value.removeprefix(b" ")
    return found


_LINES = st.sampled_from(
    [b"id: 1", b"id:2", b"id", b"id:", b"idle: x", b"id : 3", b" id: 4", b"data: id: 5", b": id: 6",
     b"data:", b"event: m", b"id:  7"]
)  # fmt: skip
_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
_EVENTS = st.lists(st.tuples(_LINES, _ENDS), max_size=8).map(
    lambda lines: b"".join(line + end for line, end in lines) + b"\n"
)


@pytest.mark.slow
@pytest.mark.requirement("SEC-32")
@pytest.mark.parametrize(
    "beside",
    [b"", b"data: " + b"x" * 70_000 + b"\n", b"data: x\n" * 10_000],
    ids=["short", "few lines", "many lines"],
)
@given(event=_EVENTS)
def test_an_id_is_found_where_readers_find_it_and_replaced_alone(
    beside: bytes, event: bytes
) -> None:
    whole = beside + event
    found = id_of(whole)
    assert (None if found is None else found.value) == _id_by_the_standard(whole)
    if found is None:
        return

    other, without = with_id(whole, found, b"sealed"), with_id(whole, found, None)
    assert data_of(other) == data_of(without) == data_of(whole)
    assert _id_by_the_standard(other) == b"sealed"
    assert _id_by_the_standard(without) is None


def test_other_bytes_of_an_event_stay_as_they_are() -> None:
    event = b"\xef\xbb\xbfid: 1\rretry: 5\r: comment\revent:message\rdata: {}\r\r"
    found = id_of(event)

    assert found is not None
    assert with_id(event, found, b"x") == event.replace(b"id: 1", b"id: x")
    assert id_of(b"data: y\n\n") is None
