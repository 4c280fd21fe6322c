"""Makes a process one of the nodes that serve a PostgreSQL database, for as long as it serves.

On a connection of its own it listens for changes and sends heartbeats. A heartbeat says what has
been applied and renews the lease; its answer is the latest revision, so that a notification
that got lost costs one heartbeat. When the database is away the lease runs out by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import socket
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from safeconduct.storage.changes import Feed
from safeconduct.storage.database import Database, StorageError
from safeconduct.storage.inquiries import Inquiries
from safeconduct.storage.lease import LEASE_SECONDS, Lease
from safeconduct.storage.nodes import CHANNEL, NOW, QUESTIONS

if TYPE_CHECKING:
    import psycopg

HEARTBEAT_SECONDS = 0.25
_PATIENCE_SECONDS = LEASE_SECONDS  # for one step; a connection that takes longer is given up
_FIRST_SECONDS = 30.0
_MICROSECONDS = int(LEASE_SECONDS * 1_000_000)
_KEPT_MICROSECONDS = 60_000_000  # the row of a node that died
_CLEAN_EVERY = 240  # heartbeats

_LISTEN = f"LISTEN {CHANNEL}; LISTEN {QUESTIONS}"
_SAY = "SELECT pg_notify(%(channel)s, %(text)s)"
_RENEW = f"""
    INSERT INTO nodes (id, since, until, applied)
    VALUES (%(id)s, {NOW}, {NOW} + {_MICROSECONDS}, %(applied)s)
    ON CONFLICT (id) DO UPDATE SET until = excluded.until, applied = excluded.applied
"""  # noqa: S608  our own numbers
_LATEST = (
    "SELECT coalesce(max(rev), 0),"  # noqa: S608  nothing in it is anybody's text
    f" (SELECT count(*) FROM nodes WHERE until > {NOW}) FROM changes"
)
_LEAVE = "DELETE FROM nodes WHERE id = %(id)s"
_CLEAN = f"DELETE FROM nodes WHERE until < {NOW} - {_KEPT_MICROSECONDS}"  # noqa: S608  likewise
_log = logging.getLogger(__name__)


class WentBack(Exception):
    """The database knows less than it did: changes to come would bear numbers we have seen."""


class Membership:
    """Joins on entering, with a live lease and every change applied; leaves on leaving."""

    def __init__(
        self,
        database: Database,
        feed: Feed,
        *,
        lease: Lease,
        lapsed: Callable[[], None],
        inquiries: Inquiries | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            database: On PostgreSQL; its `node` is our name.
            feed: Applies the changes.
            lease: What is renewed.
            lapsed: Called once each time the lease has run out; cuts what is open.
            inquiries: Questions that other nodes ask, and ours to them.
        """
        self._database = database
        self._feed = feed
        self._lease = lease
        self._lapsed = lapsed
        self._inquiries = inquiries or Inquiries()
        self._renewed = asyncio.Event()
        self._leaving = False
        self._acknowledged = -1
        self._beats = 0
        self._problem = "it does not answer"
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep_up())]
        self._tasks[0].add_done_callback(_tell_of_bugs)
        try:
            async with asyncio.timeout(_FIRST_SECONDS):
                await self._renewed.wait()
        except BaseException as error:
            await self._leave()
            if isinstance(error, TimeoutError):
                raise StorageError(f"the database gives no lease: {self._problem}") from error
            raise
        self._tasks.append(loop.create_task(self._watch()))
        self._inquiries.connect(self._ask)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave()

    async def _leave(self) -> None:
        self._leaving = True
        self._inquiries.connect(None)
        keeping, *watching = self._tasks
        for task in watching:
            task.cancel()
        # It looks up at the next heartbeat, and no step of it takes longer than its patience.
        await asyncio.wait({keeping}, timeout=2 * _PATIENCE_SECONDS)
        keeping.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_up(self) -> None:
        """Be a member for as long as we serve, on one connection after the other."""
        import psycopg  # noqa: PLC0415  megabytes that an installation on SQLite needs none of

        while not self._leaving:
            try:
                connection = await self._connected()
                try:
                    await self._listen(connection)
                finally:
                    await connection.close()
            except (OSError, TimeoutError, psycopg.Error, StorageError) as error:
                self._problem = str(error).strip().partition("\n")[0] or type(error).__name__
                await asyncio.sleep(HEARTBEAT_SECONDS)
            except WentBack:
                self._problem = "it knows less than before"
                _log.error(
                    "The database has forgotten changes it had announced (was it restored, or "
                    "has another taken over?). Restart this process; it refuses until then."
                )
                return

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        """Connect, within the driver's own patience: cancelled from outside, it leaves a socket."""
        import psycopg  # noqa: PLC0415  see above

        engine = self._database.engine
        _, options = engine.dialect.create_connect_args(engine.url)
        options["connect_timeout"] = math.ceil(_PATIENCE_SECONDS)
        return await psycopg.AsyncConnection.connect(**options, autocommit=True)

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        with _hanging_up(connection):
            await connection.execute(_LISTEN)
        while not self._leaving:
            await self._beat(connection)
            if self._feed.seen > self._acknowledged or not self._is_fresh():
                continue  # at once: somebody waits for the word, or the answer was long in coming
            notes = connection.notifies(timeout=HEARTBEAT_SECONDS, stop_after=1)
            # Read to its end first: until then, nothing can be said on this connection.
            for note in [note async for note in notes]:
                if note.channel == QUESTIONS:
                    await self._hear(connection, note.payload)
                else:
                    await self._database.catch_up()
        self._lease.end()  # first: nobody waits any more for who is not listed
        with _hanging_up(connection):
            await connection.execute(_LEAVE, {"id": self._database.node})

    async def _hear(self, connection: psycopg.AsyncConnection[Any], text: str) -> None:
        """Take in another node's question or answer; only a yes is worth an answer."""
        reply = self._inquiries.hear(text)
        if reply is not None and reply.startswith("yes "):
            with _hanging_up(connection):
                await connection.execute(_SAY, {"channel": QUESTIONS, "text": reply})

    async def _ask(self, text: str) -> None:
        await self._database.tell_nodes(text)

    async def _beat(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Say what is applied, learn what there is, apply it; then the lease is renewed."""
        asked_at, applied = self._lease.seconds(), self._feed.seen
        latest = await self._renew(connection, applied)
        if latest < applied:
            raise WentBack
        if latest > self._feed.seen:
            self._feed.committed(latest)
            await self._database.catch_up()
        self._acknowledged = applied
        self._lease.renew(asked_at)
        if self._is_fresh():
            self._renewed.set()

    def _is_fresh(self) -> bool:
        """Say whether the lease will do until the next heartbeat, and one more."""
        return self._lease.remaining > 2 * HEARTBEAT_SECONDS

    async def _renew(self, connection: psycopg.AsyncConnection[Any], applied: int) -> int:
        """Write our row, and only then read the latest revision.

        The order matters. Whoever changes something commits first and reads our row then: they
        see this renewal and wait for us, or it was committed later and we see their change.
        """
        with _hanging_up(connection):
            await connection.execute(_RENEW, {"id": self._database.node, "applied": applied})
            self._beats += 1
            if self._beats % _CLEAN_EVERY == 1:
                await connection.execute(_CLEAN)
            row = await (await connection.execute(_LATEST)).fetchone()
        if row is None:
            return 0
        self._database.processes = int(row[1])
        return int(row[0])

    async def _watch(self) -> None:
        """Say once that the lease has run out and once that it is back."""
        while True:
            await asyncio.sleep(self._lease.remaining)
            if not self._lease.lapsed:
                continue
            self._renewed.clear()
            _log.warning(
                "No word from the database (%s): requests are refused until it answers.",
                self._problem,
            )
            self._lapsed()
            await self._renewed.wait()
            _log.warning("The database answers again, and so do we.")


@contextlib.contextmanager
def _hanging_up(connection: psycopg.AsyncConnection[Any]) -> Iterator[None]:
    """Hang up on a database that takes too long: what waits inside fails then.

    Cancelling would not do. The driver asks the server to cancel first, and waits for it.
    """
    timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: psycopg.AsyncConnection[Any]) -> None:
    import psycopg  # noqa: PLC0415  see above

    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(connection.fileno())) as line,
    ):
        line.shutdown(socket.SHUT_RDWR)


def _tell_of_bugs(keeping: asyncio.Task[None]) -> None:
    """Without it, a process that refuses for ever would not say why."""
    error = None if keeping.cancelled() else keeping.exception()
    if error is not None:
        _log.error("The node's heartbeat has ended; restart this process.", exc_info=error)
