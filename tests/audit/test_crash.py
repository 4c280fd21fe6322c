from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from safeconduct.audit import Trail, verify
from safeconduct.core.clock import ManualClock
from tests.audit.events import CHILD_ENVIRONMENT, call, written
from tests.fixtures.keys import ROOT_KEY


def child(mode: str, directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.audit.child", mode, str(directory)],
        stdout=subprocess.PIPE,
        env=CHILD_ENVIRONMENT,
    )


@pytest.mark.requirement("L-01", "L-16")
def test_no_acknowledged_record_is_lost_when_the_process_is_killed(directory: Path) -> None:
    acknowledged: list[str] = []
    for kill_after in (1, 700, 1900):
        with child("append", directory) as process:
            assert process.stdout is not None
            ids = [process.stdout.readline().decode().strip() for _ in range(kill_after)]
            process.kill()  # SIGKILL: nothing in the child runs after this
            ids += process.stdout.read().decode().split("\n")[:-1]
        acknowledged += ids

    kept = {record["id"] for record in written(directory)}
    assert len(acknowledged) >= 2601
    assert [name for name in acknowledged if name not in kept] == []

    trail = Trail(directory, clock=ManualClock(), root_key=ROOT_KEY)
    trail.open()
    trail.append(call())
    trail.close()
    assert verify(directory).problems == ()


@pytest.mark.requirement("L-01", "L-16")
def test_a_process_that_is_killed_may_lose_the_outcomes_of_a_turn_and_no_intent(
    directory: Path,
) -> None:
    with child("answer", directory) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().decode().strip() for _ in range(1000)]
        process.kill()
        acknowledged += process.stdout.read().decode().split("\n")[:-1]

    records = written(directory)
    intents = [record["id"] for record in records if record["kind"] == "call.intent"]
    outcomes = [record["of"] for record in records if record["kind"] == "call.outcome"]
    assert set(acknowledged) <= set(intents)
    assert outcomes == intents[: len(outcomes)]
    assert len(intents) - len(outcomes) <= 4

    trail = Trail(directory, clock=ManualClock(), root_key=ROOT_KEY)
    trail.open()
    trail.close()
    assert verify(directory).problems == ()


@pytest.mark.requirement("L-16")
def test_a_full_disk_refuses_and_space_brings_the_trail_back_by_itself(directory: Path) -> None:
    """The file size limit falls inside a record, so the kernel writes a part of it."""
    with child("fill", directory) as process:
        assert process.stdout is not None
        seen = json.loads(process.stdout.read())

    assert seen == {"refused": 3, "full": {"available": False, "left": 0}, "again": True}
    assert [record["kind"] for record in written(directory)] == [
        "call.intent",
        "audit.recovered",
        "call.intent",
    ]
    assert written(directory)[1]["detail"] == {"refused": 3}
    assert verify(directory).problems == ()
