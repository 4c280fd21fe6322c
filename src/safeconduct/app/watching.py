"""Keeps the catalogue true: reads servers again when they may have changed.

A reading is shared by whoever wants one at the same time. A signal that comes while one runs, or
a moment after it, is followed by another reading: what changed since is not overlooked. How often
a server is read is bounded, however often it signals.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import NamedTuple

from safeconduct.app.building import Installation
from safeconduct.app.importing import Importer
from safeconduct.app.plan import Imported
from safeconduct.core.errors import GatewayError
from safeconduct.core.model import HostId, ServerKey
from safeconduct.storage import StorageError

_RECENT_SECONDS = 10.0  # a reading is recent enough for a person who waits
_LEAST_SECONDS = 1.0  # between the end of a reading and the next one of a server that signals
_MOST_A_MINUTE = 6  # readings of one server; more signals wait for the next
_MINUTE_SECONDS = 60.0
_PERSONS_PATIENCE_SECONDS = 8.0
Key = tuple[HostId, ServerKey]
_log = logging.getLogger(__name__)


class CatalogueWatch:
    """Reads what servers offer and compares it with what was reviewed."""

    def __init__(self, parts: Installation) -> None:
        self._importer = Importer.of(parts)
        self._readings: dict[Key, _Reading] = {}
        self._latest: dict[Key, _Latest] = {}
        self._begun: dict[Key, deque[float]] = {}

    def soon(self, host: HostId, server: ServerKey) -> None:
        """Read a server shortly, and surely later than now: something may have changed."""
        known = self._readings.get((host, server))
        if known is None:
            self._begin((host, server))
        else:
            known.signalled = True

    async def reach(self, host: HostId, server: ServerKey) -> bool:
        """Read a server while a person waits, unless that was done a moment ago.

        Returns:
            Whether it answered, with what can be read, while a person would wait.
        """
        latest = self._latest.get((host, server))
        if latest is not None and latest.is_recent(_now()):
            return latest.answered
        try:
            async with asyncio.timeout(_PERSONS_PATIENCE_SECONDS):
                found = await self.reread(host, server)
        except TimeoutError:
            return False
        return found is not None and found.problem is None

    async def reread(self, host: HostId, server: ServerKey) -> Imported | None:
        """Read a server, together with whoever else reads it now; None if that failed here."""
        key = (host, server)
        reading = self._readings.get(key) or self._begin(key)
        await reading.done.wait()
        return reading.found

    async def check(self, host: HostId, server: ServerKey) -> list[str]:
        """Read one server now; returns the tools that went into quarantine.

        What goes wrong is noted beside the server, and logged.
        """
        found = await self._importer.read(host, server)
        return [] if found is None else list(found.quarantined)

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = [reading.task for reading in self._readings.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: Key) -> _Reading:
        reading = self._readings[key] = _Reading()
        reading.task = asyncio.get_running_loop().create_task(self._keep_reading(key, reading))
        return reading

    async def _keep_reading(self, key: Key, reading: _Reading) -> None:
        """Read once, and again for as long as signals come while we do."""
        try:
            while True:
                await asyncio.sleep(self._pause(key))
                reading.signalled = False  # before looking, so that nothing falls in between
                self._begun.setdefault(key, deque(maxlen=_MOST_A_MINUTE)).append(_now())
                reading.found = await self._quietly(*key)
                self._latest[key] = _Latest(_now(), reading.found)
                reading.done.set()
                if not reading.signalled:
                    return
                reading = self._readings[key] = _Reading.after(reading)
        finally:
            reading.done.set()
            del self._readings[key]

    def _pause(self, key: Key) -> float:
        """Return how long a server has to wait for its next reading."""
        latest, begun = self._latest.get(key), self._begun.get(key, ())
        if latest is None or not begun:
            return 0.0
        earliest = latest.at + _LEAST_SECONDS
        if len(begun) == _MOST_A_MINUTE:
            earliest = max(earliest, begun[0] + _MINUTE_SECONDS)
        return max(0.0, earliest - _now())

    async def _quietly(self, host: HostId, server: ServerKey) -> Imported | None:
        try:
            return await self._importer.read(host, server)
        except (GatewayError, OSError, StorageError) as error:  # read, and not written down
            reason = error.public if isinstance(error, GatewayError) else type(error).__name__
            _log.warning("server %s of host %s cannot be noted: %s", server, host, reason)
            return None


class _Reading:
    """One reading of one server, shared by who wants it while it is under way."""

    task: asyncio.Task[None]

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.signalled = False
        self.found: Imported | None = None

    @classmethod
    def after(cls, reading: _Reading) -> _Reading:
        """Return the next reading of the same task."""
        following = cls()
        following.task = reading.task
        return following


class _Latest(NamedTuple):
    """What came of the last reading of a server, and when, by the loop's clock."""

    at: float
    found: Imported | None

    @property
    def answered(self) -> bool:
        return self.found is not None and self.found.problem is None

    def is_recent(self, now: float) -> bool:
        """Say whether a person who waits may be told this."""
        return now < self.at + (_RECENT_SECONDS if self.answered else _LEAST_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()
