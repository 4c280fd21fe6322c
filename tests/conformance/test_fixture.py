"""The suite against the fixture itself: what the gateway is compared with."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conformance.suite import run_suite
from tests.fixtures.programs import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
REQUIRED = {"2025-11-25": 30, "2026-07-28": 37}


@pytest.fixture(scope="module")
async def everything() -> AsyncIterator[str]:
    subprocess.run([ROOT / "scripts/node-tools"], check=True)
    async with running("tests.fixtures.everything") as program:
        yield program.url.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("revision", sorted(REQUIRED))
async def test_the_fixture_meets_a_whole_requirement_set(
    everything: str, tmp_path: Path, revision: str
) -> None:
    results = await run_suite(
        *("server", "--url", everything, "--requirements", revision), results=tmp_path
    )

    assert {name: ids for name, ids in results.scored.items() if ids} == {}
    assert (results.status, len(results.scored)) == (0, REQUIRED[revision])


async def test_only_the_tasks_extension_is_missing(everything: str, tmp_path: Path) -> None:
    results = await run_suite(
        *("server", "--url", everything, "--requirements", "2026-07-28"), results=tmp_path
    )

    missing = {name for name, ids in results.failures.items() if ids}
    assert all(name.startswith("tasks-") for name in missing)


@pytest.mark.parametrize("revision", sorted(REQUIRED))
async def test_the_shim_changes_nothing(everything: str, tmp_path: Path, revision: str) -> None:
    token = tmp_path / "token"
    token.write_text("nobody-asks-for-it")
    found = tmp_path / "found"

    async with running(
        "tests.conformance.shim", "--to", everything, "--token-file", str(token)
    ) as shim:
        results = await run_suite(
            *("server", "--url", shim.url, "--requirements", revision), results=found
        )

    assert {name: ids for name, ids in results.scored.items() if ids} == {}
    assert (results.status, len(results.scored)) == (0, REQUIRED[revision])


async def test_a_server_that_is_not_there_fails_every_scenario(tmp_path: Path) -> None:
    results = await run_suite(
        *("server", "--url", "http://localhost:9/mcp", "--requirements", "2025-11-25"),
        results=tmp_path,
    )

    assert (results.status, results.passed) == (1, 0)
