"""Workers that will not live: others take their places ever later, and never end the living."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PROGRAM = """
import pathlib, sys, time
from safeconduct.app.workers import Workers
from safeconduct.settings import parse
from tests.app.test_workers import {answer}

def main():
    directory = pathlib.Path(sys.argv[1])
    settings = parse(
        "server: {{listen: 127.0.0.1:0, workers: 2, data_dir: data}}", base=directory, environ={{}}
    )
    workers = Workers(settings, answer={answer}, listening=print, not_reloaded="")
    sys.exit(workers.run())

if __name__ == "__main__":
    main()
"""


def die(settings, _listening, _news) -> None:  # type: ignore[no-untyped-def]
    """Be a worker that cannot start."""
    _note(settings, "died")
    os._exit(3)


def live_once(settings, listening, news) -> None:  # type: ignore[no-untyped-def]
    """Be the one worker that can start."""
    try:
        (settings.server.data_dir / "living").touch(exist_ok=False)
    except FileExistsError:
        die(settings, listening, news)
    listening.listen()
    news.send("here")
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()


def _note(settings, word: str) -> None:  # type: ignore[no-untyped-def]
    with (settings.server.data_dir / "deaths").open("a") as file:
        file.write(f"{time.monotonic()} {word}\n")


def start(directory: Path, answer: str) -> subprocess.Popen[str]:
    (directory / "data").mkdir()
    program = directory / "program.py"
    program.write_text(PROGRAM.format(answer=answer))
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, str(program), str(directory)],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def deaths(directory: Path) -> list[float]:
    file = directory / "data" / "deaths"
    return (
        [float(line.split()[0]) for line in file.read_text().splitlines()] if file.exists() else []
    )


def test_when_nobody_lives_it_gives_up_after_a_while(tmp_path: Path) -> None:
    with start(tmp_path, "die") as parent:
        assert parent.wait(100) == 2

    assert len(deaths(tmp_path)) >= 10


def test_one_that_lives_is_kept_while_the_other_never_comes_up(tmp_path: Path) -> None:
    with start(tmp_path, "live_once") as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "here\n"
        until = time.monotonic() + 100
        while len(found := deaths(tmp_path)) < 6:
            assert parent.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(100) == 0

    waits = [later - sooner for sooner, later in itertools.pairwise(found)]
    assert waits[-1] > waits[1] > 0.4  # each time longer
