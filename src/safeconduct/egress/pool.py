"""The connections to one origin: idle ones last-in first-out, a ceiling, a bounded queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from safeconduct.egress.failures import Limits, UpstreamFailed, UpstreamTimeout
from safeconduct.egress.wire import Connection


class _Waiter(NamedTuple):
    turn: asyncio.Future[Connection]
    deadline: float


class Pool:
    """Keeps the connections to one origin."""

    def __init__(
        self,
        *,
        limits: Limits,
        most: int,
        connect: Callable[[Connection], Awaitable[None]],
        watch: Callable[[], None],
    ) -> None:
        """Make an empty pool.

        Args:
            limits: How many may wait, and for how long.
            most: How many connections there may be.
            connect: Connects a new connection to the origin.
            watch: Called when there is something that `tick` must look after.
        """
        self._limits = limits
        self._most = most
        self._connect = connect
        self._watch = watch
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._waiting: deque[_Waiter] = deque()

    @property
    def busy(self) -> bool:
        """Whether there is anything to look after."""
        return bool(self._all or self._waiting)

    def take(self) -> Connection | None:
        """Return an idle connection that is still good, without waiting."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.reusable():
                return connection
            connection.abort()
        return None

    async def acquire(self) -> Connection:
        """Return a connection: idle, new, or the first that becomes free."""
        while True:
            connection = self.take()
            if connection is None:
                has_room = len(self._all) < self._most
                connection = self._new() if has_room else await self._turn()
            if not connection.connected:
                await self._open(connection)
                return connection
            if connection.reusable():
                return connection
            connection.abort()

    def tick(self, now: float) -> None:
        """Look after deadlines."""
        for connection in tuple(self._all):
            connection.tick(now)
        while self._waiting and self._waiting[0].deadline <= now:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_exception(UpstreamTimeout("the upstream is too busy", sent=False))

    def close(self) -> None:
        """Close everything; who waits is told."""
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_exception(UpstreamFailed("the gateway is closing", sent=False))
        for connection in tuple(self._all):
            connection.abort()

    def free(self, connection: Connection) -> None:
        """Take a connection back, or hand it to whoever has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_result(connection)
                return
        self._idle.append(connection)

    def gone(self, connection: Connection) -> None:
        """Forget a connection; its place goes to whoever has waited longest."""
        if connection not in self._all:
            return
        self._all.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        while self._waiting:
            turn = self._waiting.popleft().turn
            if not turn.done():
                turn.set_result(self._new())
                return

    def _new(self) -> Connection:
        connection = Connection(owner=self, limits=self._limits)
        self._all.add(connection)
        self._watch()
        return connection

    async def _open(self, connection: Connection) -> None:
        opened = False
        try:
            await self._connect(connection)
            opened = connection.connected and not connection.closed
        finally:
            if not opened:  # refused, too late or cancelled: the place is free again
                connection.abort()
        if not opened:
            raise UpstreamFailed("the upstream closed the connection at once", sent=False)

    async def _turn(self) -> Connection:
        if len(self._waiting) >= self._limits.waiting:
            raise UpstreamFailed("the upstream is too busy", sent=False)
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), loop.time() + self._limits.connect_seconds)
        self._waiting.append(waiter)
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._return(waiter.turn.result())
            raise

    def _return(self, connection: Connection) -> None:
        """Pass on what arrived too late for the one who had asked."""
        if connection.connected and connection.reusable():
            self.free(connection)
        else:
            connection.abort()
