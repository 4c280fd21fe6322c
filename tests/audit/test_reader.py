from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from safeconduct.audit import Tail, Trail, follow, latest, read, segments
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import HostId
from tests.audit.events import call, only_segment
from tests.fixtures.keys import ROOT_KEY


def names(records: Any) -> list[str]:
    return [record["resource"] for record in records]


@pytest.mark.requirement("L-07")
@pytest.mark.parametrize(
    ("member", "wanted", "neighbour"),
    [
        ("kind", "call.denied", "call.intent"),
        ("host", "acme", "acme2"),
        ("subject", "p_alice", "p_alice2"),
        ("client", "cli_1", "cli_10"),
        ("server", "tickets", "ticket"),
        ("decision", "deny", "allow"),
    ],
)
def test_a_filter_keeps_what_fits_exactly(
    trail: Trail, directory: Path, member: str, wanted: str, neighbour: str
) -> None:
    trail.append(call(1, **{member: wanted}))
    trail.append(call(2, **{member: neighbour}))
    if member not in ("kind", "host"):
        trail.append(call(3, **{member: None}))  # type: ignore[arg-type]  # parametrised

    assert names(read(directory, **{member: wanted})) == ["search_1"]  # type: ignore[arg-type]  # parametrised


@pytest.mark.requirement("L-07")
def test_since_is_included_and_until_is_not(
    trail: Trail, directory: Path, clock: ManualClock
) -> None:
    start = clock.now()
    for number in range(4):
        trail.append(call(number))
        clock.advance(timedelta(seconds=1))

    chosen = read(directory, since=start + timedelta(seconds=1), until=start + timedelta(seconds=3))
    assert names(chosen) == ["search_1", "search_2"]


def test_filters_hold_together(trail: Trail, directory: Path) -> None:
    trail.append(call(1, host="acme", decision="deny"))
    trail.append(call(2, host="acme", decision="allow"))
    trail.append(call(3, host="other", decision="deny"))

    assert names(read(directory, host=HostId("acme"), decision="deny")) == ["search_1"]


@pytest.mark.requirement("L-19")
def test_a_host_never_reads_another_hosts_records(trail: Trail, directory: Path) -> None:
    hosts = ["acme", "Acme", "acme ", "acme\x00", "acme\n", "", "other"]
    for number, host in enumerate(hosts):
        trail.append(call(number, host=host, detail={"host": "acme"}))

    for number, host in enumerate(hosts):
        assert names(read(directory, host=HostId(host))) == [f"search_{number}"]
        assert names(latest(directory, host=HostId(host))) == [f"search_{number}"]
    assert len(list(read(directory))) == len(hosts)


def test_an_unknown_filter_is_an_error_and_not_everything(directory: Path) -> None:
    directory.mkdir()
    with pytest.raises(TypeError):
        read(directory, hots="acme")  # type: ignore[call-arg]  # the mistake under test


def test_an_instant_without_a_zone_is_an_error(trail: Trail, directory: Path) -> None:
    trail.append(call())
    with pytest.raises(ValueError, match="time zone"):
        list(read(directory, since=ManualClock().now().replace(tzinfo=None)))


@pytest.mark.requirement("L-02")
def test_the_writers_are_merged_in_order_of_time(directory: Path, clock: ManualClock) -> None:
    writers = [
        Trail(directory, clock=clock, root_key=ROOT_KEY, writer=str(slot), segment_bytes=900)
        for slot in range(3)
    ]
    for writer in writers:
        writer.open()
    for number in range(12):
        writers[number * 7 % 3].append(call(number))
        clock.advance(timedelta(milliseconds=1))
    for writer in writers:
        writer.close()

    assert len(segments(directory)) > 3
    calls = {"kind": "call.intent"}  # the writers also name each other's heads
    assert names(read(directory, **calls)) == [f"search_{number}" for number in range(12)]
    assert names(read(directory, limit=2, **calls)) == ["search_0", "search_1"]
    assert names(latest(directory, limit=2, **calls)) == ["search_10", "search_11"]


@pytest.mark.requirement("L-07")
def test_a_query_is_capped_unless_it_asks_for_more(trail: Trail, directory: Path) -> None:
    for number in range(10_001):
        trail.append(call(number))

    assert sum(1 for _ in read(directory)) == 10_000
    assert sum(1 for _ in read(directory, limit=None)) == 10_001


def test_reading_skips_what_is_no_record(trail: Trail, directory: Path) -> None:
    trail.append(call(1))
    path = only_segment(directory)
    whole = path.read_bytes()
    path.write_bytes(b"\xff\n[]\n{}\n" + b"{" * 100_000 + b"\n" + whole + whole[:-1])

    assert names(read(directory)) == ["search_1"]


async def test_following_yields_what_is_written_from_now_on(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, segment_bytes=900)
    trail.open()
    trail.append(call(0))
    coming = follow(directory, poll_seconds=0.01, host=HostId("acme"))
    for number in range(1, 7):
        trail.append(call(number, host="acme" if number % 2 else "other"))

    assert names(await take(coming, 3)) == ["search_1", "search_3", "search_5"]

    later = asyncio.create_task(take(coming, 1))
    trail.append(call(7))
    assert names(await asyncio.wait_for(later, 10)) == ["search_7"]
    trail.close()


async def take(records: AsyncIterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [await asyncio.wait_for(anext(records), 10) for _ in range(count)]


def test_a_tail_gives_every_record_once_and_continues_where_it_was(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, segment_bytes=5000)
    trail.open()
    tail, seen = Tail(directory), []
    for number in range(3000):
        trail.append(call(number))
        if number % 100 == 0:
            seen += tail.poll()
            tail = Tail(directory, positions=tail.positions)
    while found := tail.poll():
        seen += found
    trail.close()

    assert names(record for _, record in seen) == [f"search_{number}" for number in range(3000)]


def test_a_tail_waits_for_the_end_of_a_line(trail: Trail, directory: Path) -> None:
    trail.append(call(1))
    path = only_segment(directory)
    whole = path.read_bytes()
    tail = Tail(directory)
    path.write_bytes(whole + whole[:50])

    assert names(record for _, record in tail.poll()) == ["search_1"]
    assert tail.poll() == []
    assert Tail.at_end(directory).positions == tail.positions
    path.write_bytes(whole + whole)
    assert names(record for _, record in tail.poll()) == ["search_1"]


def test_a_tail_forgets_segments_that_are_gone(trail: Trail, directory: Path) -> None:
    trail.append(call(1))
    tail = Tail(directory)
    tail.poll()
    only_segment(directory).rename(directory / "gone")

    assert tail.poll() == []
    assert tail.positions == {}
