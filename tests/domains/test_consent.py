"""Consent: one person, one client, one server; ends by itself, ends when told."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from safeconduct import consent
from safeconduct.consent import Consent, Consents
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import ClientId, ConsentId, HostId, Level, ServerKey, SubjectId
from safeconduct.storage import Database, Feed

ACME, GLOBEX = HostId("acme"), HostId("globex")
ALICE, BOB = SubjectId("p_alice"), SubjectId("p_bob")
CURSOR, CLAUDE = ClientId("cursor"), ClientId("claude")
TICKETS, CHAT = ServerKey("tickets"), ServerKey("chat")


def _consent(
    at: datetime,
    *,
    host: HostId = ACME,
    subject: SubjectId = ALICE,
    client: ClientId = CURSOR,
    server: ServerKey = TICKETS,
    level: Level = Level.MEDIUM,
    lasts: timedelta | None = timedelta(days=90),
) -> Consent:
    return Consent(
        host=host,
        subject=subject,
        client=client,
        server=server,
        id=ConsentId(f"{host}-{subject}-{client}-{server}"),
        level=level,
        granted_at=at,
        expires_at=None if lasts is None else at + lasts,
        redirect_uri="http://127.0.0.1/callback",
        client_digest="0" * 64,
    )


async def _grant(database: Database, *all_of_them: Consent) -> None:
    async with database.write() as tx:
        for each in all_of_them:
            await consent.grant(tx, each)


@pytest.mark.parametrize("lasts", [None, timedelta(days=90)])
def test_a_consent_grants_until_the_moment_it_ends(
    clock: ManualClock, lasts: timedelta | None
) -> None:
    yes, day = _consent(clock.now(), lasts=lasts), timedelta(days=1)
    last = (clock.now() + 90 * day).timestamp()
    assert yes.live_at(last - 0.001)
    assert yes.live_at(last) is (lasts is None)

    assert not replace(yes, ended_at=clock.now()).live_at(clock.seconds())
    assert not replace(yes, expires_at=clock.now() + day).live_at(last - 0.001)


@pytest.mark.requirement("C-01", "Z-13", "K-03", "X-01", "S-10")
async def test_a_consent_is_nothing_to_any_other_person_client_server_or_host(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    consents = Consents(database, feed)
    yes = _consent(clock.now())
    await _grant(database, yes)

    assert await consents.get(ACME, ALICE, CURSOR, TICKETS) == yes
    assert consents.held(ACME, ALICE, CURSOR, TICKETS) == yes
    for key in (
        (GLOBEX, ALICE, CURSOR, TICKETS),
        (ACME, BOB, CURSOR, TICKETS),
        (ACME, ALICE, CLAUDE, TICKETS),
        (ACME, ALICE, CURSOR, CHAT),
    ):
        assert await consents.get(*key) is None


@pytest.mark.requirement("Z-13")
async def test_agents_of_one_person_differ_and_ending_one_leaves_the_others(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    consents = Consents(database, feed)
    low = _consent(clock.now(), level=Level.LOW)
    high = _consent(clock.now(), client=CLAUDE, level=Level.HIGH)
    await _grant(database, low, high)

    async with database.write() as tx:
        assert await consent.end(tx, low, at=clock.now(), because="revoked")

    ended = await consents.get(ACME, ALICE, CURSOR, TICKETS)
    assert ended is not None
    assert not ended.live_at(clock.seconds())
    assert (await consents.get(ACME, ALICE, CLAUDE, TICKETS)) == high
    assert high.live_at(clock.seconds())


@pytest.mark.requirement("C-16")
async def test_a_new_consent_replaces_the_old_one_at_the_next_look(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    consents = Consents(database, feed)
    old = _consent(clock.now(), level=Level.HIGH)
    await _grant(database, old)
    async with database.write() as tx:
        await consent.end(tx, old, at=clock.now(), because="revoked")
    assert await consents.get(ACME, ALICE, CURSOR, TICKETS) is not None
    clock.advance(timedelta(days=1))
    new = _consent(clock.now(), level=Level.LOW, lasts=timedelta(hours=1))

    await _grant(database, new)

    assert await consents.get(ACME, ALICE, CURSOR, TICKETS) == new
    async with database.read() as tx:
        assert await consent.of_person(tx, ACME, ALICE) == [new]


@pytest.mark.requirement("K-09", "C-15")
@pytest.mark.parametrize(
    ("lasts", "after", "live"),
    [
        (timedelta(hours=1), timedelta(minutes=59, seconds=59), True),
        (timedelta(hours=1), timedelta(hours=1), False),
        (timedelta(days=90), timedelta(days=89), True),
        (timedelta(days=90), timedelta(days=90), False),
        (None, timedelta(days=10_000), True),
    ],
)
def test_a_consent_ends_by_itself(
    clock: ManualClock, lasts: timedelta | None, after: timedelta, live: bool
) -> None:
    yes = _consent(clock.now(), lasts=lasts)

    clock.advance(after)

    assert yes.live_at(clock.seconds()) is live


async def test_ending_twice_says_so_and_keeps_the_first_reason(
    database: Database, clock: ManualClock
) -> None:
    yes = _consent(clock.now())
    await _grant(database, yes)

    async with database.write() as tx:
        assert await consent.end(tx, yes, at=clock.now(), because="revoked")
        assert not await consent.end(tx, yes, at=clock.now(), because="again")
        found = await consent.by_id(tx, ACME, yes.id)

    assert found is not None
    assert found.ended_because == "revoked"


@pytest.mark.requirement("X-01", "S-10", "L-19", "C-26")
async def test_lists_and_ids_stay_on_their_host(database: Database, clock: ManualClock) -> None:
    mine = _consent(clock.now())
    theirs = _consent(clock.now(), host=GLOBEX)
    bobs = _consent(clock.now() + timedelta(seconds=1), subject=BOB)
    await _grant(database, mine, theirs, bobs)

    async with database.write() as tx:
        assert await consent.of_person(tx, ACME, ALICE) == [mine]
        assert await consent.every(tx, ACME) == [mine, bobs]
        assert await consent.by_id(tx, GLOBEX, mine.id) is None
        await consent.end(tx, theirs, at=clock.now(), because="revoked")
        assert await consent.every(tx, ACME) == [mine, bobs]


async def test_the_longest_client_id_can_be_consented_to(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    consents = Consents(database, feed)
    client = ClientId("https://" + "".join(chr(33 + n * 7 % 90) for n in range(2040)))
    yes = _consent(clock.now(), client=client)

    async with database.write() as tx:
        await consent.grant(tx, Consent(**{**_fields(yes), "id": ConsentId("c_1")}))

    assert await consents.get(ACME, ALICE, client, TICKETS) is not None


async def test_a_key_that_could_be_two_keys_is_refused(
    database: Database, clock: ManualClock
) -> None:
    with pytest.raises(ValueError, match="control character"):
        await _grant(database, _consent(clock.now(), client=ClientId("a\x1fb")))


def _fields(yes: Consent) -> dict[str, object]:
    return {name: getattr(yes, name) for name in yes.__struct_fields__}
