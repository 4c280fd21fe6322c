from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeconduct.audit import Event, Link, Trail, read, segments, verify
from safeconduct.audit.heads import HeadKey, read_head
from safeconduct.audit.record import Stamper, stamp
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import HostId
from tests.audit.events import call, written
from tests.fixtures.keys import ROOT_KEY

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.builds(
    Event,
    kind=TEXT,
    host=TEXT.map(HostId),
    subject_email=TEXT,
    resource=TEXT,
    arguments=st.dictionaries(TEXT, TEXT, max_size=3),
    facts=st.dictionaries(TEXT, JSON, max_size=3),
    upstream_status=st.none() | st.integers(100, 599),
    user_agent=st.none() | TEXT,
)
MEMBERS = ("kind", "host", "subject_email", "resource", "arguments", "facts", "user_agent")


def record_all(directory: Path, events: list[Event]) -> None:
    trail = Trail(directory, clock=ManualClock(), root_key=ROOT_KEY, segment_bytes=1500)
    trail.open()
    for event in events:
        trail.append(event)
    trail.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=4))
def test_any_event_reads_back_as_it_was(events: list[Event]) -> None:
    with TemporaryDirectory() as name:
        record_all(Path(name), events)
        for kept in (written(Path(name)), list(read(Path(name)))):
            assert [[record.get(member) for member in MEMBERS] for record in kept] == [
                [getattr(event, member) for member in MEMBERS] for event in events
            ]
        assert verify(Path(name)).problems == ()


@pytest.mark.slow
@pytest.mark.requirement("L-16")
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_single_changed_byte_is_found(data: st.DataObject) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        record_all(directory, data.draw(st.lists(EVENTS, min_size=1, max_size=4)))
        path = data.draw(st.sampled_from([*segments(directory)])).path
        if data.draw(st.booleans()):
            path = directory / "0.head"
        raw = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(raw)

        assert verify(directory, root_key=ROOT_KEY).problems != ()


@pytest.mark.parametrize(
    "hostile",
    [
        'a"\n{"v":1}\r\n',
        "\x00\x1b[2J\x07",
        "\x7f\x85\x9b31m",
        "\u2028\u2029",
        "\u202egpj.exe",
        "\u2066\u200f\ufeff",
        '","hash":"' + "0" * 64 + '"}',
    ],
)
def test_hostile_text_stays_on_its_line_and_prints_safely(tmp_path: Path, hostile: str) -> None:
    event = call(
        user_agent=hostile, reason="gr\u00fc\u00df \U0001f600", detail={hostile: [hostile]}
    )
    record_all(tmp_path, [event, call(2)])

    text = b"".join(file.path.read_bytes() for file in segments(tmp_path)).decode()
    assert len(text.splitlines()) == 2
    assert all(character.isprintable() or character == "\n" for character in text)
    first = written(tmp_path)[0]
    assert (first["user_agent"], first["detail"]) == (hostile, {hostile: [hostile]})
    assert first["reason"] == "gr\u00fc\u00df \U0001f600"
    assert verify(tmp_path).problems == ()


def test_the_delete_character_alone_is_escaped_too(tmp_path: Path) -> None:
    record_all(tmp_path, [call(user_agent="a\x7fb")])

    assert b"\x7f" not in segments(tmp_path)[0].path.read_bytes()
    assert written(tmp_path)[0]["user_agent"] == "a\x7fb"


def test_half_a_surrogate_pair_is_written_as_visible_text(tmp_path: Path) -> None:
    record_all(tmp_path, [call(user_agent="a\ud800b", detail={"\udfff": ["\ud800", 1]})])

    (record,) = read(tmp_path)
    assert record["user_agent"] == "a\\ud800b"
    assert record["detail"] == {"\\udfff": ["\\ud800", 1]}
    assert verify(tmp_path).problems == ()


def test_instants_sort_as_their_texts_do() -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)

    assert stamp(noon) == "2026-11-21T12:00:00.000000Z"
    assert stamp(noon.astimezone(timezone(timedelta(hours=-5)))) == stamp(noon)
    assert stamp(noon) < stamp(noon + timedelta(microseconds=1)) < stamp(noon + timedelta(1))
    with pytest.raises(ValueError, match="time zone"):
        stamp(noon.replace(tzinfo=None))


@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  hypothesis wants its bounds without a zone
def test_the_stamper_spells_the_clock_exactly(moment: datetime) -> None:
    clock = ManualClock(moment)
    stamper = Stamper(clock)
    assert stamper.now() == stamp(moment)
    clock.advance(timedelta(seconds=-1, microseconds=7))
    assert stamper.now() == stamp(moment + timedelta(seconds=-1, microseconds=7))


def test_a_head_is_read_only_as_it_was_written() -> None:
    link = Link(chain="c", n=7, hash="a" * 64)
    raw = HeadKey(ROOT_KEY).line("0", link)
    head = read_head(raw)

    assert head is not None
    assert (head.link, head.idle) == (link, False)
    assert HeadKey(ROOT_KEY).fits("0", head)
    assert json.loads(raw)["head"] == "a" * 64
    assert read_head(raw + b" ") is None
    assert read_head(raw[:-1]) is None
    assert read_head(raw.replace(b'"v":2', b'"v":1')) is None


def test_the_seal_of_a_head_is_of_this_text_this_writer_and_this_key() -> None:
    raw = HeadKey(ROOT_KEY).line("0", Link(chain="c", n=7, hash="a" * 64))
    head, other = read_head(raw), read_head(raw.replace(b'"n":7', b'"n":8'))

    assert head is not None
    assert other is not None
    assert HeadKey(ROOT_KEY).fits("0", head)
    assert not HeadKey(ROOT_KEY).fits("0", other)
    assert not HeadKey(ROOT_KEY).fits("1", head)
    assert not HeadKey(b"x" * 32).fits("0", head)
