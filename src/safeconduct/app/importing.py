"""Reads a server's tools into the catalogue, on somebody's word, and says what was found.

The network comes first and the transaction after it, so that nothing is locked while a server
is slow. What cannot be read is noted beside the server and is no failure of the caller's.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from msgspec.structs import replace

from safeconduct.app.naming import (
    bound_in,
    lost_bindings,
    names_of,
    schemas_in,
    unknown_names,
)
from safeconduct.app.plan import Imported
from safeconduct.audit import Event, Trail
from safeconduct.core.clock import Clock
from safeconduct.core.errors import GatewayError
from safeconduct.core.model import HostId, Level, ServerKey
from safeconduct.storage import Database, Write
from safeconduct.upstreams import (
    LEGACY,
    MODERN,
    REVIEW,
    Catalogue,
    Crawler,
    Findings,
    Manner,
    Manners,
    Observed,
    Omission,
    Server,
    Wanted,
    named,
    observe,
    unreachable,
    wanted,
)

if TYPE_CHECKING:
    from safeconduct.app.building import Installation

_PATIENCE_SECONDS = 20.0
_UNREADABLE = (
    "server %s of host %s cannot be read: %s. Its calls fail and what it changes is not noticed "
    "until it answers; see that it runs and can be reached, then: safeconduct servers check"
)
_log = logging.getLogger(__name__)


class Importer:
    """Reads one server at a time."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        trail: Trail,
        crawler: Crawler,
        catalogue: Catalogue,
        manners: Manners | None = None,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._trail = trail
        self._crawler = crawler
        self._manners = manners or Manners()
        self._catalogue = catalogue
        self._patience_seconds = patience_seconds

    @classmethod
    def of(cls, parts: Installation) -> Importer:
        """Take what is needed from an installation."""
        return cls(
            parts.database,
            clock=parts.clock,
            trail=parts.trail,
            crawler=parts.crawler,
            manners=parts.manners,
            catalogue=parts.catalogue,
        )

    async def read(self, host: HostId, key: ServerKey) -> Imported | None:
        """Ask a server for its tools and compare them with what was reviewed.

        Returns:
            What was found, or None if the host has no such server (any more).
        """
        async with self._database.read() as tx:
            about = await wanted(tx, host, key)
        if about is None:
            return None
        found = await self._found(about, self._manners.of(host, key))
        async with self._database.write() as tx:
            # It may have been changed or removed while it was talking to us.
            if await wanted(tx, host, key) != about:
                return None
            if isinstance(found, str):
                if await unreachable(tx, host, key, problem=found, at=self._clock.now()):
                    _log.warning(_UNREADABLE, key, host, found)
                return Imported(host=host, server=key, problem=found)
            before = self._catalogue.held(host, key)
            unknown = self._unknown(about, found)
            observed = await self._observed(tx, host, about, found, unknown)
        omissions = (*found.omissions, *unknown)
        if omissions and (before is None or _left_out(before) != omissions):
            left = named(omissions)
            _log.warning("server %s of host %s: not taken over: %s", key, host, left)
        if observed.recovered:
            _log.warning("server %s of host %s answers again", key, host)
        server = await self._catalogue.get(host, key)
        if server is None:
            return None
        counted = _counted(server, tuple(observed.quarantined))
        return replace(counted, holds_seconds=found.holds_seconds)

    async def _found(self, about: Wanted, manner: Manner) -> Findings | str:
        """Return what a server offers, or one sentence about why it cannot be read."""
        if about.http is not None:  # what it offers has been said, and we speak for it
            return Findings(eras=(MODERN, LEGACY), spellings=[about.http.definitions()])
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await self._crawler.crawl(about.url, manner)
        except GatewayError as error:
            return error.public
        except TimeoutError:
            return f"it took longer than {self._patience_seconds:.0f} seconds"

    def _unknown(self, about: Wanted, found: Findings) -> tuple[Omission, ...]:
        """Return names of the configuration that the server has not; an API was checked before."""
        if about.http is not None:
            return ()
        return (
            *unknown_names(about.tools or (), about.overrides, names_of(found)),
            *lost_bindings(bound_in(about), schemas_in(found)),
        )

    async def _observed(
        self,
        tx: Write,
        host: HostId,
        about: Wanted,
        found: Findings,
        unknown: tuple[Omission, ...],
    ) -> Observed:
        observed = await observe(
            tx,
            host,
            about,
            eras=found.eras,
            spellings=found.spellings,
            others=found.others,
            omissions=(*found.omissions, *unknown),
            unread=found.unread,
            at=self._clock.now(),
        )
        for kind, those in (("changed", observed.waits), ("repinned", observed.extended)):
            for each in those:
                self._trail.append(
                    Event(
                        kind=f"{each.kind}.{kind}",
                        host=host,
                        server=about.key,
                        resource_kind=each.kind,
                        resource=each.name or None,
                    )
                )
        return observed


def _left_out(server: Server) -> tuple[Omission, ...]:
    return tuple(each for each in server.omissions if each.listing != REVIEW)


def _counted(server: Server, quarantined: tuple[str, ...]) -> Imported:
    offered = [tool.level for tool in server.tools.values() if tool.offered]
    return Imported(
        host=server.host,
        server=server.key,
        eras=server.eras,
        low=offered.count(Level.LOW),
        medium=offered.count(Level.MEDIUM),
        high=offered.count(Level.HIGH),
        held_back=len(server.tools) - len(offered),
        quarantined=quarantined,
        left_out=tuple(map(str, server.omissions)),
        levels={
            tool.name: f"{tool.level.word}, {tool.because}"
            for tool in server.tools.values()
            if tool.offered
        },
    )
