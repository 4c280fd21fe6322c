"""The history of the schema ends where the code is, on both stores."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from safeconduct.core.clock import ManualClock
from safeconduct.core.errors import Code
from safeconduct.storage import Database, DatabaseIsNewer, Feed, migrate
from safeconduct.storage.alembic_runs import history
from safeconduct.storage.migrating import revisions
from tests.conftest import empty
from tests.fixtures.tables import complete_metadata

_PATIENCE_SECONDS = 60


@pytest.fixture
async def bare(url: str, store: str, feed: Feed, clock: ManualClock) -> Any:
    """A database with nothing in it."""
    database = Database(url, feed=feed, clock=clock)
    if store == "postgresql":
        await empty(database)
    yield database
    await database.close()


async def _differences(database: Database) -> list[Any]:
    def compare(connection: Connection) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), complete_metadata()))

    async with database.engine.connect() as connection:
        return await connection.run_sync(compare)


async def test_the_history_makes_exactly_the_tables_of_the_code(bare: Database) -> None:
    await migrate(bare)

    assert await _differences(bare) == []


async def test_without_the_history_the_tables_differ(bare: Database) -> None:
    assert len(await _differences(bare)) >= len(complete_metadata().tables)


def test_the_numbers_of_the_files_are_the_history() -> None:
    script = ScriptDirectory.from_config(history())

    assert [each.revision for each in script.walk_revisions()] == revisions()[::-1]


@pytest.mark.slow
def test_a_database_that_is_up_to_date_needs_no_alembic(tmp_path: Path) -> None:
    """Ten megabytes in every worker, and a tenth of a second in every command."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'x.db'}"
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from safeconduct.core.clock import SystemClock\n"
        "from safeconduct.storage import Database, Epoch, Feed, migrate\n"
        f"feed = Feed(Epoch(Path({str(tmp_path / 'epoch')!r})))\n"
        f"asyncio.run(migrate(Database({url!r}, feed=feed, clock=SystemClock())))\n"
        "print('alembic' in sys.modules)\n"
    )

    runs = [
        subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout.strip()
        for _ in range(2)
    ]

    assert runs == ["True", "False"]


async def test_migrating_again_changes_nothing(bare: Database) -> None:
    await migrate(bare)
    await migrate(bare)

    assert await _differences(bare) == []


async def test_workers_that_start_together_take_turns(
    bare: Database, url: str, feed: Feed, clock: ManualClock
) -> None:
    others = [Database(url, feed=feed, clock=clock) for _ in range(3)]

    async with asyncio.timeout(_PATIENCE_SECONDS):
        await asyncio.gather(*(migrate(each) for each in (bare, *others)))

    for other in others:
        await other.close()
    assert await _differences(bare) == []


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(bare: Database) -> None:
    await migrate(bare)
    async with bare.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(DatabaseIsNewer, match="newer version of Safeconduct") as refused:
        await migrate(bare)

    assert "9999" in refused.value.public
    assert refused.value.code is Code.UNAVAILABLE
    async with bare.engine.connect() as connection:
        found = await connection.execute(text("SELECT version_num FROM alembic_version"))
        assert found.scalar_one() == "9999"


async def test_a_migration_that_fails_leaves_nothing_behind(bare: Database) -> None:
    """A table that is already there stands for anything that goes wrong half-way."""
    async with bare.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE tuples (unexpected INTEGER)"))

    with pytest.raises(Exception, match="tuples"):
        await migrate(bare)

    async with bare.engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert names == ["tuples"]
