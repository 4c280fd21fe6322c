"""Brings a database to the schema this code was written for; called once at start-up.

The history stands in `migrations/versions`. There are no downgrades: whoever goes back to an
older version restores a copy made before the upgrade, and is told so.
"""

from __future__ import annotations

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


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # The migration of another node may take a while; the ordinary patience is too short.
        connection.execute(text("SET LOCAL lock_timeout = '10min'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITERS_LOCK})
    config = history(connection=connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    for revision in MigrationContext.configure(connection).get_current_heads():
        if revision not in known:
            raise DatabaseIsNewer(
                "The database belongs to a newer version of Safeconduct (this version does not "
                f"know its schema, {revision}). Start the newer version, or restore a copy of "
                "the database that was made before the upgrade."
            )
    command.upgrade(config, "head")
