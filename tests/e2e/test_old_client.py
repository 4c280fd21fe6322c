"""An agent of 2025: the Python SDK 1.12.4, from before the newer protocol era."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conversation import conversation
from tests.e2e.gateway import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.gateway import Site

pytestmark = pytest.mark.slow

PROGRAM = ROOT / "tests/e2e/old_client.py"


@pytest.fixture(scope="module")
async def old_python() -> Path:
    process = await asyncio.create_subprocess_exec(
        ROOT / "scripts/old-client",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        pytest.skip(f"the old SDK cannot be installed here: {output.decode()[-500:]}")
    return ROOT / ".venv-old/bin/python"


async def test_it_signs_in_and_does_what_it_may(site: Site, old_python: Path) -> None:
    command = [old_python, PROGRAM, site.url("tickets"), "issues"]
    async with conversation(command) as program:
        found = await program.result(lambda url: site.allow(url, server="tickets"))

    assert found["version"] == "2025-06-18"
    assert "get_issue" in found["tools"]
    assert "delete_issue" not in found["tools"]
    assert "T-7" in found["called"]
    assert found["refusal"]["code"] == 4030
    assert "high" in found["refusal"]["message"].lower()


async def test_streams_questions_and_the_rest_pass(site: Site, old_python: Path) -> None:
    command = [old_python, PROGRAM, site.url("everything"), "whole"]
    async with conversation(command) as program:
        found = await program.result(lambda url: site.allow(url, server="everything", level="High"))

    assert found["version"] == "2025-06-18"
    assert len(found["progress"]) == 3
    assert "alice" in found["asked"]
    assert found["resource"]
    assert found["prompts"] == 1
