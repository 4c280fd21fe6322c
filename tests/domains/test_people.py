"""People and operators of a host; nobody of one host is anybody on another."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from safeconduct import people
from safeconduct.core.clock import ManualClock
from safeconduct.core.model import HostId
from safeconduct.people import Operator, People, Person
from safeconduct.storage import Database, Feed

ACME, GLOBEX = HostId("acme"), HostId("globex")


async def _create(
    database: Database, clock: ManualClock, *, host: HostId = ACME, email: str = "alice@acme.test"
) -> Person:
    async with database.write() as tx:
        return await people.create(
            tx,
            host,
            email=email,
            name="Alice",
            at=clock.now(),
            password_hash=f"hash at {host}",
            groups=("engineering",),
            attributes={"region": "EU"},
        )


@pytest.mark.requirement("A-18")
async def test_a_person_is_known_before_the_first_sign_in(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = People(database, feed)
    async with database.write() as tx:
        made = await people.create(tx, ACME, email="Alice@ACME.test ", name="A", at=clock.now())

    assert made.email == "alice@acme.test"
    assert await known.get(ACME, made.id) == made
    async with database.read() as tx:
        assert await people.by_email(tx, ACME, " ALICE@acme.TEST") == (made, None)


@pytest.mark.requirement("X-01", "S-10", "A-03")
async def test_one_address_on_two_hosts_is_two_people(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = People(database, feed)
    at_acme = await _create(database, clock, host=ACME)
    at_globex = await _create(database, clock, host=GLOBEX)

    async with database.read() as tx:
        assert await people.by_email(tx, ACME, at_acme.email) == (at_acme, "hash at acme")
        assert await people.by_email(tx, GLOBEX, at_acme.email) == (at_globex, "hash at globex")
        assert await people.every(tx, ACME) == [at_acme]
        assert await people.by_id(tx, GLOBEX, at_acme.id) is None
    assert await known.get(GLOBEX, at_acme.id) is None
    assert await known.get(ACME, at_acme.id) == at_acme


@pytest.mark.requirement("X-01", "S-10")
async def test_what_is_changed_on_one_host_stays_there(
    database: Database, clock: ManualClock
) -> None:
    at_globex = await _create(database, clock, host=GLOBEX)

    async with database.write() as tx:  # Acme's admin knows the id of Globex's person
        await people.set_password(tx, ACME, at_globex.id, "stolen")
        await people.set_active(tx, ACME, at_globex.id, active=False)
        await people.describe(
            tx, ACME, at_globex.id, name="X", groups=(), attributes={}, configured=True
        )

    async with database.read() as tx:
        assert await people.by_email(tx, GLOBEX, at_globex.email) == (at_globex, "hash at globex")


async def test_an_address_is_taken_once_on_a_host(database: Database, clock: ManualClock) -> None:
    await _create(database, clock)

    with pytest.raises(IntegrityError):
        await _create(database, clock)


@pytest.mark.requirement("A-04")
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kate@acme.test", "\u212aate@acme.test"),
        ("strasse@acme.test", "straße@acme.test"),
        ("if@acme.test", "\u0131f@acme.test"),
        ("fi@acme.test", "ﬁ@acme.test"),
    ],
)
def test_look_alike_addresses_stay_apart(one: str, other: str) -> None:
    """Case mappings of Unicode would give one mailbox's owner the other one's account."""
    assert people.normal_email(one.upper()) == one
    assert people.normal_email(other) != one


@pytest.mark.requirement("Z-26")
async def test_a_suspended_person_is_seen_as_such_at_the_next_look(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = People(database, feed)
    alice = await _create(database, clock)
    assert await known.get(ACME, alice.id) == alice

    async with database.write() as tx:
        await people.set_active(tx, ACME, alice.id, active=False)

    assert known.held(ACME, alice.id) is None
    found = await known.get(ACME, alice.id)
    assert found is not None
    assert not found.active


async def test_a_description_replaces_groups_and_attributes_and_keeps_the_password(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = People(database, feed)
    alice = await _create(database, clock)

    async with database.write() as tx:
        await people.describe(
            tx,
            ACME,
            alice.id,
            name="A. L.",
            groups=("sales",),
            attributes={"x": 1},
            configured=True,
        )

    found = await known.get(ACME, alice.id)
    assert found is not None
    assert (found.name, found.groups, found.attributes) == ("A. L.", ("sales",), {"x": 1})
    async with database.read() as tx:
        assert await people.by_email(tx, ACME, alice.email) == (found, "hash at acme")


@pytest.mark.requirement("L-19", "X-01")
async def test_an_operator_of_one_host_is_nobody_on_another(database: Database) -> None:
    async with database.write() as tx:
        await people.save_operator(tx, Operator(host=ACME, email="Root@a.test", role="owner"), "h1")
        await people.save_operator(
            tx, Operator(host=GLOBEX, email="eve@g.test", role="owner"), "h2"
        )

    async with database.write() as tx:
        await people.remove_operator(tx, ACME, "eve@g.test")
        assert [each.email for each in await people.operators(tx, ACME)] == ["root@a.test"]
        assert [each.email for each in await people.operators(tx, GLOBEX)] == ["eve@g.test"]
        assert await people.operator_password(tx, ACME, "ROOT@a.test") == "h1"
        assert await people.operator_password(tx, GLOBEX, "root@a.test") is None


async def test_an_operator_saved_without_a_password_keeps_the_old_one(database: Database) -> None:
    root = Operator(host=ACME, email="root@a.test", role="owner")
    async with database.write() as tx:
        await people.save_operator(tx, root, "h1")
        await people.save_operator(tx, Operator(host=ACME, email="root@a.test", role="admin"), None)

        assert await people.operator_password(tx, ACME, root.email) == "h1"
        assert [each.role for each in await people.operators(tx, ACME)] == ["admin"]
        await people.remove_operator(tx, ACME, "ROOT@a.test")
        assert await people.operators(tx, ACME) == []


@pytest.mark.requirement("X-01", "Z-38")
async def test_a_person_is_found_by_address_as_long_as_it_is_theirs(
    database: Database, feed: Feed, clock: ManualClock
) -> None:
    known = People(database, feed)
    assert await known.at(ACME, "alice@acme.test") is None
    alice = await _create(database, clock)
    assert await known.at(ACME, "ALICE@acme.test") == alice
    assert await known.at(GLOBEX, "alice@acme.test") is None

    async with database.write() as tx:
        await people.set_active(tx, ACME, alice.id, active=False)

    found = await known.at(ACME, "alice@acme.test")
    assert found is not None
    assert not found.active
    async with database.write() as tx:
        await people._update(tx, ACME, alice.id, email="alice@new.test")
    assert await known.at(ACME, "alice@acme.test") is None
    assert (await known.at(ACME, "alice@new.test")) is not None
