"""The benchmark of two nodes, short, and what it makes of its findings."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest
from msgspec.structs import replace

from safeconduct.bench.revoking import BUDGET_MS, Taken
from tests.bench.test_command import COMMAND

GOOD = Taken(times=5, p50=9.0, p99=BUDGET_MS - 0.1, most=300.0, next_denied=5, late=0, calls=90)


@pytest.mark.slow
@pytest.mark.requirement("Z-24")
async def test_nothing_is_let_through_on_the_other_node_once_a_change_has_returned(
    module_postgres: str,
) -> None:
    arguments = ("revoke", "--database", module_postgres, "--times", "5", "--json")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(100):
        said, errors = await process.communicate()

    assert process.returncode == 0, errors.decode()
    found = json.loads(said)
    assert (found["times"], found["next_denied"], found["late"]) == (5, 5, 0)
    assert found["calls"] >= 15
    assert 0 < found["p50"] <= found["p99"] <= found["most"]


@pytest.mark.slow
async def test_without_a_database_of_the_right_kind_nothing_starts() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "revoke", "--database", "sqlite:///x"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        _, errors = await process.communicate()

    assert process.returncode == 1
    assert b"--database" in errors


def test_what_was_promised_is_held() -> None:
    assert GOOD.held


@pytest.mark.parametrize(
    "found",
    [replace(GOOD, late=1), replace(GOOD, next_denied=4), replace(GOOD, p99=BUDGET_MS)],
    ids=["one call too late", "one next call let through", "too slow"],
)
def test_anything_less_is_not(found: Taken) -> None:
    assert not found.held
