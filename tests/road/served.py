"""The gateway as it is run: `safeconduct serve` as a process, a scripted server behind it.

For what only a process can show: signals, workers, kill -9 and restarts. The person before it
uses the pages, and the agent HTTP.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from safeconduct.app.building import DATABASE_FILE
from safeconduct.rehearsal import (
    Answer,
    Person,
    Program,
    Programs,
    Trial,
    exchange,
    free_port,
    obtain_token,
)
from tests.fixtures.logs import clean_lines
from tests.fixtures.tables import migrated_file
from tests.road.upstream import PATIENCE_SECONDS, Upstream, upstream
from tests.road.world import Line, body_of, headers_of

ALICE = "alice@acme.test"
_COMMAND_SECONDS = 60
_MUCH = 1_000_000
_LIMITS = (
    *("sign_in_per_5_minutes", "register_per_minute", "mcp_per_minute"),
    *("writes_per_minute", "all_per_minute"),
)


@dataclass
class Served:
    """A running installation: host acme, Alice, the server `tickets` up to level medium.

    Attributes:
        secrets: What must not be in the log.
        may_log: How errors begin that the test provokes.
    """

    trial: Trial
    programs: Programs
    upstream: Upstream
    gateway: Program
    origin: str
    secrets: list[str] = field(default_factory=list)
    may_log: list[str] = field(default_factory=list)

    @property
    def authority(self) -> str:
        """What a Host header has to say, whichever node it is sent to."""
        return self.origin.partition("://")[2]

    async def restart(self) -> None:
        """Start the gateway again after its end, with the same file."""
        assert self.gateway.process.returncode is not None
        self.gateway = await self.trial.serve(self.programs)

    async def token(self) -> str:
        """Let Alice sign in and allow a new agent; returns its access token."""
        password, _ = self.trial.password("alice")
        person = Person(origin=self.trial.origin, email=ALICE, password=password)
        secret = await asyncio.to_thread(
            obtain_token,
            person,
            origin=self.trial.origin,
            resource=f"{self.trial.origin}/mcp/tickets",
            server="Tickets",
            level="Medium",
        )
        self.secrets += [secret.reveal(), password]
        return secret.reveal()

    async def call(self, token: str, tool: str = "get_issue") -> Answer:
        """Call a tool on a connection of its own, on this node whichever is the origin's."""
        params = {"name": tool, "arguments": {"id": "T-7"}}
        headers = headers_of("tools/call", params) | {"authorization": f"Bearer {token}"}
        return await asyncio.to_thread(
            exchange,
            f"{self.trial.origin}/mcp/tickets",
            method="POST",
            headers=headers | {"host": self.authority},
            body=body_of("tools/call", params),
        )

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        """Open a connection to talk on piece by piece."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.trial.port)
        try:
            yield _LocalLine(reader, writer, self.authority)
        finally:
            writer.transport.abort()

    async def command(self, *arguments: str) -> Any:
        """Run a command of `safeconduct` beside the gateway; returns its JSON."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "safeconduct", *arguments),
            *("-c", str(self.trial.config), "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_COMMAND_SECONDS):
            said, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return msgspec.json.decode(said)

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Read the trail's records of a kind; `writer` says which process wrote each."""
        return [
            record | {"writer": path.name.partition("-")[0]}
            for path in sorted(self.trial.audit.glob("*.jsonl"))
            for line in path.read_bytes().splitlines()
            if (record := json.loads(line))["kind"] == kind
        ]

    async def recorded(self, kind: str, count: int) -> list[dict[str, Any]]:
        """Wait until the trail holds so many records of a kind."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := self.records(kind)) < count:
                await asyncio.sleep(0.01)  # the trail's files offer nothing to wait for
        return found


class _LocalLine(Line):
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str
    ) -> None:
        super().__init__(reader, writer)
        self._authority = authority

    async def raw(self, first: str, lines: list[str], body: bytes = b"") -> None:
        head = "\r\n".join([first, f"host: {self._authority}", *lines, "", ""])
        self.writer.write(head.encode("latin-1") + body)
        await self.writer.drain()


@asynccontextmanager
async def served(directory: Path, **server: Any) -> AsyncIterator[Served]:
    """Serve until left; whatever happened, nothing secret is in the log, and no error.

    Args:
        directory: An empty one.
        server: Further keys of the file's `server:`.
    """
    trial = Trial(directory, port=free_port())
    if "database" not in server:
        migrated_file(trial.data / DATABASE_FILE)
    async with upstream() as behind, Programs(logs=trial.logs) as programs:
        trial.write(
            server={"rate_limits": dict.fromkeys(_LIMITS, _MUCH), **server},
            host=_host(trial, behind),
        )
        running = Served(trial, programs, behind, await trial.serve(programs), trial.origin)
        yield running
        assert behind.failures == []
    _check_log(running)


@asynccontextmanager
async def another(site: Served, directory: Path, **server: Any) -> AsyncIterator[Served]:
    """Serve the same installation as one more node, with files and a port of its own.

    Args:
        site: The first node; who signs in does it there.
        directory: An empty one.
        server: Further keys of the file's `server:`; one of them is the database.
    """
    trial = Trial(directory, port=free_port())
    for shared in (site.trial.data / "master.key", *(site.trial.directory / "secrets").iterdir()):
        copy = trial.directory / shared.relative_to(site.trial.directory)
        copy.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(shared, copy)
    async with Programs(logs=trial.logs) as programs:
        trial.write(
            server={"rate_limits": dict.fromkeys(_LIMITS, _MUCH), **server},
            host=_host(trial, site.upstream) | {"origin": site.origin},
        )
        running = Served(trial, programs, site.upstream, await trial.serve(programs), site.origin)
        yield running
    running.secrets += site.secrets
    _check_log(running)


def _check_log(running: Served) -> None:
    said = clean_lines(running.gateway.log, secrets=running.secrets)
    errors = [line["message"] for line in said if line["level"] == "error"]
    assert [each for each in errors if not each.startswith(tuple(running.may_log))] == []


def _host(trial: Trial, behind: Upstream) -> dict[str, Any]:
    _, password = trial.password("alice")
    return {
        "key": "acme",
        "people": [{"email": ALICE, "name": "Alice", "password": password}],
        "servers": [{"key": "tickets", "name": "Tickets", "url": behind.url}],
        "access": [{"person": ALICE, "server": "tickets", "ceiling": "medium"}],
        "client_documents": {"fetch": False},
    }
