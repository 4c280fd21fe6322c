"""The company at work: three MCP servers and the gateway before them, for one `async with`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from safeconduct.core.model import ServerKey
from safeconduct.demo import seed
from safeconduct.rehearsal import Programs, Trial


class Company:
    """What is running. `passwords` are by the person's key."""

    def __init__(self, trial: Trial, programs: Programs, directory: Path) -> None:
        self.trial = trial
        self.programs = programs
        self.passwords = seed.passwords(trial)
        self._directory = directory

    @property
    def origin(self) -> str:
        return self.trial.origin

    def endpoint(self, server: str) -> str:
        return f"{self.origin}/mcp/{server}"

    def calls_of(self, server: str) -> Path:
        """Return the database in which an upstream wrote down what reached it."""
        return upstream_data(self._directory) / f"{server}.sqlite"


@contextlib.asynccontextmanager
async def at_work(directory: Path, *, port: int) -> AsyncIterator[Company]:
    """Start everything in a directory; leaving ends it.

    Raises:
        NotStarted: With the last words of what did not start.
    """
    trial = Trial(directory, port=port)
    async with Programs(logs=trial.logs) as programs:
        urls = {}
        for key in seed.SERVERS:
            urls[key] = await _upstream(programs, key, directory)
        trial.write(server={}, host=seed.host(trial, urls))
        await trial.serve(programs)
        yield Company(trial, programs, directory)


async def _upstream(programs: Programs, key: ServerKey, directory: Path) -> str:
    data = str(upstream_data(directory))
    return (await programs.module(key, f"safeconduct.demo.{key}", "--data", data)).url


def upstream_data(directory: Path) -> Path:
    return directory / "upstreams"
