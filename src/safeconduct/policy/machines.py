"""Rules made ready to run, once for each thread, dropped only where they were made.

The built-in rules are compiled; a host's own are interpreted, and what they say goes into the
input of the built-in ones as `extensions`. Both engines are native and bound to their thread:
used elsewhere they fail, dropped elsewhere they are leaked with a complaint. The garbage
collector runs in whichever thread needs memory, so nothing it can reach may hold one; each
thread keeps its own instead.
"""

from __future__ import annotations

import threading
import weakref
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from safeconduct.core.canonical import canonical_bytes
from safeconduct.policy.exactness import exact
from safeconduct.policy.interpreted import MAX_FRAME_BYTES, HostRules
from safeconduct.policy.loops import loop_depth
from safeconduct.policy.members import MEMBERS
from safeconduct.policy.rego import ENTRY_POINT, compiled, interpreted

if TYPE_CHECKING:
    import regorus

    from safeconduct.policy.bundle import Bundle
    from safeconduct.policy.rego import Modules

GLUE = "extensions.rego"
OWN = "host/"
# One loop over so many bytes of input, each item looked up in so many of data, ends soon.
_MOST_INPUT_HERE = 8 * 1024
_MOST_DATA_HERE = 32 * 1024
_COLLECTED = ("deny", "obligations")
# What a host's rules said stands in the input of the compiled ones.
_SAID = (
    "package safeconduct.extensions\n\n"
    "deny contains each if some each in input.extensions.deny\n\n"
    "obligations contains each if some each in input.extensions.obligations\n"
)
# The built-in packages that a host's rules may read.
_READABLE = ("levels.rego", "question.rego", "tiers.rego")


class Ready(NamedTuple):
    """What one thread runs: the compiled rules, and a host's own."""

    machine: regorus.Rvm
    own: HostRules | None


class _Kept(threading.local):
    """What the current thread has made: each beside whom it is for."""

    def __init__(self) -> None:
        self.ready: dict[int, tuple[weakref.ref[Machines], Ready]] = {}


# Lives with the threads and not with the program, so no constructor could own it.
_kept = _Kept()


class Machines:
    """The rules of one bundle, made ready for each thread that asks.

    Attributes:
        has_own: Whether a host has rules of its own.
        most_here: The longest input that they answer here, in bytes; for a longer one they
            could run long, and so run in a process of their own.
    """

    def __init__(self, bundle: Bundle, *, entry_points: tuple[str, ...] = (ENTRY_POINT,)) -> None:
        """Make them ready for this thread at once, so that what is wrong shows now.

        Args:
            bundle: The rules and their data.
            entry_points: The rules of the built-in packages that will be asked.

        Raises:
            BundleError: If they cannot be; the message names the file and the line.
        """
        self._bundle = bundle
        self._entry_points = list(entry_points)
        self.has_own = bundle.has_own_rules
        own = tuple(each for each in bundle.modules if each[0].startswith(OWN))
        self.most_here = self._longest(loop_depth(own))
        self._make()

    def _longest(self, depth: int) -> int:
        if depth == 0:
            return MAX_FRAME_BYTES
        short = depth == 1 and len(canonical_bytes(self._bundle.data)) <= _MOST_DATA_HERE
        return _MOST_INPUT_HERE if short else 0

    def current(self) -> Ready:
        """Return what this thread runs."""
        mine = _kept.ready.get(id(self))
        # An id is used again after its owner's end, so the owner is looked at as well.
        return mine[1] if mine is not None and mine[0]() is self else self._make()

    def discard(self) -> None:
        """Forget what this thread has; the next is made anew."""
        _kept.ready.pop(id(self), None)

    @cached_property
    def key(self) -> str:
        """The name of a host's rules where they run apart."""
        return self._bundle.digest

    def load(self) -> bytes:
        """Write what a host's rules are loaded from where they run apart."""
        modules, data, collected = self._interpreted
        return msgspec.json.encode({"modules": modules, "data": data, "collected": collected})

    @cached_property
    def _interpreted(self) -> tuple[Modules, str, tuple[str, ...]]:
        glue = dict(self._bundle.modules).get(GLUE, "")
        return (
            host_modules(self._bundle.modules),
            canonical_bytes(self._bundle.data).decode(),
            tuple(name for name in _COLLECTED if f"{name} contains" in glue),
        )

    def _make(self) -> Ready:
        modules: Modules = self._bundle.modules
        if self.has_own:
            modules = (*(each for each in modules if is_built_in(each[0])), (GLUE, _SAID))
        machine = compiled(modules, self._bundle.data, self._entry_points)
        own = interpreted(*self._interpreted) if self.has_own else None
        ready = Ready(machine, own)
        # Those whose owner is gone go now, in their own thread.
        ended = [key for key, (owner, _) in _kept.ready.items() if owner() is None]
        for key in ended:
            del _kept.ready[key]
        _kept.ready[id(self)] = (weakref.ref(self), ready)
        return ready


def is_built_in(file: str) -> bool:
    """Tell whether a module is one of the program's own."""
    return not file.startswith(OWN) and file != GLUE


def host_modules(modules: Modules) -> Modules:
    """Pick what a host's rules need to run: spelled out, with what they may read of ours."""
    picked = tuple(
        (file, text)
        for file, text in modules
        if not is_built_in(file) or file.rpartition("/")[2] in _READABLE
    )
    return (*exact(picked), MEMBERS)


def said_of(document: bytes, collected: str) -> str:
    """Put what a host's rules say into an input, as its last member: the last one counts."""
    inner = document.rstrip()
    comma = "" if inner == b"{}" else ","
    return f'{inner[:-1].decode()}{comma}"extensions":{collected}}}'
