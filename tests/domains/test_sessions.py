"""Sessions: idle and absolute limits, ending, streams, isolation."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from safeconduct import sessions
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import ClientId, HostId, ServerKey, SessionId, SubjectId
from safeconduct.sessions import Session, Sessions
from safeconduct.storage import Database, Feed

ACME, GLOBEX = HostId("acme"), HostId("globex")
ALICE, BOB = SubjectId("p_alice"), SubjectId("p_bob")
DAY = timedelta(days=1)


def _session(
    at: datetime,
    name: str = "s_1",
    *,
    host: HostId = ACME,
    subject: SubjectId = ALICE,
    client: str = "cursor",
    server: str = "tickets",
) -> Session:
    return Session(
        host=host,
        id=SessionId(name),
        subject=subject,
        client=ClientId(client),
        server=ServerKey(server),
        opened_at=at,
        used_at=at,
        ends_at=at + 90 * DAY,
        idle_seconds=int((30 * DAY).total_seconds()),
    )


async def _open(database: Database, *all_of_them: Session) -> None:
    async with database.write() as tx:
        for each in all_of_them:
            await sessions.open_session(tx, each)


async def _end(database: Database, clock: ManualClock, host: HostId, name: str) -> bool:
    async with database.write() as tx:
        return await sessions.end(tx, host, SessionId(name), at=clock.now(), because="revoked")


@pytest.mark.requirement("S-04", "S-05")
@pytest.mark.parametrize(
    ("used_after", "looked_at_after", "live"),
    [
        (0 * DAY, 30 * DAY - timedelta(seconds=1), True),
        (0 * DAY, 30 * DAY, False),
        (29 * DAY, 59 * DAY - timedelta(seconds=1), True),
        (29 * DAY, 59 * DAY, False),
        (89 * DAY, 90 * DAY - timedelta(seconds=1), True),
        (89 * DAY, 90 * DAY, False),
    ],
)
async def test_a_session_ends_when_idle_and_in_any_case(
    database: Database,
    feed: Feed,
    clock: ManualClock,
    used_after: timedelta,
    looked_at_after: timedelta,
    live: bool,
) -> None:
    known = Sessions(database, feed, clock=clock)
    begun = _session(clock.now())
    await _open(database, begun)
    known.touch(begun, (begun.opened_at + used_after).timestamp())
    await known.flush()

    found = await known.get(ACME, begun.id)

    assert found is not None
    assert found.live_at((begun.opened_at + looked_at_after).timestamp()) is live


def test_a_session_that_became_another_one_is_judged_anew(clock: ManualClock) -> None:
    old, later = _session(clock.now()), (clock.now() + 31 * DAY).timestamp()
    assert not old.live_at(later)

    used = replace(old, used_at=old.used_at + 2 * DAY)
    assert used.live_at(later)
    assert not replace(used, ended_at=used.used_at).live_at(later)
    assert not replace(used, ends_at=used.used_at).live_at(later)
    assert not replace(used, idle_seconds=60).live_at(later)


@pytest.mark.requirement("S-01")
async def test_a_session_outlives_its_process(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    begun = _session(clock.now())
    await _open(database, begun)

    assert await Sessions(database, feed, clock=clock).get(ACME, begun.id) == begun


@pytest.mark.requirement("S-06", "Z-26")
async def test_an_ended_session_is_dead_at_the_next_look(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = Sessions(database, feed, clock=clock)
    await _open(database, _session(clock.now()))
    assert await known.get(ACME, SessionId("s_1")) is not None

    assert await _end(database, clock, ACME, "s_1")

    assert known.held(ACME, SessionId("s_1")) is None
    found = await known.get(ACME, SessionId("s_1"))
    assert found is not None
    assert not found.live_at(clock.seconds())
    assert not await _end(database, clock, ACME, "s_1")


@pytest.mark.requirement("S-10", "X-01", "S-03")
async def test_a_session_of_one_host_is_unknown_on_another(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = Sessions(database, feed, clock=clock)
    mine, theirs = _session(clock.now()), _session(clock.now(), host=GLOBEX, subject=BOB)
    await _open(database, mine, theirs)

    assert await known.get(ACME, mine.id) == mine
    assert await known.get(GLOBEX, mine.id) == theirs
    assert await _end(database, clock, GLOBEX, "s_1")
    assert await known.get(ACME, mine.id) == mine
    async with database.read() as tx:
        assert await sessions.live(tx, ACME, at=clock.now()) == [mine]
        assert await sessions.live(tx, GLOBEX, at=clock.now()) == []


@pytest.mark.requirement("S-12", "Z-26")
async def test_live_sessions_are_found_by_person_client_and_server(
    database: Database, clock: ManualClock
) -> None:
    one = _session(clock.now(), "s_1")
    two = _session(clock.now() + timedelta(1), "s_2", client="claude")
    three = _session(clock.now() + timedelta(2), "s_3", server="chat")
    four = _session(clock.now() + timedelta(3), "s_4", subject=BOB)
    old = _session(clock.now() - 31 * DAY, "s_5")
    await _open(database, one, two, three, four, old)

    async with database.read() as tx:

        async def found(**narrowed: str) -> list[str]:
            at = clock.now()
            return [each.id for each in await sessions.live(tx, ACME, at=at, **narrowed)]  # type: ignore[arg-type]  the ids are texts

        assert await found() == ["s_4", "s_3", "s_2", "s_1"]
        assert await found(subject=ALICE) == ["s_3", "s_2", "s_1"]
        assert await found(subject=ALICE, server="tickets") == ["s_2", "s_1"]
        assert await found(subject=ALICE, client="claude") == ["s_2"]
        assert await found(subject=ALICE, client="claude", server="chat") == []


@pytest.mark.requirement("S-04")
async def test_uses_are_written_behind_and_never_backwards(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = Sessions(database, feed, clock=clock)
    begun = _session(clock.now())
    await _open(database, begun)

    known.touch(begun, clock.seconds() + 60)  # too soon to be worth a write
    await known.flush()
    assert (await known.get(ACME, begun.id)) == begun
    known.touch(begun, clock.seconds() + 3600)
    await known.flush()
    known.touch(begun, clock.seconds() + 1800)
    await known.flush()

    found = await known.get(ACME, begun.id)
    assert found is not None
    assert found.used_at == begun.used_at + timedelta(hours=1)


async def test_a_use_does_not_bring_an_ended_session_back(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = Sessions(database, feed, clock=clock)
    begun = _session(clock.now())
    await _open(database, begun)
    known.touch(begun, clock.seconds() + 3600)
    await _end(database, clock, ACME, "s_1")

    await known.flush()

    found = await known.get(ACME, begun.id)
    assert found is not None
    assert found.used_at == begun.used_at
    assert found.ended_because == "revoked"


async def test_uses_that_could_not_be_written_are_written_later(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = Sessions(database, feed, clock=clock)
    begun = _session(clock.now())
    await _open(database, begun)
    known.touch(begun, clock.seconds() + 3600)
    flushing = asyncio.ensure_future(known.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    await asyncio.wait({flushing})

    await known.flush()

    found = await known.get(ACME, begun.id)
    assert found is not None
    assert found.used_at == begun.used_at + timedelta(hours=1)


@pytest.mark.requirement("S-12", "S-06")
async def test_an_open_stream_hears_of_its_own_sessions_end_only(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = Sessions(database, feed, clock=clock)
    await _open(database, _session(clock.now()), _session(clock.now(), "s_2"))
    await _open(database, _session(clock.now(), host=GLOBEX))
    mine, other, elsewhere, closed = (asyncio.Event() for _ in range(4))
    known.watch(ACME, SessionId("s_1"), mine.set)
    known.watch(ACME, SessionId("s_2"), other.set)
    known.watch(GLOBEX, SessionId("s_1"), elsewhere.set)
    known.watch(ACME, SessionId("s_1"), closed.set)
    known.unwatch(ACME, SessionId("s_1"), closed.set)

    await _end(database, clock, ACME, "s_1")
    async with asyncio.timeout(10):
        await mine.wait()

    assert not other.is_set()
    assert not elsewhere.is_set()


@pytest.mark.requirement("X-01", "Z-38")
async def test_the_live_session_between_a_person_and_an_agent_is_found(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = Sessions(database, feed, clock=clock)
    at = (ALICE, ClientId("cursor"), ServerKey("tickets"))
    assert await known.between(ACME, *at) is None
    await _open(database, _session(clock.now()))
    found = await known.between(ACME, *at)
    assert found is not None
    assert found.id == "s_1"
    assert await known.between(HostId("globex"), *at) is None
    assert await known.between(ACME, SubjectId("p_other"), *at[1:]) is None
    assert await known.between(ACME, ALICE, ClientId("other"), at[2]) is None
    assert await known.between(ACME, *at[:2], ServerKey("notes")) is None

    await _open(database, _session(clock.now(), "s_2"))
    await _end(database, clock, ACME, "s_1")

    later = await known.between(ACME, *at)
    assert later is not None
    assert later.id == "s_2"
    await _end(database, clock, ACME, "s_2")
    assert await known.between(ACME, *at) is None
