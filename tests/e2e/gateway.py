"""A whole installation for tests: the gateway as a process, servers behind it, people before it.

Everything is used as anybody outside would use it: a configuration file, the command, the
pages and the MCP endpoints. Alice may grant High on the fixture server and Medium on the
tickets, Bob Low on the tickets; nothing is open to anybody else.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safeconduct.rehearsal import Person, Programs, Trial, free_port, obtain_token
from tests.fixtures.logs import clean_lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
NAMES = {
    "everything": "Everything",
    "tickets": "Tickets",
    "reference": "Reference",
    "plain": "Plain",
}
_PEOPLE = {"alice": "Alice", "bob": "Bob"}
_MUCH = 1_000_000
# Of an enforcement point: marks that a header may carry and that strict clients encode.
POINT_SECRET = "p-o_i.n~t!*'()/=:&?;#@,$0123456789"


class Site:
    """A running installation, as seen from outside."""

    def __init__(self, trial: Trial, programs: Programs) -> None:
        self.origin = trial.origin
        self.trial = trial
        self.programs = programs

    def url(self, server: str) -> str:
        return f"{self.origin}/mcp/{server}"

    def person(self, who: str = "alice") -> Person:
        """Return somebody with a fresh browser."""
        password, _ = self.trial.password(who)
        return Person(origin=self.origin, email=f"{who}@acme.test", password=password)

    async def allow(
        self, url: str, *, server: str, level: str = "Medium", who: str = "alice"
    ) -> str:
        """Let a person follow an agent's link and allow it; returns where the browser goes."""
        person = self.person(who)
        return await asyncio.to_thread(person.allow, url, server=NAMES[server], level=level)

    async def token(self, server: str, *, level: str, who: str = "alice") -> str:
        """Return an access token of a client that was registered just now."""
        secret = await asyncio.to_thread(
            obtain_token,
            self.person(who),
            origin=self.origin,
            resource=self.url(server),
            server=NAMES[server],
            level=level,
        )
        return secret.reveal()


@asynccontextmanager
async def installation(
    directory: Path, *, servers: Mapping[str, str], more: Mapping[str, Any] | None = None
) -> AsyncIterator[Site]:
    """Serve a host in front of these servers (key to URL) until left.

    Whatever clients did to it, the gateway has logged no error then, and no secret ever.

    Args:
        directory: An empty one.
        more: Further keys of the host.
    """
    trial = Trial(directory, port=free_port())
    people: Sequence[dict[str, Any]] = [
        {"email": f"{who}@acme.test", "name": name, "password": trial.password(who)[1]}
        for who, name in _PEOPLE.items()
    ]
    limits = ("sign_in_per_5_minutes", "register_per_minute", "mcp_per_minute")
    limits += ("writes_per_minute", "all_per_minute")
    trial.write(
        server={"rate_limits": dict.fromkeys(limits, _MUCH)},
        host={
            "key": "acme",
            "people": people,
            "servers": [{"key": key, "name": NAMES[key], "url": servers[key]} for key in servers],
            "access": [
                {"person": f"{who}@acme.test", "server": server, "ceiling": ceiling}
                for who, server, ceiling in _ACCESS
                if server in servers
            ],
            "client_documents": {"fetch": False},
            **(more or {}),
        },
    )
    async with Programs(logs=trial.logs) as programs:
        gateway = await trial.serve(programs)
        yield Site(trial, programs)
    said = clean_lines(gateway.log, secrets=[trial.password(who)[0] for who in _PEOPLE])
    assert [line for line in said if line["level"] == "error"] == []


_ACCESS = (
    ("alice", "everything", "high"),
    ("alice", "tickets", "medium"),
    ("alice", "reference", "high"),
    ("bob", "tickets", "low"),
)


async def node_tools() -> str:
    """Install the Node programs of tools/node if needed; returns why that failed, or ""."""
    process = await asyncio.create_subprocess_exec(
        ROOT / "scripts/node-tools",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return "" if process.returncode == 0 else output.decode()[-500:]
