from __future__ import annotations

import getpass
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cli.forking import forks
from tests.cli.upstream import Upstream, an_upstream

SOURCES = Path(__file__).resolve().parents[2] / "src"
SECRETS = {"ALICE": "alice-correct-horse", "ROOT": "root-correct-horse"}
FILE = """\
server: {{allow_loopback_upstreams: true, data_dir: data}}
hosts:
  - key: acme
    origin: http://localhost:8420
    people:
      - {{email: alice@acme.test, name: Alice, password: {{env: ALICE}}}}
    operators:
      - {{email: root@acme.test, role: owner, password: {{env: ROOT}}}}
    servers:
      - {{key: tickets, name: Tickets, url: "{url}"}}
    access:
      - {{person: alice@acme.test, server: tickets, ceiling: medium}}
    clients:
      - {{id: ci, name: CI, redirect_uris: ["http://localhost/cb"]}}
"""


@dataclass(frozen=True)
class Ran:
    """What came of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Shell:
    """Runs the real command in a directory and a process of its own."""

    directory: Path
    seen: list[Ran] = field(default_factory=list)

    def __call__(self, *arguments: str, code: int = 0) -> Ran:
        run = forks(SOURCES).run
        done = run(arguments, directory=self.directory, environ=self.environ)
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        self.seen.append(ran)
        assert ran.code == code, ran
        assert "Traceback" not in ran.err
        return ran

    @property
    def environ(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), **SECRETS}

    @property
    def user(self) -> str:
        return getpass.getuser()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with an_upstream() as running:
        yield running


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Shell:
    """A shell beside an installation that was applied once."""
    directory = tmp_path_factory.mktemp("installed")
    (directory / "safeconduct.yaml").write_text(FILE.format(url=upstream.url))
    shell = Shell(directory)
    shell("apply")
    return shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
