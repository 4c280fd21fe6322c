"""A process of its own for what could crash or hang the engine: little time, little memory.

Each question is answered by a child of its own, forked from a process that has read our code and
nothing else (`fork_server`), since reading it takes longer than most answers. That process has
nothing of our environment, starts with the first question and ends when none came for a while.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal

Kind = Literal["trial", "vetting"]
Question = dict[str, Any]

LETTERS: dict[Kind, bytes] = {"trial": b"t", "vetting": b"v"}
BEGUN = b"B"  # what a child says before it reads its question
SIZE_BYTES = 8
WALL_SECONDS = 30
_START_SECONDS = 60  # reading the code, on a machine that is busy
_ATTEMPTS = 3  # it may have ended, having had nothing to do, the moment it was asked
_SOURCES = Path(__file__).resolve().parents[2]


class BroughtDown(Exception):
    """The child crashed, or ran out of time or memory."""


class _NobodyBegan(Exception):
    """No child took the question."""


class ForkServer:
    """The process that children are forked from, and the way to ask one."""

    def __init__(self, *, idle_seconds: float = 60) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def ask(self, kind: Kind, question: Question) -> Any:
        """Have a question answered by a child.

        Raises:
            BroughtDown: If there is no answer.
        """
        raw = json.dumps(question).encode()
        for _ in range(_ATTEMPTS):
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    self._hand_over(kind, theirs)
                with contextlib.suppress(_NobodyBegan):
                    return json.loads(_answered(ours, raw))
        raise BroughtDown("start")

    def close(self) -> None:
        """End the process; children that still answer end by themselves."""
        with self._lock:
            self._end()

    def _hand_over(self, kind: Kind, line: socket.socket) -> None:
        """Give a child its end of a connection; if nobody takes it, the other end is closed."""
        with self._lock:
            try:
                socket.send_fds(self._running(), [LETTERS[kind]], [line.fileno()])
            except OSError:
                self._end()

    def _running(self) -> socket.socket:
        gone = self._process is None or self._process.poll() is not None
        if gone or self._control is None:
            self._end()
            atexit.unregister(self.close)
            self._control, theirs = socket.socketpair()
            with theirs:
                self._process = _started(theirs, self._idle_seconds)
            atexit.register(self.close)
        return self._control

    def _end(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()  # or nothing, if another process started it
            self._process.wait()
        self._process = self._control = None


def _started(control: socket.socket, idle_seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  our own words
        # -P: nothing in the working directory can pose as a module of ours.
        [sys.executable, "-P", "-m", "safeconduct.policy.fork_server", str(idle_seconds)],
        env={"PYTHONPATH": str(_SOURCES)},  # and none of our secrets go along
        stdin=control.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _answered(line: socket.socket, question: bytes) -> bytes:
    """Ask the child at the other end.

    Raises:
        BroughtDown: If it ended without a whole answer, or takes too long to.
        _NobodyBegan: If there is none.
    """
    try:
        _wait_for_child(line)
        until = time.monotonic() + WALL_SECONDS
        line.settimeout(WALL_SECONDS)
        line.sendall(len(question).to_bytes(SIZE_BYTES, "big") + question)
        size = int.from_bytes(received(line, SIZE_BYTES, until), "big")
        return received(line, size, until)
    except TimeoutError:
        raise BroughtDown("time") from None
    except OSError:
        raise BroughtDown("end") from None


def _wait_for_child(line: socket.socket) -> None:
    line.settimeout(_START_SECONDS)
    try:
        begun = line.recv(1)
    except ConnectionError:
        begun = b""
    if begun != BEGUN:
        raise _NobodyBegan


def received(line: socket.socket, size: int, until: float) -> bytes:
    """Read so many bytes.

    Raises:
        OSError: If there are fewer, or they take too long.
    """
    found = bytearray()
    while len(found) < size:
        line.settimeout(max(until - time.monotonic(), 0.001))
        piece = line.recv(min(size - len(found), 1 << 20))
        if not piece:
            raise ConnectionResetError
        found += piece
    return bytes(found)


# One for all bundles of this process; nothing starts before the first question.
_fork_server = ForkServer()
asked = _fork_server.ask
