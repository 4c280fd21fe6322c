"""A host's own rules on the engine's interpreter: what they deny and oblige to, for one input.

The interpreter is the sister of the engine's compiled machine that is held against OPA's own
cases. It knows no limits, so rules that could run long are asked in a process of their own,
which is this file run as a program (`apart` starts it): it imports nothing of ours, answers
frames of four bytes of length and that many bytes, and ends when it took too much time.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections import OrderedDict
from pathlib import Path
from typing import BinaryIO, NamedTuple

import regorus

CPU_SECONDS = 0.1
LOAD, ASK = b"L", b"A"
DONE, OBLIGATIONS_FAILED, FAILED, UNKNOWN = b"=", b"-", b"!", b"?"
KEY_BYTES = 64
MAX_FRAME_BYTES = 64 * 1024 * 1024
_MEMORY_BYTES = 1024 * 1024 * 1024
_MOST_LOADED = 64
_LOADING_SECONDS = 5.0
_PACKAGE = "data.safeconduct.extensions"

Modules = tuple[tuple[str, str], ...]


class Collected(NamedTuple):
    """What a host's rules say of one input.

    Attributes:
        text: JSON, `{"deny": [...], "obligations": [...]}`.
        complete: False where `obligations` failed; that matters only to what is allowed.
    """

    text: str
    complete: bool


class HostRules:
    """A host's modules, loaded. They belong to the thread that loaded them."""

    def __init__(self, modules: Modules, data: str, collected: tuple[str, ...]) -> None:
        """Load them.

        Args:
            modules: The host's, what they may read of ours, and what collects from them.
            data: JSON; what they read below `data`.
            collected: Which of `deny` and `obligations` they define.

        Raises:
            RuntimeError: If a module is not Rego.
        """
        self._engine = regorus.Engine()
        for file, text in modules:
            self._engine.add_policy(file, text)
        self._engine.add_data_json(data)
        self._collected = collected

    def collect(self, document: str) -> Collected:
        """Ask for everything about one input.

        Raises:
            RuntimeError: If `deny` has no answer; also where a rule has two values.
        """
        self._engine.set_input_json(document)
        deny = self._members("deny")
        try:
            obligations = self._members("obligations")
        except RuntimeError:
            return Collected(f'{{"deny":{deny},"obligations":[]}}', complete=False)
        return Collected(f'{{"deny":{deny},"obligations":{obligations}}}', complete=True)

    def _members(self, name: str) -> str:
        if name not in self._collected:
            return "[]"
        members: str = self._engine.eval_rule_as_json(f"{_PACKAGE}.{name}")
        return members


def write_frame(stream: BinaryIO, kind: bytes, content: bytes) -> None:
    """Write one frame."""
    stream.write((len(content) + 1).to_bytes(4, "big") + kind + content)
    stream.flush()


def _read_frame(stream: BinaryIO) -> bytes:
    size = int.from_bytes(stream.read(4), "big")
    return stream.read(size) if 0 < size <= MAX_FRAME_BYTES else b""


def _serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer frames until there are no more. The default of SIGVTALRM ends the process."""
    loaded: OrderedDict[bytes, HostRules] = OrderedDict()
    while frame := _read_frame(source):
        kind, key, content = frame[:1], frame[1 : 1 + KEY_BYTES], frame[1 + KEY_BYTES :]
        signal.setitimer(signal.ITIMER_VIRTUAL, _LOADING_SECONDS if kind == LOAD else CPU_SECONDS)
        try:
            answer = _answer(loaded, kind, key, content)
        except RuntimeError as error:
            answer = FAILED, str(error).encode()
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            os._exit(1)  # an engine that panicked is in an unknown state
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        write_frame(sink, *answer)


def _answer(
    loaded: OrderedDict[bytes, HostRules], kind: bytes, key: bytes, content: bytes
) -> tuple[bytes, bytes]:
    if kind == LOAD:
        given = json.loads(content)
        modules = tuple((file, text) for file, text in given["modules"])
        loaded[key] = HostRules(modules, given["data"], tuple(given["collected"]))
        if len(loaded) > _MOST_LOADED:
            loaded.popitem(last=False)
        return DONE, b""
    if key not in loaded:
        return UNKNOWN, b""
    loaded.move_to_end(key)
    found = loaded[key].collect(content.decode())
    return DONE if found.complete else OBLIGATIONS_FAILED, found.text.encode()


def _bounded() -> None:
    """Bound this process's memory to what it has mapped already and some more."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split(" ", 1)[0])
    except OSError:  # elsewhere than on Linux the limit is not kept to anyway
        pages = 0
    most = pages * resource.getpagesize() + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this ends it
    _bounded()
    _serve(sys.stdin.buffer, sys.stdout.buffer)
