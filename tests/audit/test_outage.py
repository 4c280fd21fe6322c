from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest

from safeconduct.audit import AuditUnavailable, Trail
from safeconduct.audit.outage import Outage
from safeconduct.core.space import Room, spelled_bytes
from tests.audit.events import call, files_limited_to

FULL = OSError(errno.ENOSPC, "No space left on device")


def test_a_trail_that_cannot_be_written_is_said_once_and_when_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage(tmp_path, needed_bytes=1)

    for _ in range(1000):
        outage.goes_on(FULL, 1)
    outage.is_over()
    outage.is_over()

    first, last = caplog.records
    assert (first.levelno, last.levelno) == (logging.ERROR, logging.WARNING)
    assert "No space left on device" in first.getMessage()
    assert "1000 refused records" in last.getMessage()
    assert outage.refused == 1000
    assert outage.sentence() == ""


def test_each_outage_counts_its_own_records(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage(tmp_path, needed_bytes=1)
    for count in (5, 2):
        outage.goes_on(FULL, count)
        outage.is_over()

    assert "2 refused records" in caplog.records[-1].getMessage()
    assert outage.refused == 7


def test_what_is_missing_is_said_in_units_people_read() -> None:
    assert str(Room(free=0, needed=64 * 1024 * 1024)) == (
        "0 B free of the 64.0 MiB it needs, so 64.0 MiB missing"
    )
    assert str(Room(free=3 * 1024**3, needed=64)) == "3.0 GiB free"
    assert [spelled_bytes(n) for n in (1023, 1024, 1536, 1024**5)] == [
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "1024.0 TiB",
    ]


def test_a_trail_says_why_it_cannot_be_written_until_it_can(trail: Trail) -> None:
    assert trail.problem() == ""
    with files_limited_to(0):
        with pytest.raises(AuditUnavailable):
            trail.append(call())
        assert trail.problem() == "File too large"
    assert trail.problem() == ""
    assert trail.outage.refused == 1
    trail.close()
    assert trail.problem() == "it is not open"


def test_a_disk_with_room_for_little_more_than_a_note_is_full(tmp_path: Path) -> None:
    outage = Outage(tmp_path, needed_bytes=64)
    assert outage.sentence() == ""
    room = outage.room()
    assert room is not None
    assert room.free > 0
    assert Outage(tmp_path / "gone", needed_bytes=64).room() is None
