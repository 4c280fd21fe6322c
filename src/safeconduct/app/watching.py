"""Keeps the catalogue true: reads servers again when they may have changed, and now and then."""

from __future__ import annotations

import asyncio
import logging

from safeconduct.app.building import Installation
from safeconduct.audit import Event
from safeconduct.core.errors import GatewayError
from safeconduct.core.model import HostId, ServerKey
from safeconduct.upstreams import Findings, observe, unreachable, wanted

_LEAST_SECONDS = 10.0  # between two readings of one server, however often it is asked for
_log = logging.getLogger(__name__)


class CatalogueWatch:
    """Reads tool lists and compares them with what was reviewed."""

    def __init__(self, parts: Installation) -> None:
        self._parts = parts
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

        Raises:
            GatewayError: If it cannot be read; that has been noted beside the server.
        """
        parts = self._parts
        async with parts.database.read() as tx:
            about = await wanted(tx, host, server)
        if about is None:
            return []
        try:
            findings: Findings = await parts.crawler.crawl(about.url)
        except GatewayError as error:
            async with parts.database.write() as tx:
                await unreachable(tx, host, server, problem=error.public, at=parts.clock.now())
            raise
        async with parts.database.write() as tx:
            changed = await observe(
                tx,
                host,
                about,
                eras=findings.eras,
                spellings=findings.spellings,
                at=parts.clock.now(),
            )
            for name in changed:
                parts.trail.append(
                    Event(
                        kind="tool.changed",
                        host=host,
                        server=server,
                        resource_kind="tool",
                        resource=name,
                    )
                )
        return changed

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
        except GatewayError as error:
            _log.warning("server %s of host %s cannot be read: %s", server, host, error.public)
