"""Keeps the catalogue true: reads servers again when they may have changed, and now and then."""

from __future__ import annotations

import asyncio
import logging

from safeconduct.app.building import Installation
from safeconduct.app.importing import Importer
from safeconduct.app.plan import Imported
from safeconduct.core.errors import GatewayError
from safeconduct.core.model import HostId, ServerKey

_LEAST_SECONDS = 10.0  # between two readings of one server, however often it is asked for
_LEAST_SECONDS_AFTER_FAILURE = 1.0
_PERSONS_PATIENCE_SECONDS = 8.0
_log = logging.getLogger(__name__)


class CatalogueWatch:
    """Reads tool lists and compares them with what was reviewed."""

    def __init__(self, parts: Installation) -> None:
        self._parts = parts
        self._importer = Importer.of(parts)
        self._readings: dict[tuple[HostId, ServerKey], _Reading] = {}

    def soon(self, host: HostId, server: ServerKey) -> None:
        """Read a server again shortly; asking again meanwhile changes nothing."""
        self._reading(host, server)

    async def reach(self, host: HostId, server: ServerKey) -> bool:
        """Read a server while a person waits, unless that was done a moment ago.

        Returns:
            Whether it answered, with what can be read, while a person would wait.
        """
        reading = self._reading(host, server)
        try:
            async with asyncio.timeout(_PERSONS_PATIENCE_SECONDS):
                await reading.done.wait()
        except TimeoutError:
            return False
        return reading.answered

    async def check(self, host: HostId, server: ServerKey) -> list[str]:
        """Read one server now; returns the tools that went into quarantine.

        What goes wrong is noted beside the server, and logged.
        """
        found = await self._read(host, server)
        return [] if found is None else list(found.quarantined)

    async def check_all(self) -> None:
        """Read every server of every host, one after the other."""
        for host in self._parts.hosts.every():
            for server in await self._parts.catalogue.every(host.key):
                await self._quietly(host.key, server.key)

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = [reading.task for reading in self._readings.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _reading(self, host: HostId, server: ServerKey) -> _Reading:
        """Return the reading that is under way or was a moment ago, or begin one."""
        key = (host, server)
        reading = self._readings.get(key)
        if reading is None:
            reading = self._readings[key] = _Reading()
            reading.task = asyncio.get_running_loop().create_task(self._once(host, server, reading))
            reading.task.add_done_callback(lambda _: self._readings.pop(key, None))
        return reading

    async def _once(self, host: HostId, server: ServerKey, reading: _Reading) -> None:
        try:
            reading.answered = await self._quietly(host, server)
        finally:
            reading.done.set()
        await asyncio.sleep(_LEAST_SECONDS if reading.answered else _LEAST_SECONDS_AFTER_FAILURE)

    async def _quietly(self, host: HostId, server: ServerKey) -> bool:
        try:
            found = await self._read(host, server)
        except GatewayError as error:  # it was read, and could not be written down
            _log.warning("server %s of host %s cannot be noted: %s", server, host, error.public)
            return False
        return found is not None and found.problem is None

    async def _read(self, host: HostId, server: ServerKey) -> Imported | None:
        found = await self._importer.read(host, server)
        if found is not None and found.problem is not None:
            _log.warning("server %s of host %s cannot be read: %s", server, host, found.problem)
        return found


class _Reading:
    """One reading of one server, remembered for a moment."""

    task: asyncio.Task[None]

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.answered = False
