"""A demo server's memory: one SQLite file with its own tables and the calls it executed.

Opened anew for each operation: the tools run in worker threads, and tests read the file
from another process. Seeds are planted once, when the file is new.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from safeconduct.core.model import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from safeconduct.core.clock import Clock

_CALLS = """
CREATE TABLE calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, tool TEXT NOT NULL,
    arguments TEXT NOT NULL
);
"""
_BUSY_SECONDS = 10.0


class ExecutedCall(Value, frozen=True):
    """One tools/call that reached the server, whatever the tool then answered."""

    tool: str
    arguments: dict[str, Any]
    at: datetime


class Store:
    """The tables of one demo server."""

    def __init__(self, path: Path, *, clock: Clock, seed: str) -> None:
        """Open the file, and create and seed it if it is new.

        Args:
            path: Where the database lives; its directory exists.
            clock: Dates what is written.
            seed: SQL script with the server's own tables and first rows.
        """
        self._path = path
        self._clock = clock
        if not self.rows("SELECT name FROM sqlite_master WHERE name = 'calls'"):
            self._plant(seed)

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Run a SELECT; each row becomes a dict by column name."""
        with _opened(self._path) as database:
            return [dict(row) for row in database.execute(query, values)]

    def change(self, statement: str, *values: object) -> int:
        """Run an INSERT, UPDATE or DELETE and return how many rows it touched."""
        with _opened(self._path) as database:
            return database.execute(statement, values).rowcount

    def now(self) -> str:
        """Return the current instant as records spell it, to the second."""
        return self._clock.now().isoformat(timespec="seconds")

    def record(self, tool: str, arguments: Mapping[str, Any]) -> None:
        """Write down that a call arrived; done before the tool runs."""
        self.change(
            "INSERT INTO calls (at, tool, arguments) VALUES (?, ?, ?)",
            self._clock.now().isoformat(),
            tool,
            json.dumps(arguments),
        )

    def _plant(self, seed: str) -> None:
        with _opened(self._path) as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(f"BEGIN; {seed} {_CALLS} COMMIT;")


def executed_calls(path: Path) -> list[ExecutedCall]:
    """Return every call the server with this database file executed, oldest first.

    An empty list means that nothing ever arrived, even if the server was never started.
    """
    if not path.exists():
        return []
    with _opened(path) as database:
        found = database.execute("SELECT tool, arguments, at FROM calls ORDER BY id").fetchall()
    return [
        ExecutedCall(
            tool=row["tool"],
            arguments=json.loads(row["arguments"]),
            at=datetime.fromisoformat(row["at"]),
        )
        for row in found
    ]


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as database:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA foreign_keys=ON")
        with database:  # commits, or rolls back on an error
            yield database
