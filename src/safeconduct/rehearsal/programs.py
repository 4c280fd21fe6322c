"""Other programs, run for as long as we run: nothing outlives its parent.

A program that announces itself prints `ready URL` as its first line. What it says on
standard error goes to a file, whose end is shown if it does not start.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from safeconduct.core.model import Value
from safeconduct.core.printing import printable

_START_SECONDS = 60
_STOP_SECONDS = 10
_SHOWN_BYTES = 2000
_PR_SET_PDEATHSIG = 1  # prctl(2)


class NotStarted(Exception):
    """A program ended before it was ready, or did not become ready in time."""


class Program(Value, frozen=True):
    """A running child; `url` is where it serves, or "" if it does not say."""

    name: str
    url: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def at(self, url: str) -> Program:
        """Return the same program, known to serve at an address."""
        return Program(name=self.name, url=url, process=self.process, log=self.log)

    def last_words(self) -> str:
        """Return the end of what it said on standard error, fit for a terminal."""
        said = self.log.read_bytes() if self.log.exists() else b""
        text = said[-_SHOWN_BYTES:].decode("utf-8", "replace").strip()
        return "\n".join(map(printable, text.splitlines()))


class Programs:
    """The children of one `async with`; leaving it ends them, the last started first.

    Start them from the main thread: on Linux a child is told when the thread that made it
    dies, which is what ends it after a kill -9 of this process.
    """

    def __init__(self, *, logs: Path) -> None:
        self._logs = logs
        self._stack = AsyncExitStack()
        self._running: list[Program] = []

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def start(self, name: str, command: Sequence[str], *, announces: bool = True) -> Program:
        """Start a program and, if it announces itself, wait until it is ready.

        Raises:
            NotStarted: If it is not ready within a minute; the message holds its last words.
        """
        log = self._logs / f"{name}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if announces else errors,
                stderr=errors,
                # Ctrl-C is ours to handle; the children end in our order.
                start_new_session=True,
                preexec_fn=_tied_to_us(),  # one system call; nothing that could lock
            )
        self._stack.push_async_callback(_end, process)
        program = Program(name=name, url="", process=process, log=log)
        if announces:
            program = program.at(await _announcement(program))
        self._running.append(program)
        return program

    async def module(self, name: str, module: str, *arguments: str) -> Program:
        """Start one of our own modules that announces itself."""
        return await self.start(name, (sys.executable, "-m", module, *arguments))

    async def first_to_end(self) -> Program:
        """Wait until one of them ends by itself and return it."""
        waiting = {asyncio.create_task(one.process.wait()): one for one in self._running}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return waiting[done.pop()]
        finally:
            for task in waiting:
                task.cancel()


async def _announcement(program: Program) -> str:
    assert program.process.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):
            line = await program.process.stdout.readline()
    except TimeoutError:
        line = b""
    word, _, url = line.decode("utf-8", "replace").strip().partition(" ")
    if word != "ready":
        raise NotStarted(f"{program.name} did not start.\n{program.last_words()}".strip())
    return url


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()


def _tied_to_us() -> Callable[[], None] | None:
    """Return what a child does first: ask the kernel to be ended when we are gone."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # we were gone before it asked
            os._exit(1)

    return tie
