"""Stored bundles: named by their content, signed for their host, and logged when they decide."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from safeconduct.core.clock import ManualClock
from safeconduct.core.model import HostId
from safeconduct.policy import (
    Bundle,
    BundleError,
    Kind,
    OwnRules,
    Shelf,
    Signer,
    before_now,
    beginning_with,
    history,
    keep,
    load,
    newest_version,
    note,
    rolled_back,
)
from safeconduct.storage import Database

ACME, GLOBEX = HostId("acme"), HostId("globex")
SIGNER = Signer(b"k" * 32)
RULES = OwnRules(
    modules=(("host/x.rego", "package safeconduct.host\n"),),
    tests=(("host/x_test.rego", "package safeconduct.host\n"),),
    data={"tiers": {"ä": [1, 2.5, None]}},
    schema="definition ticket {}",
)


async def stored(
    database: Database, rules: OwnRules = RULES, *, version: int | None = None
) -> None:
    clock = ManualClock()
    async with database.write() as tx:
        about = {"source": "directory x", "version": version, "at": clock.now()}
        await keep(tx, ACME, rules, signer=SIGNER, **about)  # type: ignore[arg-type]


async def activated(
    database: Database, *digests: str, clock: ManualClock, kind: Kind = "applied"
) -> None:
    for digest in digests:
        async with database.write() as tx:
            last = await history(tx, ACME, most=1)
            await note(
                tx,
                ACME,
                digest=digest,
                previous=last[0].digest if last else "",
                decides_as="d",
                kind=kind,
                at=clock.now(),
                by="ada",
                because="she wanted it",
            )
        clock.advance(timedelta(minutes=1))


def test_the_name_is_the_content_and_every_part_of_it_counts() -> None:
    others = [
        OwnRules(modules=RULES.modules, tests=RULES.tests, data=RULES.data),
        OwnRules(modules=RULES.modules, tests=RULES.tests, schema=RULES.schema),
        OwnRules(modules=RULES.modules, data=RULES.data, schema=RULES.schema),
        OwnRules(tests=RULES.tests, data=RULES.data, schema=RULES.schema),
    ]

    assert OwnRules.read(RULES.content) == RULES
    assert len({RULES.digest, *(each.digest for each in others)}) == 5
    assert OwnRules().digest == ""


async def test_a_bundle_comes_back_as_it_was_stored(database: Database) -> None:
    await stored(database)
    await stored(database)

    async with database.read() as tx:
        found = await load(tx, ACME, RULES.digest, signer=SIGNER)
        assert await beginning_with(tx, ACME, RULES.digest[:8]) == [RULES.digest]
        assert await beginning_with(tx, ACME, "%") == []
    assert (found.rules, found.source) == (RULES, "directory x")
    shipped = Bundle.shipped()
    assert found.rules.upon(shipped).digest != shipped.digest


@pytest.mark.requirement("D-05", "Z-37")
async def test_a_bundle_is_worth_nothing_on_another_host_or_under_another_key(
    database: Database,
) -> None:
    await stored(database)
    copied = text(
        "INSERT INTO bundles SELECT 'globex', digest, content, signature, source, "
        "version, made_at FROM bundles"
    )

    async with database.read() as tx:
        with pytest.raises(BundleError, match="not stored"):
            await load(tx, GLOBEX, RULES.digest, signer=SIGNER)
        with pytest.raises(BundleError, match="not this installation's"):
            await load(tx, ACME, RULES.digest, signer=Signer(b"q" * 32))
    async with database.engine.begin() as connection:
        await connection.execute(copied)
    async with database.read() as tx:
        with pytest.raises(BundleError, match="not what was signed"):
            await load(tx, GLOBEX, RULES.digest, signer=SIGNER)


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize("column", ["content", "signature", "digest"])
async def test_one_altered_byte_makes_a_bundle_unusable_and_says_so_once(
    database: Database, caplog: pytest.LogCaptureFixture, column: str
) -> None:
    await stored(database)
    shelf = Shelf(SIGNER)
    async with database.read() as tx:
        await shelf.fill(tx, [(ACME, RULES.digest), (GLOBEX, "")])
    assert shelf.of(ACME, RULES.digest) == RULES
    async with database.engine.connect() as connection:
        before = (await connection.execute(text(f"SELECT {column} FROM bundles"))).scalar_one()
    raw = bytearray(before if isinstance(before, bytes) else str(before).encode())
    # What a bundle holds stays one that can be read: only its name tells that it is another.
    place = raw.index(b"safeconduct.host") if column == "content" else len(raw) // 2
    raw[place] ^= 1
    altered = bytes(raw) if isinstance(before, bytes) else raw.decode()
    async with database.engine.begin() as connection:
        await connection.execute(text(f"UPDATE bundles SET {column} = :x"), {"x": altered})

    fresh = Shelf(SIGNER)
    async with database.read() as tx:
        for _ in range(3):
            await fresh.fill(tx, [(ACME, RULES.digest), (GLOBEX, "")])

    with pytest.raises(LookupError):
        fresh.of(ACME, RULES.digest)
    assert fresh.of(GLOBEX, "") == OwnRules()
    assert sum("everything is refused" in line for line in caplog.messages) == 1
    await stored(database)
    async with database.read() as tx:
        await fresh.fill(tx, [(ACME, RULES.digest)])
    assert fresh.of(ACME, RULES.digest) == RULES


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_a_bundle_of_another_type_is_unusable_and_no_accident(database: Database) -> None:
    await stored(database)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE bundles SET content = 'text', signature = x'00'"))

    async with database.read() as tx:
        with pytest.raises(BundleError, match="not what was signed"):
            await load(tx, ACME, RULES.digest, signer=SIGNER)


async def test_whoever_still_has_the_last_host_finds_its_bundle(database: Database) -> None:
    await stored(database)
    other = OwnRules(data={"a": 1})
    await stored(database, other)
    shelf = Shelf(SIGNER)

    async with database.read() as tx:
        await shelf.fill(tx, [(ACME, RULES.digest)])
        await shelf.fill(tx, [(ACME, other.digest)])
        assert shelf.of(ACME, RULES.digest) == RULES
        await shelf.fill(tx, [(ACME, other.digest)])

    with pytest.raises(LookupError):
        shelf.of(ACME, RULES.digest)


@pytest.mark.requirement("L-17")
async def test_the_log_tells_what_was_in_force_when_and_who_wanted_it(database: Database) -> None:
    clock = ManualClock()
    start = clock.now()
    await activated(database, "a", "b", clock=clock)

    async with database.read() as tx:
        then = await history(tx, ACME, until=start + timedelta(seconds=30), most=1)
        everything = await history(tx, ACME)
        assert await history(tx, ACME, until=start - timedelta(seconds=1)) == []
        assert await history(tx, GLOBEX) == []
    assert [each.digest for each in then] == ["a"]
    assert [(each.number, each.digest, each.previous) for each in everything] == [
        (2, "b", "a"),
        (1, "a", ""),
    ]
    assert (everything[0].by, everything[0].because) == ("ada", "she wanted it")


async def test_going_back_twice_goes_back_two_and_remembers_both(database: Database) -> None:
    clock = ManualClock()
    await activated(database, "a", "b", "c", clock=clock)
    async with database.read() as tx:
        assert before_now(await history(tx, ACME)) == "b"
        assert rolled_back(await history(tx, ACME)) == frozenset()
    await activated(database, "b", clock=clock, kind="rolled_back")
    async with database.read() as tx:
        assert before_now(await history(tx, ACME)) == "a"
    await activated(database, "a", clock=clock, kind="rolled_back")

    async with database.read() as tx:
        assert rolled_back(await history(tx, ACME)) == {"b", "c"}
        assert before_now(await history(tx, ACME)) is None
    await activated(database, "d", clock=clock)
    async with database.read() as tx:
        assert rolled_back(await history(tx, ACME)) == frozenset()


async def test_the_newest_version_is_the_highest_a_host_ever_took(database: Database) -> None:
    other = OwnRules(data={"a": 1})
    await stored(database)
    async with database.read() as tx:
        assert await newest_version(tx, ACME) is None
    await stored(database, version=3)
    await stored(database, other, version=2)
    await stored(database, other, version=None)

    async with database.read() as tx:
        assert await newest_version(tx, ACME) == (3, RULES.digest)
        assert await newest_version(tx, GLOBEX) is None
