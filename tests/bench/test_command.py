"""The whole benchmark, short: real stub, real gateway, real token."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

COMMAND = "import typer; from safeconduct.bench import bench; typer.run(bench)"


@pytest.mark.slow
@pytest.mark.requirement("P-31")
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_short_run_finds_every_call_forwarded_once_and_recorded(era: str) -> None:
    arguments = ("--seconds", "0.5", "--connections", "4", "--rounds", "1", "--era", era, "--json")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(100):
        said, errors = await process.communicate()

    assert process.returncode == 0, errors.decode()
    found: dict[str, Any] = json.loads(said)
    assert all(found["exact"].values()), found
    assert found["arrived"] > 10
    governed = next(one for one in found["targets"] if one["name"] == "governed")
    assert governed["failed"] == 0
    assert len(found["budgets"]) == 4


async def test_nonsense_is_refused_before_anything_starts() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "--era", "future"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        _, errors = await process.communicate()

    assert process.returncode == 2
    assert b"future" in errors


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_others_are_still_served_beside_each_disturbance() -> None:
    """Times are for the command to judge, on a quiet machine; answers and the record for us."""
    arguments = ("neighbours", "--seconds", "0.5", "--json")
    beside = ("slow calls", "unknown tools")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, *arguments),
        *(part for kind in beside for part in ("--beside", kind)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(220):
        said, errors = await process.communicate()

    assert process.returncode == 0, errors.decode()
    found: list[dict[str, Any]] = json.loads(said)
    assert [each["kind"] for each in found] == list(beside)
    for each in found:
        assert each["failed"] == 0, each
        assert each["calls"] > 0
        assert each["done"]["attempts"] > 0


async def test_a_disturbance_that_there_is_not_is_named_with_those_there_are() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "neighbours", "--beside", "noise"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        _, errors = await process.communicate()

    assert process.returncode == 1
    assert b"'noise'" in errors
    assert b"slow calls" in errors
