"""Keeps the catalogue true: reads servers again when they may have changed, and now and then."""

from __future__ import annotations

import asyncio
import logging

from safeconduct.app.building import Installation
from safeconduct.app.importing import Importer
from safeconduct.core.errors import GatewayError
from safeconduct.core.model import HostId, ServerKey

_LEAST_SECONDS = 10.0  # between two readings of one server, however often it is asked for
_log = logging.getLogger(__name__)


class CatalogueWatch:
    """Reads tool lists and compares them with what was reviewed."""

    def __init__(self, parts: Installation) -> None:
        self._parts = parts
        self._importer = Importer.of(parts)
        self._waiting: dict[tuple[HostId, ServerKey], asyncio.Task[None]] = {}

    def soon(self, host: HostId, server: ServerKey) -> None:
        """Read a server again shortly; asking again meanwhile changes nothing."""
        key = (host, server)
        if key not in self._waiting:
            task = asyncio.get_running_loop().create_task(self._after_a_while(host, server))
            self._waiting[key] = task
            task.add_done_callback(lambda _: self._waiting.pop(key, None))

    async def check(self, host: HostId, server: ServerKey) -> list[str]:
        """Read one server now; returns the tools that went into quarantine.

        What goes wrong has been noted beside the server, and is logged.
        """
        found = await self._importer.read(host, server)
        if found is None:  # it was removed or replaced meanwhile
            return []
        if found.problem is not None:
            _log.warning("server %s of host %s cannot be read: %s", server, host, found.problem)
        return list(found.quarantined)

    async def check_all(self) -> None:
        """Read every server of every host, one after the other."""
        for host in self._parts.hosts.every():
            for server in await self._parts.catalogue.every(host.key):
                await self._quietly(host.key, server.key)

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = list(self._waiting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _after_a_while(self, host: HostId, server: ServerKey) -> None:
        await self._quietly(host, server)
        await asyncio.sleep(_LEAST_SECONDS)

    async def _quietly(self, host: HostId, server: ServerKey) -> None:
        try:
            await self.check(host, server)
        except GatewayError as error:  # it could not be written down
            _log.warning("server %s of host %s cannot be noted: %s", server, host, error.public)
