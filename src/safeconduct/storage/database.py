"""Transactions and nothing else: `Read` can only look, `Write` may change.

SQLite (WAL) by default, PostgreSQL by URL. A function's first parameter says what it may
do. Leaving a `write` block commits; an exception rolls back. Nobody keeps a transaction
open while an upstream is slow.

Writers take turns on both stores: what a transaction has read is still true when it writes,
and revisions become visible in the order in which they are numbered.

On PostgreSQL a write that changed something returns when no node decides without it any more.
That is so for every write, not for those that ask: what takes something away is not always
called so, and what is left out here would be allowed elsewhere. It costs a few milliseconds,
and nothing is locked meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Executable, Select, event, func, insert, select
from sqlalchemy.engine import CursorResult, Row
from sqlalchemy.exc import SQLAlchemyError as StorageError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import await_only

from safeconduct.core.clock import Clock
from safeconduct.core.space import room_at
from safeconduct.storage.changes import Change, Feed, changes
from safeconduct.storage.columns import metadata
from safeconduct.storage.nodes import CHANNEL, QUESTIONS, everyone_knows
from safeconduct.storage.unavailable import StoreUnavailable, Stuck, unavailable

__all__ = ["Database", "Read", "StorageError", "Write"]

_BUSY_MILLISECONDS = 10_000
_PATIENCE_SECONDS = _BUSY_MILLISECONDS / 1000
_LEAST_PATIENCE_SECONDS = 0.05  # for who has waited long, and is not refused unheard
_TURNS, _TURN_SECONDS = 100, 0.05
WRITERS_LOCK = 0x5AFEC0DC  # an advisory lock's key, the same for every node
_POSTGRESQL: dict[str, str | int] = {
    "options": f"-c lock_timeout={_BUSY_MILLISECONDS} -c idle_in_transaction_session_timeout=60000",
    # A network that swallows packets must end a connection, not hold whoever waits on it.
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": _BUSY_MILLISECONDS,
}
_NODE_BYTES = 8
_LEAST_BYTES, _ROOM_BYTES = 4 * 1024 * 1024, 64 * 1024 * 1024  # what SQLite's file has to have left
_PROBLEMS = {"full": "its disk is full", "read-only": "it can only be read"}


# Longer than the stores' own patience, so that they say what is the matter. A server that was
# stopped in its tracks says nothing: its machine goes on to acknowledge what it is sent.
_STEP_SECONDS = 15.0
_SILENCE_SECONDS = 10.0  # for so long a write that SQLite did not take is a problem
T = TypeVar("T")


async def settled(step: Coroutine[Any, Any, T]) -> T:
    """Await one step of a transaction to its end, even when the caller is cancelled meanwhile.

    Drivers cannot be stopped half-way: an abandoned `BEGIN IMMEDIATE` would take SQLite's lock
    afterwards with nobody left to give it back. The cancellation is raised when the step is
    over; steps are bounded by the stores' own patience.

    Raises:
        Stuck: If it takes longer than that.
    """
    task = asyncio.ensure_future(step)
    try:
        await asyncio.wait({task}, timeout=_STEP_SECONDS)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is told that it was never looked at
        raise
    if not task.done():
        raise Stuck(task)
    return task.result()


class Read:
    """A transaction that can only look."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def all(self, statement: Select[Any]) -> Sequence[Row[Any]]:
        rows: Sequence[Row[Any]] = (await self._run(statement)).all()
        return rows

    async def one_or_none(self, statement: Select[Any]) -> Row[Any] | None:
        row: Row[Any] | None = (await self._run(statement)).one_or_none()
        return row

    async def scalar(self, statement: Select[Any]) -> Any:
        return (await self._run(statement)).scalar()

    async def _run(self, statement: Executable) -> CursorResult[Any]:
        return await settled(self._connection.execute(statement))


class Write(Read):
    """A transaction that may change; what it changed is announced when it commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self.pending: list[Change] = []

    async def execute(self, statement: Executable) -> int:
        """Run one statement and return the number of rows it touched."""
        return (await self._run(statement)).rowcount

    async def execute_many(self, statement: Executable, rows: list[dict[str, Any]]) -> None:
        """Run one statement for each of many rows."""
        await settled(self._connection.execute(statement, rows))

    def changed(self, kind: str, host: str, key: str) -> None:
        """Tell every process, once this commits, that `key` of `host` is not as it was."""
        self.pending.append(Change(kind, host, key))


class Database:
    """Opens transactions on one store."""

    def __init__(
        self, url: str, *, feed: Feed, clock: Clock, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        """Prepare the engine; nothing is opened yet.

        Args:
            url: `sqlite+aiosqlite:///path` or `postgresql+psycopg://...`.
            feed: Told of every commit that changed something.
            clock: Stamps the changes.
            patience_seconds: So long a write waits for its turn and for SQLite's lock together.
        """
        self._feed = feed
        self._clock = clock
        self._sqlite = url.startswith("sqlite")
        self._patience = patience_seconds
        self._engine = _engine(url, sqlite=self._sqlite, patience=patience_seconds)
        self._writing = asyncio.Lock()
        self._problem = ""
        self._silent_since = -math.inf
        self._given_up: set[asyncio.Task[None]] = set()
        # Of all nodes, as far as the last heartbeat knew; SQLite has one node, and no heartbeat.
        self.processes = 1
        self.node = secrets.token_hex(_NODE_BYTES)

    @property
    def shared(self) -> bool:
        """Whether other nodes may serve the same database."""
        return not self._sqlite

    @property
    def engine(self) -> AsyncEngine:
        """The engine itself, for migrations."""
        return self._engine

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Read]:
        options = {} if self._sqlite else {"postgresql_readonly": True}
        async with self._transaction(options) as connection:
            yield Read(connection)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Write]:
        """Open the one transaction that may change something now; do not nest them.

        Leaving returns when no view anywhere lacks the change, or its node decides no more.

        Raises:
            StoreUnavailable: If there is no turn in time, or the store failed who had it before.
        """
        revision = 0
        try:
            async with (
                self._turn() as patience,
                self._noting(),
                self._transaction({"immediate": patience}) as connection,
            ):
                tx = Write(connection)
                if not self._sqlite:
                    await tx.scalar(select(func.pg_advisory_xact_lock(WRITERS_LOCK)))
                yield tx
                if tx.pending:
                    revision = await self._announce(tx)
        finally:
            # Also when the commit failed or was cancelled half-way: it may have happened,
            # and a needless look into the database is cheaper than a change nobody heard of.
            if revision:
                self._feed.committed(revision)
        if revision:
            await self._feed.catch_up(self)
            if self.shared:
                await everyone_knows(self, revision)

    def problem(self) -> str:
        """Return why nothing can be written, "" if it can as far as is known; asks nobody.

        What the last write ran into counts until one succeeds, and for SQLite its disk.
        """
        path = self._engine.url.database if self._sqlite else None
        if path:
            with contextlib.suppress(OSError):
                room = room_at(Path(path).parent, needed=_ROOM_BYTES)
                if room.free < _LEAST_BYTES:
                    return f"its disk is full ({room})"
            if not os.access(path, os.W_OK):
                return _PROBLEMS["read-only"]
            if time.monotonic() - self._silent_since < _SILENCE_SECONDS:
                return "it does not answer"  # a shared one has members who watch it
        return self._problem

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[float]:
        """Wait for our turn to write; yield how many seconds are left to wait for the store.

        Whoever comes next does not wait all over again where the store was silent to somebody
        meanwhile: all who wait would be refused one after the other.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience):
                await self._writing.acquire()
        except TimeoutError as error:
            raise StoreUnavailable("silent") from error
        try:
            if self._silent_since > began:
                raise StoreUnavailable("silent")
            yield max(self._patience - (time.monotonic() - began), _LEAST_PATIENCE_SECONDS)
        finally:
            self._writing.release()

    @contextlib.asynccontextmanager
    async def _noting(self) -> AsyncIterator[None]:
        try:
            yield
        except StoreUnavailable as error:
            self._problem = _PROBLEMS.get(error.why, "")
            if error.why == "silent":
                self._silent_since = time.monotonic()
            raise
        self._problem, self._silent_since = "", -math.inf

    async def catch_up(self) -> None:
        """Bring every view of this process up to the last commit."""
        await self._feed.catch_up(self)

    async def tell_nodes(self, text: str) -> None:
        """Send a short text to all nodes that serve this database, ourselves among them."""
        async with self._engine.begin() as connection:
            await connection.scalar(select(func.pg_notify(QUESTIONS, text)))

    async def create_tables(self) -> None:
        """Create the tables from the metadata; for tests, which need no history."""
        async with self._engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        for task in self._given_up:
            task.cancel()
        await self._engine.dispose()

    @contextlib.asynccontextmanager
    async def _transaction(self, options: dict[str, Any]) -> AsyncIterator[AsyncConnection]:
        connection = self._engine.connect()
        try:
            await settled(connection.start())
            await connection.execution_options(**options)
            await settled(connection.begin().start())
            yield connection
            await settled(connection.commit())
        except Stuck as stuck:
            self._give_up(connection, stuck.step)
            raise
        except StorageError as error:
            await self._close(connection)
            refusal = unavailable(error)
            if refusal is None or refusal is error:
                raise
            raise refusal from error
        except BaseException:
            await self._close(connection)
            raise
        await self._close(connection)

    async def _close(self, connection: AsyncConnection) -> None:
        """Give a connection back; that rolls back what was not committed."""
        if connection.sync_connection is None:
            return
        try:
            await settled(connection.close())
        except Stuck as stuck:
            self._give_up(connection, stuck.step)
            raise

    def _give_up(self, connection: AsyncConnection, step: asyncio.Future[Any]) -> None:
        """Leave a connection to itself until its step ends; then it is not used again."""

        async def end() -> None:
            await asyncio.wait({step})
            with contextlib.suppress(StorageError, OSError):
                if connection.sync_connection is not None and not connection.closed:
                    await connection.invalidate()
                    await connection.close()
            if not step.cancelled():
                step.exception()

        task = asyncio.get_running_loop().create_task(end())
        self._given_up.add(task)
        task.add_done_callback(self._given_up.discard)

    async def _announce(self, tx: Write) -> int:
        now = self._clock.now()
        rows = [
            {"at": now, "kind": change.kind, "host": change.host, "key": change.key}
            # The last of what was said twice: followers that apply changes end up right.
            for change in reversed(dict.fromkeys(reversed(tx.pending)))
        ]
        await tx.execute_many(insert(changes), rows)
        revision = int(await tx.scalar(select(func.max(changes.c.rev))))
        if self.shared:
            await tx.scalar(select(func.pg_notify(CHANNEL, str(revision))))
        return revision


def _write_ahead(cursor: Any) -> None:
    """Switch the file to write-ahead logging.

    While another process does the same to a fresh file, SQLite says "locked" at once, whatever
    patience it was told to have.
    """
    for turn in range(_TURNS):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if turn == _TURNS - 1:
                raise
            await_only(asyncio.sleep(_TURN_SECONDS))  # in a greenlet, as all that a driver does
        else:
            return


def _set_up(cursor: Any, *, patience: float) -> None:
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={round(patience * 1000)}")
    cursor.close()


def _engine(url: str, *, sqlite: bool, patience: float) -> AsyncEngine:
    # What a statement was given (digests, password hashes, addresses) stays out of its errors.
    if not sqlite:
        return create_async_engine(
            url,
            pool_size=10,
            max_overflow=10,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=_POSTGRESQL,
        )
    engine = create_async_engine(url, hide_parameters=True, connect_args={"timeout": patience})

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        try:
            _set_up(connection.cursor(), patience=patience)
        except sqlite3.Error:
            connection.close()  # the pool would leave it, and its thread, to the collector
            raise

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:
        # A writer takes the lock at once: upgrading a reader later fails under load.
        left = connection.get_execution_options().get("immediate")
        if left is None:
            connection.exec_driver_sql("BEGIN")
        elif left > patience / 2:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:  # what it has waited for its turn counts
            connection.exec_driver_sql(f"PRAGMA busy_timeout={round(left * 1000)}")
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={round(patience * 1000)}")

    return engine
