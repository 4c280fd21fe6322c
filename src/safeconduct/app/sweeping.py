"""Reads every server now and then, by the one process of the installation that does so.

How often is up to the server: its lists say how long they hold (`ttlMs`, MCP 2026-07-28), within
bounds. Servers are read beside one another and not all at once; one that hangs delays none.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import NamedTuple

from safeconduct.app.plan import Imported
from safeconduct.app.watching import CatalogueWatch
from safeconduct.core.model import HostId, ServerKey
from safeconduct.storage import Change, Database, Feed
from safeconduct.upstreams import every_server

LEAST_SECONDS, MOST_SECONDS = 10.0, 600.0
_MOST_AT_ONCE = 32
_FIRST_SECONDS_AFTER_FAILURE = 30.0
_SPREAD = 0.2  # how much earlier than it must a server may be read
_log = logging.getLogger(__name__)
Key = tuple[HostId, ServerKey]


class Due(NamedTuple):
    """When a server is to be read next, by the loop's clock, and how often it failed by now."""

    at: float
    failures: int = 0


class Sweeps:
    """Reads servers when they are due."""

    def __init__(
        self,
        database: Database,
        feed: Feed,
        *,
        watch: CatalogueWatch,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the collaborators; nothing is due before the first `look_around`.

        Args:
            chance: Returns a number from 0 to 1; spreads the readings.
        """
        self._database = database
        self._watch = watch
        self._chance = chance
        self._due: dict[Key, Due] = {}
        self._reading: dict[Key, asyncio.Task[None]] = {}
        self._stale = True
        feed.follow(self._on_change)

    async def look_around(self) -> None:
        """Begin the readings that are due; waits for none of them."""
        now = asyncio.get_running_loop().time()
        if self._stale:
            await self._refresh(now)
        for key, due in sorted(self._due.items(), key=lambda each: each[1].at):
            if due.at > now or len(self._reading) >= _MOST_AT_ONCE:
                return
            if key not in self._reading:
                self._reading[key] = asyncio.get_running_loop().create_task(self._read(key))

    def forget(self) -> None:
        """Leave it to another process; what is under way comes to its end."""
        self._due.clear()
        self._stale = True

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = [*self._reading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refresh(self, now: float) -> None:
        """Take over which servers there are; those that are new to us are due at once."""
        self._stale = False
        async with self._database.read() as tx:
            keys = await every_server(tx)
        self._due = {key: self._due.get(key, Due(now)) for key in keys}

    async def _read(self, key: Key) -> None:
        failures = self._due.get(key, Due(0.0)).failures
        try:
            found = await self._watch.reread(*key)
            failed = found is None or found.problem is not None
            failures = failures + 1 if failed else 0
            pause = pause_after(found, failures, chance=self._chance())
            if key in self._due:
                self._due[key] = Due(asyncio.get_running_loop().time() + pause, failures)
        finally:
            del self._reading[key]

    def _on_change(self, change: Change) -> None:
        if change.kind in {"server", "host"}:
            self._stale = True


def pause_after(found: Imported | None, failures: int, *, chance: float) -> float:
    """Return after how many seconds a server is to be read again.

    Args:
        found: What came of the last reading.
        failures: How many failed in a row by now.
        chance: From 0 to 1; spreads the readings.
    """
    if failures:
        longest = min(MOST_SECONDS, _FIRST_SECONDS_AFTER_FAILURE * 2.0 ** min(failures - 1, 10))
    else:
        held = None if found is None else found.holds_seconds
        longest = min(MOST_SECONDS, max(LEAST_SECONDS, MOST_SECONDS if held is None else held))
    return longest * (1 - _SPREAD * chance)
