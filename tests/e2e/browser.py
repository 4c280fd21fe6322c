"""What programs start as the browser: a person who allows, and a browser that goes back.

`python -m tests.e2e.browser LINK`, with the environment that `environ` makes.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from safeconduct.rehearsal import Person, get
from tests.e2e.conversation import NODE
from tests.e2e.gateway import NAMES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.gateway import Site

_NAMES = ("xdg-open", "open", "x-www-browser", "sensible-browser", "www-browser")


def environ(site: Site, home: Path, *, server: str, level: str) -> dict[str, str]:
    """Make an environment in which every way to open a browser leads here.

    Args:
        home: An empty directory, which becomes the program's home.
    """
    shims = home / "shims"
    shims.mkdir(parents=True)
    for name in _NAMES:
        shim = shims / name
        shim.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -m tests.e2e.browser "$@" 2>>"$VISITS.log"\n'
        )
        shim.chmod(0o755)
    password, _ = site.trial.password("alice")
    return {
        "HOME": str(home),
        "PATH": f"{shims}:{NODE.parent}:{os.environ['PATH']}",
        "BROWSER": str(shims / _NAMES[0]),
        "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}",
        "VISITS": str(home / "visits"),
        "ORIGIN": site.origin,
        "PASSWORD": password,
        "SERVER": NAMES[server],
        "LEVEL": level,
    }


def visits(home: Path) -> list[str]:
    """Return the links that were followed so far."""
    file = home / "visits"
    return file.read_text().splitlines() if file.exists() else []


def main() -> None:
    """Follow the link as Alice, allow, and go where that leads."""
    said = os.environ
    link = sys.argv[-1]
    with open(said["VISITS"], "a", encoding="utf-8") as file:  # noqa: PTH123  appends
        file.write(f"{link}\n")
    alice = Person(origin=said["ORIGIN"], email="alice@acme.test", password=said["PASSWORD"])
    get(alice.allow(link, server=said["SERVER"], level=said["LEVEL"]))


if __name__ == "__main__":
    main()
