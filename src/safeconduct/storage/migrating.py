"""Brings a database to the schema this code was written for; called once at start-up.

The history stands in `migrations/versions`. There are no downgrades: whoever goes back to an
older version restores a copy made before the upgrade, and is told so.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from safeconduct.core.errors import Code, GatewayError
from safeconduct.storage.database import WRITERS_LOCK, Database


class DatabaseIsNewer(GatewayError):
    """The database has a schema that this code has never heard of."""

    code = Code.UNAVAILABLE


class DatabaseIsOlder(GatewayError):
    """The database lacks what this version brings, and must not be changed now."""

    code = Code.UNAVAILABLE


def history(**attributes: Any) -> Config:
    """Return Alembic's configuration; the attributes are handed to `migrations/env.py`."""
    config = Config(attributes=attributes)
    config.set_main_option("script_location", str(files("safeconduct.storage") / "migrations"))
    return config


async def migrate(database: Database) -> None:
    """Apply what is missing, in one transaction, while nobody else migrates or writes.

    Raises:
        DatabaseIsNewer: If a newer version of this program has been here before.
    """
    async with database.engine.connect() as connection:
        await connection.execution_options(immediate=True)  # SQLite's way to lock out writers
        async with connection.begin():
            await connection.run_sync(_upgrade)


async def check_schema(database: Database) -> None:
    """Look whether the database has this version's schema; nothing is changed.

    Raises:
        DatabaseIsOlder, DatabaseIsNewer: If it has another one.
    """
    async with database.engine.connect() as connection:
        await connection.run_sync(_check)


def _check(connection: Connection) -> None:
    script = ScriptDirectory.from_config(history())
    found = set(MigrationContext.configure(connection).get_current_heads())
    _refuse_unknown(found, script)
    if found != set(script.get_heads()):
        raise DatabaseIsOlder(
            "The database is empty, or has the schema of an older version, and looking must not "
            "change it. Bring it up to date first: safeconduct apply, or serve."
        )


def _refuse_unknown(found: Iterable[str], script: ScriptDirectory) -> None:
    known = {each.revision for each in script.walk_revisions()}
    for revision in found:
        if revision not in known:
            raise DatabaseIsNewer(
                "The database belongs to a newer version of Safeconduct (this version does not "
                f"know its schema, {revision}). Start the newer version, or restore a copy of "
                "the database that was made before the upgrade."
            )


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # The migration of another node may take a while; the ordinary patience is too short.
        connection.execute(text("SET LOCAL lock_timeout = '10min'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITERS_LOCK})
    config = history(connection=connection)
    current = MigrationContext.configure(connection).get_current_heads()
    _refuse_unknown(current, ScriptDirectory.from_config(config))
    command.upgrade(config, "head")
