"""Judges the whole file of a new installation in a process of its own, before anything is made.

Looking opens a second installation, and a gateway that then serves for months would keep the
megabytes that it took.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from safeconduct.cli.failures import OURS, Failed, failing
from safeconduct.cli.work.asking import settings_of
from safeconduct.cli.work.installations import check_unmade, run


def check_apart(config: Path) -> None:
    """Judge a file as `check_unmade` does.

    Raises:
        Failed: If it cannot be applied.
    """
    done = subprocess.run(  # noqa: S603  our own words
        # -P: nothing in the working directory can pose as a module of ours.
        [sys.executable, "-P", "-m", "safeconduct.cli.work.first_start", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0:
        raise Failed("The file could not be judged. See: safeconduct plan", exit_code=OURS)
    problem, code = json.loads(done.stdout)
    if problem:
        raise Failed(problem, exit_code=code)


def main(config: Path) -> None:
    """Print what is wrong with a file, and whose fault it is, as JSON; `["", 0]` for nothing."""
    problem, code = "", 0
    try:
        with failing():
            settings = settings_of(config)
            run(lambda: check_unmade(settings))
    except Failed as error:
        problem, code = str(error), error.exit_code
    sys.stdout.write(json.dumps([problem, code]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
