"""Several processes on one address; one that dies is replaced, and never at the others' cost.

Each has a socket of its own on the address, so the system deals new connections out evenly
(SO_REUSEPORT, Linux socket(7)); elsewhere they share one. A socket outlives its worker while a
replacement starts, and connections wait in it. One whose replacement does not come up is closed,
so that new connections go to the living.
"""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import FrameType

from safeconduct.settings import Settings

_STOP_SECONDS = 30
_QUICK_SECONDS = 30.0
_MOST_QUICK_DEATHS = 10  # within so many seconds of birth, with nobody living, and we give up
_PATIENT_SECONDS = 1.0  # for which connections wait in the socket of a worker that died
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 30.0
_LOOK_SECONDS = 1.0
_log = logging.getLogger(__name__)

Answering = Callable[[Settings, socket.socket, Connection], None]


class Address:
    """An address that is ours from the beginning, whoever listens on it for us."""

    def __init__(self, host: str, port: int) -> None:
        """Take the address.

        Raises:
            OSError: If it cannot be had.
        """
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._shared = not sys.platform.startswith("linux")
        self._ours = self._bound(host, port)
        self._at = self._ours.getsockname()[:2]

    def listener(self) -> socket.socket:
        """Return a socket to listen with."""
        return self._ours.dup() if self._shared else self._bound(*self._at)

    def close(self) -> None:
        self._ours.close()

    def _bound(self, host: str, port: int) -> socket.socket:
        bound = socket.socket(self._family)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not self._shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind((host, port))
        except OSError:
            bound.close()
            raise
        return bound


class Workers:
    """Starts workers and stands by until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        *,
        answer: Answering,
        listening: Callable[[str], None],
        not_reloaded: str,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            settings: What every worker goes by, the later ones as well.
            answer: What each of them does, in its own process.
            listening: Told the address when the first of them answers there.
            not_reloaded: What to log when somebody asks us to read the file again.
        """
        self._settings = settings
        self._answer = answer
        self._listening: Callable[[str], None] | None = listening
        self._not_reloaded = not_reloaded
        self._stopping = False
        self._hung_up = False

    def run(self) -> int:
        """Run until SIGINT or SIGTERM; returns 2 if no worker will stay alive."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._hang_up)
        server = self._settings.server
        address = Address(server.listen_host, server.listen_port)
        context = multiprocessing.get_context("spawn")
        self._slots = [
            _Slot(context, self._answer, self._settings, address) for _ in range(server.workers)
        ]
        while not self._stopping and not self._is_hopeless():
            for slot in self._slots:
                slot.look_after()
            self._wait()
        address.close()
        self._end()
        return 0 if self._stopping else 2

    def _wait(self) -> None:
        """Wait for news, for a death, or a moment."""
        what = [each for slot in self._slots for each in slot.awaited()]
        multiprocessing.connection.wait(what, timeout=_LOOK_SECONDS if what else 0.1)
        for slot in self._slots:
            news = slot.news()
            if news and self._listening is not None:
                tell, self._listening = self._listening, None
                tell(news)
        if self._hung_up:
            self._hung_up = False
            _log.info(self._not_reloaded)

    def _is_hopeless(self) -> bool:
        deaths = sum(slot.deaths for slot in self._slots)
        return deaths >= _MOST_QUICK_DEATHS and not any(slot.lives for slot in self._slots)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._hung_up = True

    def _end(self) -> None:
        for slot in self._slots:
            slot.terminate()
        for slot in self._slots:
            slot.join()


class _Slot:
    """A worker and those that replace it, one after the other.

    Attributes:
        deaths: In a row, each soon after birth.
    """

    def __init__(
        self,
        context: multiprocessing.context.SpawnContext,
        answer: Answering,
        settings: Settings,
        address: Address,
    ) -> None:
        self._context = context
        self._answer = answer
        self._settings = settings
        self._address = address
        self._process: SpawnProcess | None = None
        self._news: Connection | None = None
        self._socket: socket.socket | None = None
        self._born = self._due = 0.0
        self._has_listened = False
        self.deaths = 0

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.is_alive()

    def awaited(self) -> list[int | Connection]:
        """Return what becomes ready when there is something to do for this slot."""
        process = [] if self._process is None else [self._process.sentinel]
        return [*process, *([] if self._news is None else [self._news])]

    def look_after(self) -> None:
        """Bury who died, and start who is due."""
        if self._process is not None and not self._process.is_alive():
            self._bury(self._process)
        if self._process is None and time.monotonic() >= self._due:
            self._start()

    def news(self) -> str | None:
        """Return the address, once: when the worker has begun to answer there."""
        if self._news is None or not self._news.poll():
            return None
        try:
            address: str = self._news.recv()
        except EOFError:  # it died first
            return None
        finally:
            self._news.close()
            self._news = None
        self._has_listened = True
        return address

    def terminate(self) -> None:
        self._let_go()
        if self._process is not None:
            self._process.terminate()

    def join(self) -> None:
        if self._process is None:
            return
        self._process.join(_STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        if self._socket is None:
            self._socket = self._address.listener()
        self._news, theirs = self._context.Pipe(duplex=False)
        self._has_listened = False
        self._process = self._context.Process(
            target=self._answer, args=(self._settings, self._socket, theirs), daemon=False
        )
        self._process.start()
        theirs.close()
        self._born = time.monotonic()

    def _bury(self, process: SpawnProcess) -> None:
        self.news()
        lived = time.monotonic() - self._born
        self.deaths = self.deaths + 1 if lived < _QUICK_SECONDS else 1
        doubled = _FIRST_WAIT_SECONDS * 2 ** min(self.deaths - 2, 10)
        wait = 0.0 if self.deaths == 1 else min(doubled, _LONGEST_WAIT_SECONDS)
        if wait > _PATIENT_SECONDS or not self._has_listened:
            self._let_go()
        self._due = time.monotonic() + wait
        _log.warning(
            "worker %d ended with %s after %.0f seconds; another takes its place %s",
            process.pid,
            process.exitcode,
            lived,
            f"in {wait:.1f} seconds" if wait else "now",
        )
        process.close()
        self._process = None

    def _let_go(self) -> None:
        """Close our end of the socket: nothing must wait where nobody may ever come."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
