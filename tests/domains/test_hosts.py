"""Tenants: the Host header chooses, and the choice is never a stale one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.exc import IntegrityError

from safeconduct import hosts
from safeconduct.core.model import HostId
from safeconduct.hosts import ClientPolicy, Host, Hosts, Policies, SignInPolicy
from safeconduct.storage import Database, Feed, Read

ACME = Host(
    key=HostId("acme"), name="Acme", origin="https://acme.example:8443", policies=Policies()
)
GLOBEX = Host(
    key=HostId("globex"), name="Globex", origin="https://globex.example", policies=Policies()
)


async def _save(database: Database, *all_of_them: Host) -> None:
    async with database.write() as tx:
        for host in all_of_them:
            await hosts.save(tx, host)


@pytest.mark.requirement("X-01", "P-13")
async def test_the_host_header_names_the_tenant(database: Database, feed: Feed) -> None:
    known = Hosts(database, feed)
    await _save(database, ACME, GLOBEX)
    await known.refresh()

    assert known.at("acme.example:8443") == ACME
    assert known.at("ACME.example:8443") == ACME
    assert known.at("globex.example") == GLOBEX
    for stranger in ("acme.example", "acme.example:443", "", "globex.example:8443", "evil.example"):
        assert known.at(stranger) is None
    assert known.every() == (ACME, GLOBEX)


@pytest.mark.requirement("A-03")
async def test_a_new_tenant_allows_passwords_and_nothing_else(
    database: Database, feed: Feed
) -> None:
    known = Hosts(database, feed)
    await _save(database, ACME)
    await known.refresh()

    found = known.get(ACME.key)
    assert found is not None
    assert found.policies.sign_in == SignInPolicy(password=True, sign_up=False)


@pytest.mark.requirement("A-03", "X-01")
async def test_changing_one_tenant_leaves_the_other_alone(database: Database, feed: Feed) -> None:
    known = Hosts(database, feed)
    await _save(database, ACME, GLOBEX)
    changed = Host(
        key=ACME.key,
        name="Acme",
        origin=ACME.origin,
        policies=Policies(
            sign_in=SignInPolicy(sign_up=True),
            clients=ClientPolicy(dropped_documents=("https://a.example/x",)),
            policy_bundle="b" * 64,
        ),
    )

    await _save(database, changed)
    assert known.stale
    await known.refresh()

    assert known.get(ACME.key) == changed
    assert known.get(GLOBEX.key) == GLOBEX
    assert not known.stale


async def test_a_tenant_taken_out_of_service_is_unknown(database: Database, feed: Feed) -> None:
    known = Hosts(database, feed)
    await _save(database, ACME, GLOBEX)
    await known.refresh()

    async with database.write() as tx:
        await hosts.remove(tx, ACME.key)
    await known.refresh()

    assert known.at("acme.example:8443") is None
    assert known.at("globex.example") == GLOBEX


async def test_two_tenants_cannot_have_one_origin(database: Database) -> None:
    await _save(database, ACME)
    double = Host(key=GLOBEX.key, name="x", origin=ACME.origin, policies=Policies())

    with pytest.raises(IntegrityError):
        await _save(database, double)


class Slow:
    """A store whose readers are held up after they have read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.in_hand, self.go_on = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Read]:
        async with self._database.read() as tx:
            yield tx
        self.in_hand.set()
        await self.go_on.wait()


async def test_a_refresh_that_was_overtaken_stays_stale(database: Database, feed: Feed) -> None:
    """The change commits while somebody has the old rows in hand."""
    slow = Slow(database)
    known = Hosts(slow, feed)  # type: ignore[arg-type]  all that hosts ask of a database
    await _save(database, ACME)
    refreshing = [asyncio.ensure_future(known.refresh()) for _ in range(2)]
    async with asyncio.timeout(10):
        await slow.in_hand.wait()
        await _save(database, GLOBEX)
        slow.go_on.set()
        await refreshing[0]
        assert known.get(GLOBEX.key) is None
        assert known.stale
        await refreshing[1]

    assert known.get(GLOBEX.key) == GLOBEX
    assert not known.stale


async def test_a_refresh_that_failed_stays_stale(database: Database, feed: Feed) -> None:
    known = Hosts(database, feed)
    await _save(database, ACME)
    refreshing = asyncio.ensure_future(known.refresh())
    await asyncio.sleep(0)
    refreshing.cancel()
    await asyncio.wait({refreshing})

    assert known.stale or known.get(ACME.key) == ACME
