"""Compiled rules, one machine for each thread, dropped only where they were made.

The engine's machines are native and bound to their thread: used elsewhere they fail, dropped
elsewhere they are leaked with a complaint. The garbage collector runs in whichever thread
needs memory, so nothing it can reach may hold a machine; each thread keeps its own instead.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from safeconduct.policy.exactness import exact
from safeconduct.policy.rego import compiled

if TYPE_CHECKING:
    import regorus

    from safeconduct.policy.bundle import Bundle


class _Kept(threading.local):
    """What the current thread has compiled: each machine beside whom it is for."""

    def __init__(self) -> None:
        self.machines: dict[int, tuple[weakref.ref[Machines], regorus.Rvm]] = {}


# Lives with the threads and not with the program, so no constructor could own it.
_kept = _Kept()


class Machines:
    """The machines of one bundle, a compiled one for each thread that asks.

    Attributes:
        modules: What was compiled: the bundle's, spelled out.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Compile the rules for this thread at once, so that what is wrong shows now.

        Raises:
            BundleError: If they do not compile; the message names the file and the line.
        """
        self.modules = exact(bundle.modules)
        self._data = bundle.data
        self._compile()

    def current(self) -> regorus.Rvm:
        """Return this thread's machine."""
        mine = _kept.machines.get(id(self))
        # An id is used again after its owner's end, so the owner is looked at as well.
        return mine[1] if mine is not None and mine[0]() is self else self._compile()

    def discard(self) -> None:
        """Forget this thread's machine; the next one is compiled anew."""
        _kept.machines.pop(id(self), None)

    def _compile(self) -> regorus.Rvm:
        machine = compiled(self.modules, self._data)
        # Machines whose owner is gone go now, in their own thread.
        ended = [key for key, (owner, _) in _kept.machines.items() if owner() is None]
        for key in ended:
            del _kept.machines[key]
        _kept.machines[id(self)] = (weakref.ref(self), machine)
        return machine
