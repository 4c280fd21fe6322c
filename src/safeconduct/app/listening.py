"""Listens to servers for changes, one stream for each server and installation.

Only with credentials of the gateway's own, or none: a person's are for that person's calls. A
server that does not want it, or ends it at once, is asked again ever more rarely; the sweeps read
it meanwhile. Whenever a stream opens, the server is read: nobody heard what changed before.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Protocol

from safeconduct.core.errors import GatewayError
from safeconduct.core.model import HostId, ServerKey
from safeconduct.storage import Change, Database, Feed
from safeconduct.upstreams import (
    LEGACY,
    MODERN,
    Catalogue,
    Listener,
    Manners,
    NotHeard,
    Server,
    every_server,
)

_MOST_STREAMS = 1000  # the servers beyond are read by the sweeps alone
_FIRST_PAUSE_SECONDS = 1.0
_FIRST_PAUSE_SECONDS_AFTER_REFUSAL = 60.0
_LONGEST_PAUSE_SECONDS = 1800.0
_STEADY_SECONDS = 60.0  # a stream that lasted so long was no failure
_SPREAD = 0.2
Key = tuple[HostId, ServerKey]


class Signals(Protocol):
    """Is told what may have changed."""

    def soon(self, host: HostId, server: ServerKey) -> None:
        """Read a server shortly."""


class Listening:
    """Keeps the streams of changes."""

    def __init__(
        self,
        database: Database,
        feed: Feed,
        *,
        listener: Listener,
        catalogue: Catalogue,
        manners: Manners,
        watch: Signals,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Take the collaborators; nothing is opened before the first `look_around`."""
        self._database = database
        self._listener = listener
        self._catalogue = catalogue
        self._manners = manners
        self._watch = watch
        self._chance = chance
        self._streams: dict[Key, asyncio.Task[None]] = {}
        self._spoken: dict[Key, tuple[str, tuple[str, ...]]] = {}
        self._stale = True
        feed.follow(self._on_change)

    async def look_around(self) -> None:
        """Listen to the servers there are, and to no others."""
        if not self._stale:
            return
        self._stale = False
        async with self._database.read() as tx:
            keys = await every_server(tx)
        servers = [await self._catalogue.get(*key) for key in keys[:_MOST_STREAMS]]
        wanted = {(each.host, each.key): each for each in servers if each and each.eras}
        for key in [*self._streams]:
            if key not in wanted or self._spoken[key] != _spoken(wanted[key]):
                await self._end(key)
        for key, server in wanted.items():
            if key not in self._streams:
                task = asyncio.get_running_loop().create_task(self._keep_listening(server))
                self._streams[key], self._spoken[key] = task, _spoken(server)

    async def close(self) -> None:
        """End every stream, also to leave them to another process."""
        self._stale = True
        for key in [*self._streams]:
            await self._end(key)

    async def _end(self, key: Key) -> None:
        task = self._streams.pop(key)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _keep_listening(self, server: Server) -> None:
        clock, failures = asyncio.get_running_loop().time, 0
        modern = MODERN in server.eras
        while True:
            began = clock()
            refused = False
            try:
                await self._listen(server, modern=modern)
            except NotHeard:
                modern = MODERN in server.eras and not (modern and LEGACY in server.eras)
                refused = True
            except GatewayError:
                pass  # a broken stream; that a server is down is noted by who reads it
            failures = 0 if clock() - began >= _STEADY_SECONDS else failures + 1
            await asyncio.sleep(pause_after(failures, refused=refused, chance=self._chance()))

    async def _listen(self, server: Server, *, modern: bool) -> None:
        manner = self._manners.of(server.host, server.key)
        changes = self._listener.changes(server.url, modern=modern, manner=manner)
        async with aclosing(changes) as stream:
            async for _ in stream:
                self._watch.soon(server.host, server.key)

    def _on_change(self, change: Change) -> None:
        if change.kind in {"server", "host"}:
            self._stale = True


def pause_after(failures: int, *, refused: bool, chance: float) -> float:
    """Return after how many seconds a server is to be listened to again.

    Args:
        failures: How many streams in a row ended early by now.
        refused: Whether the server said that it does not want this.
        chance: From 0 to 1; spreads the attempts.
    """
    first = _FIRST_PAUSE_SECONDS_AFTER_REFUSAL if refused else _FIRST_PAUSE_SECONDS
    pause = min(_LONGEST_PAUSE_SECONDS, first * 2.0 ** min(max(failures - 1, 0), 16))
    return pause * (1 - _SPREAD * chance)


def _spoken(server: Server) -> tuple[str, tuple[str, ...]]:
    """Return what a stream depends on: where the server is, and what it speaks."""
    return server.url, server.eras
