"""The command in a process of its own that need not import everything anew.

Run as a program, it imports what the command imports and forks for each command it is sent: its
directory, environment, arguments and where its output goes. That `python -m safeconduct` begins
and ends as it should is for other tests to show.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NoReturn

_CODE_BYTES = 4
_LONGEST_BYTES = 1 << 16


class Forks:
    """Runs commands in children of a process that has imported everything."""

    def __init__(self, *, sources: Path) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", __file__],
                stdin=theirs.fileno(),
                env={"PYTHONPATH": str(sources)},
            )
        atexit.register(self.close)

    def close(self) -> None:
        self._control.close()
        self._process.wait()

    def run(
        self, arguments: Sequence[str], *, directory: Path, environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end, a minute at the most."""
        asked = json.dumps([str(directory), dict(environ), list(arguments)]).encode()
        assert len(asked) < _LONGEST_BYTES
        ours, theirs = socket.socketpair()
        with ours, TemporaryFile() as out, TemporaryFile() as errors:
            with theirs:
                lines = [out.fileno(), errors.fileno(), theirs.fileno()]
                socket.send_fds(self._control, [asked], lines)
            ours.settimeout(60)
            code = int.from_bytes(ours.recv(_CODE_BYTES), "big", signed=True)
            return subprocess.CompletedProcess(arguments, code, _whole(out), _whole(errors))


@functools.cache
def forks(sources: Path) -> Forks:
    return Forks(sources=sources)


def _whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _serve(control: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    while True:
        asked, lines, _, _ = socket.recv_fds(control, _LONGEST_BYTES, 3)
        if not asked:
            return
        if os.fork() == 0:
            control.close()
            _keep(asked, lines)
        for line in lines:
            os.close(line)


def _keep(asked: bytes, lines: list[int]) -> NoReturn:
    """Run the command in a child, and tell with what it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out, errors, told = lines
    child = os.fork()
    if child == 0:
        os.close(told)
        for line, standard in ((out, 1), (errors, 2)):
            os.dup2(line, standard)
            os.close(line)
        _command(*json.loads(asked))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os.write(told, code.to_bytes(_CODE_BYTES, "big", signed=True))
    os._exit(0)


def _command(directory: str, environ: dict[str, str], arguments: list[str]) -> NoReturn:
    """Do what `python -m safeconduct` does, to the end of the interpreter."""
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv, sys.path[0] = ["safeconduct", *arguments], directory
    code = 1
    try:
        importlib.import_module("safeconduct.cli").main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except BaseException:  # noqa: BLE001  as the interpreter does
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]  # there is one
    threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter waits for
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _import_everything() -> None:
    work = importlib.import_module("safeconduct.cli.work")
    for module in pkgutil.iter_modules(work.__path__):
        importlib.import_module(f"safeconduct.cli.work.{module.name}")
    for name in ("safeconduct.cli.program", "safeconduct.app", "rich.console", "rich.table"):
        importlib.import_module(name)


if __name__ == "__main__":
    _import_everything()
    _line = socket.socket(fileno=os.dup(0))
    with Path(os.devnull).open("rb") as _nothing:
        os.dup2(_nothing.fileno(), 0)
    _serve(_line)
