"""Several processes on one listening socket; one that dies is replaced."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType

_STOP_SECONDS = 30
_QUICK_DEATHS = 10  # in a row, each within so many seconds of its birth
_QUICK_SECONDS = 30.0


class Workers:
    """Starts workers and stands by until it is told to stop."""

    def __init__(
        self,
        count: int,
        path: Path,
        listening: socket.socket,
        *,
        answer: Callable[[Path, socket.socket], None],
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            count: How many processes answer.
            path: The configuration file, which each of them reads.
            listening: The socket they share.
            answer: What each of them does, in its own process.
        """
        self._context = multiprocessing.get_context("spawn")
        self._count = count
        self._path = path
        self._listening = listening
        self._answer = answer
        self._processes: list[SpawnProcess] = []
        self._born: list[float] = []
        self._stopping = False

    def run(self) -> int:
        """Run until SIGINT or SIGTERM; returns 2 if workers will not stay alive."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        self._processes = [self._start() for _ in range(self._count)]
        self._born = [time.monotonic()] * self._count
        deaths = 0
        while not self._stopping and deaths < _QUICK_DEATHS:
            multiprocessing.connection.wait([one.sentinel for one in self._processes], timeout=1)
            for index, process in enumerate(self._processes):
                if not process.is_alive() and not self._stopping:
                    quick = time.monotonic() - self._born[index] < _QUICK_SECONDS
                    deaths = deaths + 1 if quick else 0
                    self._processes[index] = self._start()
                    self._born[index] = time.monotonic()
        self._end()
        return 0 if self._stopping else 2

    def _start(self) -> SpawnProcess:
        process = self._context.Process(
            target=self._answer, args=(self._path, self._listening), daemon=False
        )
        process.start()
        return process

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _end(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(_STOP_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
