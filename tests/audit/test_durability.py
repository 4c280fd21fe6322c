from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from safeconduct.audit import AuditUnavailable, Trail, segments, verify
from safeconduct.core.clock import ManualClock
from tests.audit.events import call, files_limited_to, only_segment, written
from tests.fixtures.keys import ROOT_KEY


class Disk:
    """Takes what is synced, fails when told to, and waits when told to."""

    def __init__(self) -> None:
        self.syncs = 0
        self.failing = False
        self.free = threading.Event()
        self.free.set()

    def sync(self, fd: int) -> None:
        assert self.free.wait(10)
        self.syncs += 1
        if self.failing:
            raise OSError(errno.EIO, "Input/output error")
        os.fdatasync(fd)


async def test_durable_returns_when_the_disk_has_it_and_the_head_says_so(
    directory: Path, clock: ManualClock
) -> None:
    disk = Disk()
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, sync=disk.sync)
    trail.open()
    disk.free.clear()
    trail.append(call())
    waiting = asyncio.create_task(trail.durable())
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done

    disk.free.set()
    await asyncio.wait_for(waiting, 10)
    assert f'"n":1,"head":"{written(directory)[0]["hash"]}"' in (directory / "0.head").read_text()
    trail.close()


async def test_those_who_wait_share_a_sync(directory: Path, clock: ManualClock) -> None:
    disk = Disk()
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, sync=disk.sync)
    trail.open()

    async def one(number: int) -> None:
        trail.append(call(number))
        await trail.durable()

    before = disk.syncs
    disk.free.clear()
    calls = [asyncio.create_task(one(number)) for number in range(500)]
    await asyncio.wait(calls, timeout=0.05)
    disk.free.set()
    await asyncio.wait_for(asyncio.gather(*calls), 30)
    assert 1 <= disk.syncs - before <= 3
    assert trail._group._waiters == []
    trail.close()


@pytest.mark.parametrize(
    ("durability", "critical", "waits"),
    [("process", False, False), ("process", True, True), ("disk", False, True)],
)
async def test_settled_waits_for_the_disk_where_it_was_asked_to(
    directory: Path, clock: ManualClock, durability: str, critical: bool, waits: bool
) -> None:
    disk = Disk()
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, durability=durability, sync=disk.sync)  # type: ignore[arg-type]  # parametrised
    trail.open()
    disk.free.clear()
    trail.append(call())
    settling = asyncio.create_task(trail.settled(critical=critical))
    done, _ = await asyncio.wait([settling], timeout=0.05 if waits else 10)
    assert bool(done) is not waits

    disk.free.set()
    await asyncio.wait_for(settling, 10)
    trail.close()


async def test_a_sync_that_failed_refuses_those_who_wait_and_the_next_record_goes_elsewhere(
    directory: Path, clock: ManualClock
) -> None:
    disk = Disk()
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, sync=disk.sync)
    trail.open()
    trail.append(call(1))
    disk.failing = True
    with pytest.raises(AuditUnavailable):
        await asyncio.wait_for(trail.durable(), 10)

    # The kernel reports a lost page once; asking again must not turn into a yes.
    disk.failing = False
    with pytest.raises(AuditUnavailable):
        await asyncio.wait_for(trail.durable(), 10)

    trail.append(call(2))
    await asyncio.wait_for(trail.durable(), 10)
    trail.close()

    assert [record["kind"] for record in written(directory)] == [
        "call.intent",
        "audit.recovered",
        "call.intent",
    ]
    assert written(directory)[1]["detail"] == {"sync": "Input/output error"}
    assert len(segments(directory)) == 2
    assert verify(directory).problems == ()


async def test_asking_whether_records_can_be_written_refuses_none(
    directory: Path, clock: ManualClock
) -> None:
    disk = Disk()
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY, sync=disk.sync)
    trail.open()
    disk.failing = True
    trail.append(call(1))
    with pytest.raises(AuditUnavailable):
        await asyncio.wait_for(trail.durable(), 10)
    disk.failing = False
    with files_limited_to(0):
        assert not trail.available()

    assert trail.available()
    assert written(directory)[-1]["detail"] == {"sync": "Input/output error"}
    trail.close()


async def test_waiting_for_the_disk_after_closing_is_refused(
    directory: Path, clock: ManualClock
) -> None:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    trail.close()
    with pytest.raises(AuditUnavailable):
        await asyncio.wait_for(trail.durable(), 10)


async def test_a_segment_removed_while_it_is_written_is_noticed(
    trail: Trail, directory: Path
) -> None:
    trail.append(call(1))
    only_segment(directory).unlink()
    with pytest.raises(AuditUnavailable):
        await asyncio.wait_for(trail.durable(), 10)

    trail.append(call(2))
    await asyncio.wait_for(trail.durable(), 10)
    assert [record["kind"] for record in written(directory)] == ["audit.recovered", "call.intent"]
    assert [problem.kind for problem in verify(directory).problems] == ["missing_start"]
