"""Views: never stale after a commit, never unbounded."""

from __future__ import annotations

import asyncio

import pytest

from safeconduct.storage import Database, Feed, Read, View
from tests.storage import notes

pytestmark = pytest.mark.requirement("Z-23")


@pytest.fixture(autouse=True)
async def _notes(database: Database) -> None:
    await notes.create(database)


async def _put(database: Database, key: str, text: str, *, host: str = "acme") -> None:
    async with database.write() as tx:
        await notes.put(tx, key, text, host=host)


async def test_the_very_next_look_sees_a_commit(database: Database, feed: Feed) -> None:
    view = notes.view(database, feed)
    await _put(database, "a", "one")
    assert await view.get(("acme", "a")) == "one"

    await _put(database, "a", "two")

    assert view.held(("acme", "a")) is None
    assert await view.get(("acme", "a")) == "two"
    assert view.held(("acme", "a")) == "two"


async def test_a_change_drops_what_it_concerns_and_nothing_else(
    database: Database, feed: Feed
) -> None:
    view = notes.view(database, feed)
    for host, key in (("acme", "a"), ("acme", "b"), ("globex", "a")):
        await _put(database, key, "one", host=host)
        await view.get((host, key))

    await _put(database, "a", "two")

    assert view.held(("acme", "a")) is None
    assert view.held(("acme", "b")) == "one"
    assert view.held(("globex", "a")) == "one"


async def test_what_is_absent_is_asked_for_again(database: Database, feed: Feed) -> None:
    view = notes.view(database, feed)
    assert await view.get(("acme", "a")) is None

    await _put(database, "a", "one")

    assert await view.get(("acme", "a")) == "one"


async def test_a_value_read_while_it_changed_is_not_kept(database: Database, feed: Feed) -> None:
    """The reader has the old row in hand when the change commits."""
    in_hand, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(tx: Read, key: tuple[str, str]) -> str | None:
        value = await notes.load(tx, key)
        in_hand.set()
        await go_on.wait()
        return value

    view = View(database, feed, kind="note", load=slowly, keys=notes.key_of)
    await _put(database, "a", "one")
    reading = asyncio.ensure_future(view.get(("acme", "a")))
    await in_hand.wait()
    await _put(database, "a", "two")
    go_on.set()

    assert await reading == "two"
    assert view.held(("acme", "a")) == "two"


async def test_a_value_that_never_rests_is_answered_and_not_kept(
    database: Database, feed: Feed
) -> None:
    reads = 0

    async def restless(tx: Read, key: tuple[str, str]) -> str | None:
        nonlocal reads
        reads += 1
        value = await notes.load(tx, key)
        await _put(database, "a", f"after {reads}")
        return value

    view = View(database, feed, kind="note", load=restless, keys=notes.key_of)
    await _put(database, "a", "after 0")

    assert await view.get(("acme", "a")) == f"after {reads - 1}"
    assert reads == 5
    assert view.held(("acme", "a")) is None


async def test_a_view_keeps_no_more_than_its_size(database: Database, feed: Feed) -> None:
    view = notes.view(database, feed, size=2)
    for key in ("a", "b", "c"):
        await _put(database, key, "one")
        await view.get(("acme", key))

    assert view.held(("acme", "a")) is None
    assert view.held(("acme", "b")) == "one"
    assert view.held(("acme", "c")) == "one"
