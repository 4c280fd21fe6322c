"""How often an address may come: windows that slide, each with its own limit."""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from typing import NamedTuple

from safeconduct.storage import Tally, TallyBusy

_MOST_ADDRESSES = 100_000
_TRIES = 500  # about a millisecond
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
CHECKS = "/access/"


class Limits(NamedTuple):
    """Requests per address; each number belongs to the window in its name."""

    sign_in_per_5_minutes: int = 100
    sign_up_per_10_minutes: int = 100
    register_per_minute: int = 100
    mcp_per_minute: int = 1000
    checks_per_minute: int = 1000
    writes_per_minute: int = 1200
    all_per_minute: int = 2000


class Window:
    """Counts per key in a sliding window: this span's count and a share of the last one's."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._counts: OrderedDict[str, list[float]] = OrderedDict()

    def hit(self, key: str, now: float) -> int:
        """Count one; returns 0, or after how many seconds to come back (it did not count)."""
        span = now // self._seconds
        held = self._counts.get(key)
        if held is None:
            if len(self._counts) >= _MOST_ADDRESSES:
                self._counts.popitem(last=False)
            held = self._counts[key] = [span, 0.0, 0.0]
        elif held[0] != span:
            held[2] = held[1] if held[0] == span - 1 else 0.0
            held[0], held[1] = span, 0.0
        elapsed = now / self._seconds - span
        if held[1] + held[2] * (1 - elapsed) >= self._limit:
            return max(1, round((1 - elapsed) * self._seconds))
        held[1] += 1
        return 0


class SharedWindow(Window):
    """Counts together with the other workers of this node; a little dearer, so not for calls."""

    def __init__(self, limit: int, seconds: float, *, name: str, tally: Tally) -> None:
        super().__init__(limit, seconds)
        self._name = name
        self._tally = tally

    def hit(self, key: str, now: float) -> int:
        for _ in range(_TRIES):
            with contextlib.suppress(TallyBusy):
                wait = self._tally.take(
                    ("edge", self._name, key), limit=self._limit, seconds=self._seconds, now=now
                )
                return min(math.ceil(wait), math.ceil(self._seconds))
        return super().hit(key, now)  # whoever counts there is stopped; our own count still holds


class Throttle:
    """Which windows a request falls into.

    Guesses and registrations are counted by all workers together; what calls pass is each worker's
    own count, since nothing that costs a system call belongs there.
    """

    def __init__(self, limits: Limits, tally: Tally | None = None) -> None:
        tally = tally or Tally()
        self._everything = Window(limits.all_per_minute, 60)
        self._writes = Window(limits.writes_per_minute, 60)
        self._mcp = Window(limits.mcp_per_minute, 60)
        self._checks = Window(limits.checks_per_minute, 60)
        self._by_path: dict[str, Window] = {
            "/login": SharedWindow(limits.sign_in_per_5_minutes, 300, name="login", tally=tally),
            "/login/create": SharedWindow(
                limits.sign_up_per_10_minutes, 600, name="create", tally=tally
            ),
            "/oauth/register": SharedWindow(
                limits.register_per_minute, 60, name="register", tally=tally
            ),
        }
        self._by_path["/login/forgot"] = self._by_path["/login/create"]
        self._by_path["/oauth/introspect"] = self._checks
        self._by_path["/register"] = self._by_path["/oauth/register"]

    def windows(self, method: str, path: str) -> tuple[Window, ...]:
        """Return the windows that a request counts in, the narrowest first."""
        if method not in _UNSAFE:
            return (self._everything,)
        if path.startswith("/mcp"):
            narrow: Window | None = self._mcp
        else:
            narrow = self._checks if path.startswith(CHECKS) else self._by_path.get(path)
        wide = (self._writes, self._everything)
        return wide if narrow is None else (narrow, *wide)


def wait(windows: tuple[Window, ...], address: str, *, now: float) -> int:
    """Count a request; returns 0, or the seconds to wait. `now` only ever grows."""
    for window in windows:
        seconds = window.hit(address, now)
        if seconds:
            return seconds
    return 0
