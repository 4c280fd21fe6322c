"""A database that does not take or give anything: a refusal with a sentence, never a trace.

It is a `StorageError` as well, for those who try again later whatever it was. What the library
and the server say stays in the cause: it may hold addresses and statements.
"""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from typing import Any, Literal

from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004  the pool's
)

from safeconduct.core.errors import Code, GatewayError

Why = Literal["full", "read-only", "silent"]

_SENTENCES: dict[Why, str] = {
    "full": (
        "The disk of the gateway's database is full, so nothing was changed. Tell whoever runs"
        " this gateway to make room, and try again then."
    ),
    "read-only": (
        "The gateway's database can only be read now, so nothing was changed. Tell whoever runs"
        " this gateway, and try again later."
    ),
    "silent": "The gateway's database does not answer. Try again in a few seconds.",
}
# SQLITE_FULL and PostgreSQL's disk_full; SQLITE_READONLY and read_only_sql_transaction.
_FULL, _READ_ONLY = {sqlite3.SQLITE_FULL, "53100"}, {sqlite3.SQLITE_READONLY, "25006"}
_PRIMARY = 0xFF  # SQLite's extended codes say more in the higher bits


class StoreUnavailable(GatewayError, SQLAlchemyError):
    """The database cannot do what it was asked, whatever that was.

    Attributes:
        why: `full`, `read-only`, or `silent` for everything else.
    """

    code = Code.UNAVAILABLE  # type: ignore[assignment]  # SQLAlchemy's is for its `__str__`, ours is below

    def __init__(self, why: Why) -> None:
        super().__init__(_SENTENCES[why])
        self.why = why

    def __str__(self) -> str:
        return self.public


class Stuck(StoreUnavailable):
    """A step was given up; `step` may still end one day, and its connection with it."""

    def __init__(self, step: asyncio.Future[Any]) -> None:
        super().__init__("silent")
        self.step = step


def unavailable(error: SQLAlchemyError) -> StoreUnavailable | None:
    """Return the refusal an error of the library amounts to; None for one that is a bug."""
    if isinstance(error, StoreUnavailable):
        return error
    if isinstance(error, TimeoutError):
        return StoreUnavailable("silent")
    if not isinstance(error, DBAPIError):
        return None
    why = _why(error.orig)
    if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return None  # it did not understand the statement
    expected = isinstance(error, OperationalError | InterfaceError | InternalError)
    if why == "silent" and not (expected or error.connection_invalidated):
        return None
    return StoreUnavailable(why)


def _why(error: BaseException | None) -> Why:
    code = getattr(error, "sqlite_errorcode", None)
    found = getattr(error, "sqlstate", None) if code is None else code & _PRIMARY
    if found in _FULL or getattr(error, "errno", None) == errno.ENOSPC:
        return "full"
    return "read-only" if found in _READ_ONLY else "silent"
