"""What tests of many packages share: a clock that stands still, and a store that is open."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import text

from safeconduct.core.clock import ManualClock
from safeconduct.storage import Database, Epoch, Feed
from tests.fixtures.postgres import Postgres, postgres
from tests.fixtures.tables import with_tables

__all__ = ["postgres"]  # a fixture is found by its name here

settings.register_profile("shared", deadline=None)  # a busy machine is no counterexample
settings.load_profile("shared")
# Hundreds of tests start programs of ours, and none need compile them all over again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Whose world is built for each test: of gateways the quick part has one in each file, of the
# smaller ones one for each test function.
_GATEWAYS = frozenset(
    {
        "tests.api.test_introspection",
        "tests.api.test_reviews",
        "tests.app.test_memberships",
        "tests.road.conftest",
        "tests.road.test_half_readings",
        "tests.road.test_late_bodies",
        "tests.road.test_pins",
    }
)
_WORLDS = ("world", "offering")
_SMALLER = frozenset({"tests.oauth.conftest", "tests.web.conftest"})
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what builds a world of its own like another test before it."""
    built = set()
    for item in items:
        builder = _builder(item)
        alike = item.path if builder in _GATEWAYS else (item.path, item.name.partition("[")[0])
        if builder in _GATEWAYS | _SMALLER:
            if alike in built:
                item.add_marker(pytest.mark.slow)
            built.add(alike)


def _builder(item: pytest.Item) -> str:
    """Return the module whose fixture builds the test's world anew, or ""."""
    if not isinstance(item, pytest.Function):
        return ""
    known = item._fixtureinfo.name2fixturedefs
    found = [known[name][-1] for name in _WORLDS if name in known]
    return next((each.func.__module__ for each in found if each.scope == "function"), "")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def epoch(tmp_path: Path) -> Iterator[Epoch]:
    epoch = Epoch(tmp_path / "epoch")
    yield epoch
    epoch.close()


@pytest.fixture
def feed(epoch: Epoch) -> Feed:
    return Feed(epoch)


@pytest.fixture(scope="module")
def module_postgres(postgres: Postgres) -> str:
    """The URL of a database that this module's tests share one after the other."""
    return postgres.create()


@pytest.fixture(params=["sqlite", POSTGRESQL])
def store(request: pytest.FixtureRequest) -> str:
    """Which store the test runs on; tests that ask for it run once on each."""
    name: str = request.param
    return name


@pytest.fixture
def url(request: pytest.FixtureRequest, store: str, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if store == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/t.db"
    found: str = request.getfixturevalue("module_postgres")
    return found


@pytest.fixture
async def database(url: str, store: str, feed: Feed, clock: ManualClock) -> AsyncIterator[Database]:
    """An open store with all tables and nothing in them, on SQLite and on PostgreSQL."""
    database = Database(url, feed=feed, clock=clock)
    if store == "postgresql":
        await empty(database)
    await with_tables(database)
    await feed.start(database)
    yield database
    await database.close()


async def empty(database: Database) -> None:
    """Drop everything in a PostgreSQL database."""
    async with database.engine.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
