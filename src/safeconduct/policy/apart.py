"""A process beside the gateway's for rules that could run long: little time, little memory.

One for each process of the gateway, shared by its hosts, started when it is first needed. What
it cannot answer in time, or brings it down, is a failure like any other, and the next question
finds a new process: once one ended there is always another in reserve, so that whoever makes
rules run long costs the others no more than that time. It ends with the one that started it.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from safeconduct.policy.failures import EngineFailed
from safeconduct.policy.interpreted import (
    ASK,
    CPU_SECONDS,
    DONE,
    FAILED,
    KEY_BYTES,
    LOAD,
    MAX_FRAME_BYTES,
    OBLIGATIONS_FAILED,
    UNKNOWN,
    Collected,
)

_Child = subprocess.Popen[bytes]
_PROGRAM = Path(__file__).with_name("interpreted.py")
_ANSWER_SECONDS = 20 * CPU_SECONDS  # on the clock, since others want the processor too
_START_SECONDS = 10.0


class Apart:
    """The process, and who may speak to it: one question at a time."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._child: _Child | None = None
        self._reserve: _Child | None = None
        self._owner = 0

    def collect(self, key: str, load: Callable[[], bytes], document: bytes) -> Collected:
        """Have a host's rules answer.

        Args:
            key: Names the rules, 64 characters.
            load: Makes what loads them: JSON with `modules`, `data` and `collected`.
            document: The input.

        Raises:
            EngineFailed: If there is no answer.
        """
        name = key.encode().ljust(KEY_BYTES, b"_")[:KEY_BYTES]
        with self._turn:
            kind, content = self._exchange(ASK + name, document)
            if kind == UNKNOWN:
                if self._exchange(LOAD + name, load())[0] != DONE:
                    raise EngineFailed("the policy engine failed", "load")
                kind, content = self._exchange(ASK + name, document)
        if kind == FAILED:
            raise EngineFailed("the policy engine failed", content.decode(errors="replace"))
        if kind not in {DONE, OBLIGATIONS_FAILED}:
            raise EngineFailed("the policy engine failed", "answer")
        return Collected(content.decode(), kind == DONE)

    def close(self) -> None:
        """End the processes."""
        for child in (self._child, self._reserve):
            if child is not None and self._owner == os.getpid():
                _end(child)
        self._child = self._reserve = None

    def _exchange(self, head: bytes, content: bytes) -> tuple[bytes, bytes]:
        child, wait = self._running()
        frame = (len(head) + len(content)).to_bytes(4, "big") + head + content
        until = time.monotonic() + wait
        try:
            _write(child, frame, until)
            size = int.from_bytes(_read(child, 4, until), "big")
            answer = _read(child, min(size, MAX_FRAME_BYTES), until)
        except (OSError, EOFError, TimeoutError):
            self._replace(child)
            raise EngineFailed("the policy took too long, or too much memory") from None
        return answer[:1], answer[1:]

    def _running(self) -> tuple[_Child, float]:
        """Return the process and how long to wait for its answer."""
        if self._owner != os.getpid():  # what another process started is not ours to end
            self._child = self._reserve = None
            self._owner = os.getpid()
        if self._child is not None and self._child.poll() is None:
            return self._child, _ANSWER_SECONDS
        self._child = _started()
        return self._child, _START_SECONDS

    def _replace(self, child: _Child) -> None:
        _end(child)
        self._child, self._reserve = self._reserve, _started()


def _started() -> _Child:
    child = subprocess.Popen(  # noqa: S603  our own words
        # -P: nothing in the working directory can pose as a module.
        [sys.executable, "-Ps", str(_PROGRAM)],
        env={},  # none of our secrets go along
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )
    for pipe in (child.stdin, child.stdout):
        os.set_blocking(_descriptor(pipe), False)
    return child


def _end(child: _Child) -> None:
    child.kill()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    child.wait()


def _descriptor(pipe: IO[bytes] | None) -> int:
    if pipe is None:  # never: both are asked for
        raise EOFError
    return pipe.fileno()


def _write(child: _Child, frame: bytes, until: float) -> None:
    left, place = memoryview(frame), _descriptor(child.stdin)
    while left:
        try:
            left = left[os.write(place, left) :]
        except BlockingIOError:
            _wait(until, writing=place)


def _read(child: _Child, size: int, until: float) -> bytes:
    found, place = bytearray(), _descriptor(child.stdout)
    while len(found) < size:
        try:
            piece = os.read(place, size - len(found))
        except BlockingIOError:
            _wait(until, reading=place)
            continue
        if not piece:
            raise EOFError
        found += piece
    return bytes(found)


def _wait(until: float, *, reading: int | None = None, writing: int | None = None) -> None:
    left = until - time.monotonic()
    waiting = select.poll()
    if reading is not None:
        waiting.register(reading, select.POLLIN)
    if writing is not None:
        waiting.register(writing, select.POLLOUT)
    if left <= 0 or not waiting.poll(left * 1000):
        raise TimeoutError
