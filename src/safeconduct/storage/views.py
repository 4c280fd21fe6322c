"""A view: rows this process has in memory, dropped the moment the feed says they changed.

Look-ups that hit cost a dictionary access; misses read the database once. Absence is not
remembered, so nothing that comes into being is ever overlooked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from safeconduct.storage.changes import Change, Feed
from safeconduct.storage.database import Database, Read

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_RETRIES = 5


class View(Generic[K, V]):
    """A bounded, always current window on rows of one kind.

    Attributes:
        held: Returns the value if it is in memory. Never waits; None means "ask `get`".
    """

    def __init__(
        self,
        database: Database,
        feed: Feed,
        *,
        kind: str,
        load: Callable[[Read, K], Awaitable[V | None]],
        keys: Callable[[Change], K],
        size: int = 50_000,
    ) -> None:
        """Start empty.

        Args:
            database: Read on a miss.
            feed: Says what to drop.
            kind: The kind of change this view follows.
            load: Reads one value, or None when there is none.
            keys: Turns a change into the key it concerns.
            size: Entries kept; the least recently loaded go first.
        """
        self._database = database
        self._load = load
        self._keys = keys
        self._kind = kind
        self._size = size
        self._held: OrderedDict[K, V] = OrderedDict()
        self.held: Callable[[K], V | None] = self._held.get
        self._generation = 0
        feed.follow(self._on_change)

    async def get(self, key: K) -> V | None:
        """Return the value, reading it once if it is not in memory."""
        value = self._held.get(key)
        if value is not None:
            return value
        for _ in range(_RETRIES):
            generation = self._generation
            async with self._database.read() as tx:
                value = await self._load(tx, key)
            if generation == self._generation:  # nothing changed while we were reading
                if value is not None:
                    self._keep(key, value)
                return value
        return value

    def _keep(self, key: K, value: V) -> None:
        self._held[key] = value
        if len(self._held) > self._size:
            self._held.popitem(last=False)

    def _on_change(self, change: Change) -> None:
        if change.kind == self._kind:
            self._generation += 1
            self._held.pop(self._keys(change), None)
