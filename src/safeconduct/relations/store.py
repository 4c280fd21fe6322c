"""The edges of hosts in memory: read once, in portions, then kept by the changes themselves.

While a host is being read its changes are set aside and applied afterwards. Each of them says
what is so from then on, whatever the portions had already seen, so the picture ends up right.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

from safeconduct.core.model import HostId
from safeconduct.relations import tuples
from safeconduct.relations.graph import Graph
from safeconduct.relations.tuples import KIND, delta
from safeconduct.storage import Change, Database, Feed

_PORTION = 1000  # about ten milliseconds of the event loop
_HOSTS = 1000
_FIRST = ("", "", "")


class Relations:
    """Every host's edges, as far as somebody has asked for them."""

    def __init__(self, database: Database, feed: Feed, *, hosts: int = _HOSTS) -> None:
        """Start empty.

        Args:
            database: Where the edges are stored.
            feed: Says what changes.
            hosts: How many hosts are held; the least recently asked for go first.
        """
        self._database = database
        self._most = hosts
        self._held: OrderedDict[HostId, Graph] = OrderedDict()
        self._aside: dict[HostId, list[str]] = {}
        self._turns: dict[HostId, asyncio.Lock] = {}
        feed.follow(self._on_change)

    def held(self, host: HostId) -> Graph | None:
        """Return the edges if they are in memory. Never waits; None means "ask `graph`"."""
        return self._held.get(host)

    async def graph(self, host: HostId) -> Graph:
        """Return the edges of a host, reading them if nobody has asked before.

        The graph goes on changing with the store. Ask again for each decision.
        """
        graph = self._held.get(host)
        if graph is not None:
            self._held.move_to_end(host)
            return graph
        async with self._turns.setdefault(host, asyncio.Lock()):
            graph = self._held.get(host)
            return graph if graph is not None else await self._read(host)

    async def _read(self, host: HostId) -> Graph:
        graph = Graph()
        aside = self._aside[host] = []
        try:
            after = _FIRST
            while True:
                async with self._database.read() as tx:
                    rows = await tuples.chunk(tx, host, after=after, size=_PORTION)
                for object_, relation, subject, expires_at in rows:
                    ends = math.inf if expires_at is None else expires_at.timestamp()
                    graph.add(object_, relation, subject, ends)
                if len(rows) < _PORTION:
                    break
                after = rows[-1][:3]
                await asyncio.sleep(0)
            for change in aside:
                graph.apply(*delta(change))
        finally:
            del self._aside[host]
        self._keep(host, graph)
        return graph

    def _keep(self, host: HostId, graph: Graph) -> None:
        self._held[host] = graph
        if len(self._held) > self._most:
            gone, _ = self._held.popitem(last=False)
            self._turns.pop(gone, None)

    def _on_change(self, change: Change) -> None:
        if change.kind != KIND:
            return
        host = HostId(change.host)
        aside = self._aside.get(host)
        if aside is not None:
            aside.append(change.key)
        graph = self._held.get(host)
        if graph is not None:
            try:
                graph.apply(*delta(change.key))
            except ValueError:
                del self._held[host]  # not in words we know: read it all again
