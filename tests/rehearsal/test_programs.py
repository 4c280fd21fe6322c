"""Children start, announce themselves, and never outlive their parent."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from safeconduct.rehearsal import NotStarted, Programs, Trial, free_port, is_free
from tests.rehearsal.processes import gone

if TYPE_CHECKING:
    from pathlib import Path

WAITS = "import time, sys; print('ready http://x', flush=True); time.sleep(600)"
FAILS = "raise SystemExit('no such luck')"
PARENT = """
import asyncio, pathlib, sys
from safeconduct.rehearsal import Programs
async def main():
    async with Programs(logs=pathlib.Path(sys.argv[1])) as programs:
        child = await programs.start("child", (sys.executable, "-c", sys.argv[2]))
        print(child.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_a_child_runs_until_the_block_is_left(tmp_path: Path) -> None:
    async with Programs(logs=tmp_path) as programs:
        child = await programs.start("child", (sys.executable, "-c", WAITS))
        assert child.url == "http://x"
        assert child.process.returncode is None

    assert child.process.returncode == -signal.SIGTERM


async def test_a_child_that_ends_is_noticed(tmp_path: Path) -> None:
    async with Programs(logs=tmp_path) as programs:
        await programs.start("patient", (sys.executable, "-c", WAITS))
        hasty = await programs.start("hasty", (sys.executable, "-c", ""), announces=False)

        async with asyncio.timeout(60):
            assert (await programs.first_to_end()).name == hasty.name


async def test_a_child_that_does_not_start_leaves_its_last_words(tmp_path: Path) -> None:
    async with Programs(logs=tmp_path) as programs:
        with pytest.raises(NotStarted, match="no such luck"):
            await programs.start(
                "child", (sys.executable, "-c", "raise SystemExit('no such luck')")
            )


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")
async def test_not_even_kill_9_of_the_parent_leaves_an_orphan(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(tmp_path), WAITS), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    async with asyncio.timeout(60):
        child = int(await parent.stdout.readline())

    parent.kill()
    await parent.wait()

    assert await gone({child})


def test_passwords_are_made_once_for_each_installation_and_kept_private(tmp_path: Path) -> None:
    first, reference = Trial(tmp_path / "a", port=1).password("alice")
    again, _ = Trial(tmp_path / "a", port=2).password("alice")
    other, _ = Trial(tmp_path / "b", port=1).password("alice")

    assert first == again != other
    assert len(first) >= 10
    path = tmp_path / "a" / reference["file"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


async def test_a_port_somebody_listens_on_is_not_free() -> None:
    port = free_port()
    assert is_free(port)

    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with server:
        assert not is_free(port)
