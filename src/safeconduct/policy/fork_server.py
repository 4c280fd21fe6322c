"""The process that answers in children: it has read our code, and forks one for each question.

It is run by `elsewhere`, which hands over one end of a connection for each question. A child has
little processor time, little memory and a moment on the clock, all kept by the kernel: what it
runs need not come to an end by itself, and whatever it does to itself the others do not notice.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from safeconduct.policy import trial, vetting
from safeconduct.policy.elsewhere import (
    BEGUN,
    LETTERS,
    SIZE_BYTES,
    WALL_SECONDS,
    Question,
    received,
)

_MEMORY_BYTES = 1024 * 1024 * 1024


class _Work(NamedTuple):
    answer: Callable[[Question], object]
    cpu_seconds: int


_WORK = {
    LETTERS["trial"]: _Work(trial.answer, trial.CPU_SECONDS),
    LETTERS["vetting"]: _Work(vetting.answer, vetting.CPU_SECONDS),
}


def serve(control: socket.socket, *, idle_seconds: float) -> None:
    """Fork a child for each connection that is handed over, until none is for a while."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with whoever started it
    control.settimeout(idle_seconds)
    gc.freeze()
    while True:
        try:
            letter, lines, _, _ = socket.recv_fds(control, 1, 1)
        except TimeoutError:
            return
        if not letter or not lines:
            return
        if os.fork() == 0:
            control.close()
            _be_a_child(_WORK[letter], lines[0])
        os.close(lines[0])


def _be_a_child(work: _Work, descriptor: int) -> None:
    """Answer one question and end."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        _limit(work.cpu_seconds)
        with socket.socket(fileno=descriptor) as line:
            line.sendall(BEGUN)
            until = time.monotonic() + WALL_SECONDS
            size = int.from_bytes(received(line, SIZE_BYTES, until), "big")
            answer = json.dumps(work.answer(json.loads(received(line, size, until)))).encode()
            line.sendall(len(answer).to_bytes(SIZE_BYTES, "big") + answer)
        code = 0
    finally:
        os._exit(code)


def _limit(cpu_seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    most = _mapped_bytes() + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _mapped_bytes() -> int:
    """Return how much address space this process has already; libraries map a lot of it."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split(" ", 1)[0])
    except OSError:  # elsewhere than on Linux the limit is not kept to anyway
        return 0
    return pages * resource.getpagesize()


def _connection() -> socket.socket:
    """Take over what standard input is connected to, and leave nothing there."""
    control = socket.socket(fileno=os.dup(0))
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return control


if __name__ == "__main__":
    serve(_connection(), idle_seconds=float(sys.argv[1]))
