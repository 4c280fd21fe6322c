"""Brings a database to the schema this code was written for; called once at start-up.

The history stands in `migrations/versions`. There are no downgrades: whoever goes back to an
older version restores a copy made before the upgrade, and is told so.
"""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from safeconduct.core.errors import Code, GatewayError
from safeconduct.storage.database import WRITERS_LOCK, Database


class DatabaseIsNewer(GatewayError):
    """The database has a schema that this code has never heard of."""

    code = Code.UNAVAILABLE


class DatabaseIsOlder(GatewayError):
    """The database lacks what this version brings, and must not be changed now."""

    code = Code.UNAVAILABLE


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


def revisions() -> list[str]:
    """Return the numbers of all revisions, the newest last; their files begin with them."""
    names = (file.name for file in (files("safeconduct.storage") / "migrations/versions").iterdir())
    return sorted(name.partition("_")[0] for name in names if name[0].isdigit())


def _check(connection: Connection) -> None:
    if _revision_of(connection) != revisions()[-1]:
        raise DatabaseIsOlder(
            "The database is empty, or has the schema of an older version, and looking must not "
            "change it. Bring it up to date first: safeconduct apply, or serve."
        )


def _revision_of(connection: Connection) -> str | None:
    """Return the revision a database has, None before the first.

    Raises:
        DatabaseIsNewer: If it is none of ours.
    """
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is not None and found not in revisions():
        raise DatabaseIsNewer(
            "The database belongs to a newer version of Safeconduct (this version does not "
            f"know its schema, {found}). Start the newer version, or restore a copy of "
            "the database that was made before the upgrade."
        )
    return found


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # The migration of another node may take a while; the ordinary patience is too short.
        connection.execute(text("SET LOCAL lock_timeout = '10min'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITERS_LOCK})
    if _revision_of(connection) != revisions()[-1]:
        # Megabytes, and a tenth of a second, that nobody needs whose database is up to date.
        from safeconduct.storage.alembic_runs import upgrade  # noqa: PLC0415  see above

        upgrade(connection)
