"""Records that may come a little later: written with the next one, or when the turn ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from safeconduct.audit import AuditUnavailable, Event, Trail, segments, verify
from safeconduct.audit.record import MAX_RECORD_BYTES
from safeconduct.audit.trail import MOST_WAITING
from safeconduct.core.clock import ManualClock
from safeconduct.core.errors import Code, GatewayError
from tests.audit.events import call, files_limited_to, only_segment, written
from tests.audit.test_durability import Disk
from tests.fixtures.keys import ROOT_KEY


def outcome(number: int) -> Event:
    return call(number, kind="call.outcome")


def names(directory: Path) -> list[str]:
    """Say what is in the files: the number of each call, `o` before it for its outcome."""
    short = {"call.intent": "", "call.outcome": "o", "audit.recovered": "recovered"}
    return [
        short[record["kind"]] + record.get("resource", "").removeprefix("search_")
        for record in written(directory)
    ]


def note_and_never_end_the_turn(trail: Trail, event: Event) -> None:
    async def stops() -> None:
        trail.note(event)
        raise KeyboardInterrupt

    loop = asyncio.new_event_loop()
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(stops())
    loop.close()


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many lines each write brought."""
    seen: list[int] = []
    write = os.write

    def counted(fd: int, data: bytes) -> int:
        seen.append(data.count(b"\n"))
        return write(fd, data)

    monkeypatch.setattr(os, "write", counted)
    return seen


async def test_what_is_noted_goes_before_the_next_record_and_in_the_same_write(
    trail: Trail, directory: Path, writes: list[int]
) -> None:
    trail.append(call(1))
    trail.note(outcome(1))
    trail.note(outcome(2))
    identifier = trail.append(call(3))

    assert names(directory) == ["1", "o1", "o2", "3"]
    assert writes == [1, 3]
    assert written(directory)[-1]["id"] == identifier
    assert verify(directory).problems == ()


async def test_an_appended_record_is_there_when_append_returns(
    trail: Trail, directory: Path, writes: list[int]
) -> None:
    for number in range(3):
        trail.append(call(number))
        assert names(directory)[-1] == str(number)
    assert writes == [1, 1, 1]


async def test_what_is_noted_is_written_at_the_end_of_the_turn_before_what_follows(
    trail: Trail, directory: Path, writes: list[int]
) -> None:
    seen: list[list[str]] = []
    for turn in (1, 2):
        trail.note(outcome(turn))
        trail.note(outcome(turn))
        assert len(written(directory)) == 2 * turn - 2
        asyncio.get_running_loop().call_soon(lambda: seen.append(names(directory)))
        await asyncio.sleep(0)

    assert seen == [["o1", "o1"], ["o1", "o1", "o2", "o2"]]
    assert writes == [2, 2]
    assert verify(directory).problems == ()


async def test_a_turn_goes_on_to_write_what_is_noted_after_a_record(
    trail: Trail, directory: Path
) -> None:
    trail.note(outcome(1))
    trail.append(call(2))
    trail.note(outcome(2))
    await asyncio.sleep(0)

    assert names(directory) == ["o1", "2", "o2"]


def test_without_a_loop_what_is_noted_is_written_at_once(trail: Trail, directory: Path) -> None:
    trail.note(outcome(1))

    assert names(directory) == ["o1"]


async def test_a_thread_without_a_loop_writes_what_waits_too(
    trail: Trail, directory: Path, writes: list[int]
) -> None:
    trail.note(outcome(1))
    other = threading.Thread(target=trail.note, args=(outcome(2),))
    other.start()
    other.join()

    assert names(directory) == ["o1", "o2"]
    assert writes == [2]


def test_a_loop_that_never_finished_its_turn_holds_up_no_other(
    trail: Trail, directory: Path
) -> None:
    note_and_never_end_the_turn(trail, outcome(1))

    async def goes_on() -> None:
        trail.note(outcome(2))
        await asyncio.sleep(0)

    asyncio.run(goes_on())
    assert names(directory) == ["o1", "o2"]


async def test_a_record_tells_when_it_was_noted(
    trail: Trail, directory: Path, clock: ManualClock
) -> None:
    trail.note(outcome(1))
    clock.advance(timedelta(milliseconds=3))
    trail.append(call(2))

    assert [record["ts"] for record in written(directory)] == [
        "2026-11-21T12:00:00.000000Z",
        "2026-11-21T12:00:00.003000Z",
    ]


async def test_closing_and_asking_write_what_was_noted(directory: Path, clock: ManualClock) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    trail.note(outcome(1))
    assert trail.available()
    assert names(directory) == ["o1"]

    trail.note(outcome(2))
    trail.close()
    assert names(directory) == ["o1", "o2"]
    assert f'"n":2,"head":"{written(directory)[1]["hash"]}"' in (directory / "0.head").read_text()


@pytest.mark.parametrize("how", ["durable", "settled"])
async def test_what_was_noted_is_on_the_disk_with_what_was_appended(
    directory: Path, clock: ManualClock, how: str
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, durability="disk")
    trail.open()
    trail.note(outcome(1))
    waiting = getattr(trail, how)()
    waiting.send(None)  # as far as it goes in this turn
    assert names(directory) == ["o1"]

    waiting.close()
    await asyncio.wait_for(trail.durable(), 10)
    assert '"n":1,' in (directory / "0.head").read_text()
    trail.close()


@pytest.mark.parametrize("fits", [0, 1.5, 2.5], ids=["nothing", "a part", "all but the intent"])
async def test_of_a_write_that_fails_nothing_is_kept_and_all_of_it_is_counted(
    trail: Trail, directory: Path, fits: float
) -> None:
    trail.append(call(0))
    size = only_segment(directory).stat().st_size
    trail.note(outcome(1))
    trail.note(outcome(2))
    with files_limited_to(size + int(size * fits)), pytest.raises(AuditUnavailable):
        trail.append(call(3))
    assert only_segment(directory).stat().st_size == size

    trail.append(call(4))
    await asyncio.sleep(0)
    assert names(directory) == ["0", "recovered", "4"]
    assert written(directory)[1]["detail"] == {"refused": 3}
    assert [record["n"] for record in written(directory)] == [1, 2, 3]
    assert verify(directory).problems == ()


async def test_what_fails_at_the_end_of_a_turn_is_counted_and_the_next_is_told_at_once(
    trail: Trail, directory: Path
) -> None:
    with files_limited_to(0):
        trail.note(outcome(1))
        trail.note(outcome(2))
        await asyncio.sleep(0)
        assert not trail.available()
        with pytest.raises(AuditUnavailable):
            trail.note(outcome(3))
        with pytest.raises(AuditUnavailable):
            trail.append(call(4))

    assert trail.available()
    trail.note(outcome(5))
    await asyncio.sleep(0)
    assert names(directory) == ["recovered", "o5"]
    assert written(directory)[0]["detail"] == {"refused": 4}
    assert verify(directory).problems == ()


async def test_waiting_for_the_disk_fails_with_what_was_noted(
    trail: Trail, directory: Path
) -> None:
    trail.note(outcome(1))
    with files_limited_to(0), pytest.raises(AuditUnavailable):
        await trail.durable()

    assert trail.available()
    assert written(directory)[0]["detail"] == {"refused": 1}


async def test_closing_on_a_full_disk_gives_up_what_was_noted(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    trail.note(outcome(1))
    with files_limited_to(0):
        trail.close()
    await asyncio.sleep(0)

    assert not trail.available()
    assert names(directory) == []
    with pytest.raises(AuditUnavailable):
        trail.note(outcome(2))


def test_what_others_note_while_the_trail_is_closed_is_written(
    directory: Path, clock: ManualClock
) -> None:
    late: list[Event] = []

    def sync(_fd: int) -> None:
        if late:
            note_and_never_end_the_turn(trail, late.pop())

    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, sync=sync)
    trail.open()
    trail.append(call(1))
    late.append(outcome(1))
    trail.close()

    assert names(directory) == ["1", "o1"]


async def test_what_waits_while_a_sync_fails_goes_to_the_next_segment(
    directory: Path, clock: ManualClock
) -> None:
    disk = Disk()
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, sync=disk.sync)
    trail.open()
    trail.append(call(1))
    disk.free.clear()
    disk.failing = True
    syncing = asyncio.create_task(trail.durable())
    await asyncio.wait([syncing], timeout=0.05)
    trail.note(outcome(1))
    disk.free.set()
    trail._group.stop()  # in this turn: the sync fails while the outcome waits
    clock.advance(timedelta(seconds=1))
    trail.append(call(2))
    with pytest.raises(AuditUnavailable):
        await syncing
    disk.failing = False
    trail.close()

    assert names(directory) == ["1", "recovered", "o1", "2"]
    assert written(directory)[1]["detail"] == {"sync": "Input/output error"}
    instants = [record["ts"] for record in written(directory)]
    assert instants == sorted(instants)
    assert len(segments(directory)) == 2
    assert verify(directory).problems == ()


async def test_a_joined_write_begins_a_new_segment_as_a_whole(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, segment_bytes=2000)
    trail.open()
    for number in range(12):
        trail.note(outcome(number))
        trail.append(call(number))
    trail.close()

    whole = [
        [line["kind"] for line in map(json.loads, file.path.read_text().splitlines())]
        for file in segments(directory)
    ]
    assert len(whole) > 3
    assert all(kinds[::2] == ["call.outcome"] * (len(kinds) // 2) for kinds in whole)
    assert all(file.path.stat().st_size <= 2000 for file in segments(directory))
    assert verify(directory).problems == ()


async def test_no_more_than_so_many_wait_for_the_end_of_a_turn(
    trail: Trail, directory: Path, writes: list[int]
) -> None:
    for number in range(MOST_WAITING + 1):
        trail.note(outcome(number))

    assert len(written(directory)) == MOST_WAITING
    assert writes == [MOST_WAITING]
    with files_limited_to(0), pytest.raises(AuditUnavailable):
        trail.append(call())
    assert len(trail._waiting) == 0


async def test_an_event_that_is_refused_for_itself_leaves_those_before_it_alone(
    trail: Trail, directory: Path
) -> None:
    trail.note(outcome(1))
    for write in (trail.append, trail.note):
        with pytest.raises(GatewayError) as refused:
            write(call(user_agent="x" * 300_000))
        assert refused.value.code is Code.TOO_LARGE
        with pytest.raises(TypeError):
            write(call(detail={"object": object()}))
    await asyncio.sleep(0)

    assert names(directory) == ["o1"]
    assert trail.available()


@pytest.mark.parametrize("length", [MAX_RECORD_BYTES - 700, MAX_RECORD_BYTES])
def test_no_record_is_longer_than_records_may_be(
    trail: Trail, directory: Path, length: int
) -> None:
    for cut in range(0, 700, 50):
        with contextlib.suppress(GatewayError):
            trail.append(call(user_agent="x" * (length - cut)))

    lines = only_segment(directory).read_bytes().splitlines(keepends=True)
    assert all(len(line) <= MAX_RECORD_BYTES for line in lines)
    assert bool(lines)


def test_loops_in_several_threads_write_one_chain(trail: Trail, directory: Path) -> None:
    async def calls(first: int) -> list[str]:
        ids = []
        for number in range(first, first + 50):
            ids.append(trail.append(call(number)))
            trail.note(outcome(number))
            if number % 3:
                await asyncio.sleep(0)
        return ids

    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda first: asyncio.run(calls(first)), range(0, 400, 50))
        ids = [name for part in found for name in part]

    kept = {record["id"]: record["resource"] for record in written(directory)}
    assert [kept[name] for name in ids] == [f"search_{number}" for number in range(400)]
    assert sorted(names(directory)) == sorted(
        name for number in range(400) for name in (f"{number}", f"o{number}")
    )
    assert verify(directory).problems == ()
