"""Built-in rules are kept by their digest, each version once, and believed only as they were."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from safeconduct.core.clock import ManualClock
from safeconduct.policy import Bundle, OwnRules, bundle_named, keep_built_in, kept_built_in
from safeconduct.storage import Database

pytestmark = pytest.mark.requirement("L-17", "L-22")
NOW = Bundle.shipped()
BEFORE = Bundle.of(modules=(*NOW.modules, ("before.rego", "package safeconduct.before\n")), data={})
OWN = OwnRules(modules=(("host/x.rego", "package safeconduct.host\n"),), data={"a": [1]})


async def test_each_version_is_kept_once_and_for_good(database: Database) -> None:
    clock = ManualClock()

    await keep_built_in(database, BEFORE, clock=clock)
    clock.advance(timedelta(days=1))
    await asyncio.gather(*(keep_built_in(database, NOW, clock=clock) for _ in range(4)))
    await keep_built_in(database, BEFORE, clock=clock)

    async with database.read() as tx:
        kept = await kept_built_in(tx)
    assert [each.digest for each in kept] == [NOW.digest, BEFORE.digest]
    assert [each.modules for each in kept] == [NOW.modules, BEFORE.modules]


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
@pytest.mark.parametrize("content", ["x'5b5d'", "x'7b'", "'text'", "7"])
async def test_what_was_altered_is_not_believed(database: Database, content: str) -> None:
    await keep_built_in(database, BEFORE, clock=ManualClock())
    async with database.engine.begin() as connection:
        await connection.execute(text(f"UPDATE built_in_rules SET content = {content}"))

    async with database.read() as tx:
        assert await kept_built_in(tx) == []


async def test_modules_of_another_version_under_this_ones_name_are_not_believed(
    database: Database,
) -> None:
    await keep_built_in(database, BEFORE, clock=ManualClock())
    async with database.engine.begin() as connection:
        await connection.execute(
            text("UPDATE built_in_rules SET content = :content"),
            {"content": json.dumps(NOW.modules).encode()},
        )

    async with database.read() as tx:
        assert await kept_built_in(tx) == []


@pytest.mark.parametrize("own", [OwnRules(), OWN])
def test_a_bundle_is_found_by_the_name_that_decisions_have_for_it(own: OwnRules) -> None:
    decided = own.upon(BEFORE).digest

    found = bundle_named(decided, own, [NOW, BEFORE])

    assert found is not None
    assert found.digest == decided
    assert bundle_named(decided, own, [NOW]) is None
    assert bundle_named(decided, OwnRules(data={"b": 1}), [NOW, BEFORE]) is None
