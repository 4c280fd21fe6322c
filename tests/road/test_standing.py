"""Nothing is allowed for longer than its reason lasts, and each end of a reason is on record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from safeconduct import relations
from safeconduct.app import Provisioner
from safeconduct.app.expiring import Expiring
from safeconduct.core.model import HostId, Level
from safeconduct.relations import Tuple
from safeconduct.settings import AccessSettings, HostSettings, PersonSettings
from tests.road.world import Tokens, World, host_settings, world_at

pytestmark = pytest.mark.slow  # a process judges the rules of each world
ACME = HostId("acme")
RULES = """package safeconduct.host

import rego.v1

deny contains {"reason": "region", "message": "Only from the EU."} if not in_region

in_region if input.subject.attributes.region == "EU"
"""
Change = Callable[[World, Tokens], Awaitable[None]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two people of the EU; a group alone lets both do more than reading on `tickets`."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.rego").write_text(RULES)
    host = host_settings("acme", "http://unused")
    people = [
        each | {"groups": ["engineering"], "attributes": {"region": "EU"}}
        for each in host["people"]
    ]
    access: list[dict[str, Any]] = [
        each | {"ceiling": "low"} if each["server"] == "tickets" else each
        for each in host["access"]
    ]
    access.append({"group": "engineering", "server": "tickets", "ceiling": "high"})
    said = {"people": people, "access": access, "policy": {"directory": "rules"}}
    async with world_at(tmp_path, acme=said) as world:
        yield world


async def reason(world: World, tokens: Tokens) -> str:
    """Call a tool of level medium; returns why not, or `allowed`."""
    answer = await world.call(tokens.access, "create_issue")
    if answer.status_code == 401:
        return "unauthenticated"
    said = answer.json()
    return "allowed" if "result" in said else str(said["error"]["data"]["reason"])


async def apply(world: World, changed: Callable[[HostSettings], HostSettings]) -> None:
    """Apply the configuration with one host of it changed."""
    parts = world.parts
    first, *others = parts.settings.hosts
    said = replace(parts.settings, hosts=(changed(first), *others))
    await Provisioner.of(parts).apply(said, crawl=False, by="carol")


def alice(host: HostSettings, **said: Any) -> HostSettings:
    def each(person: PersonSettings) -> PersonSettings:
        return replace(person, **said) if person.email == "alice@acme.test" else person

    return replace(host, people=tuple(map(each, host.people)))


def of_group(host: HostSettings, level: Level) -> HostSettings:
    def each(access: AccessSettings) -> AccessSettings:
        return replace(access, ceiling=level) if access.group else access

    return replace(host, access=tuple(map(each, host.access)))


async def session_ends(world: World, tokens: Tokens) -> None:
    await world.revoke(tokens)


async def consent_runs_out(world: World, _tokens: Tokens) -> None:
    """Its session has time left: the person consented for less time afterwards."""
    await world.tokens(days=60 / 86_400)
    world.clock.advance(timedelta(seconds=60))


async def ceiling_falls(world: World, _tokens: Tokens) -> None:
    await apply(world, lambda host: of_group(host, Level.LOW))


async def group_is_left(world: World, _tokens: Tokens) -> None:
    await apply(world, lambda host: alice(host, groups=()))


async def attribute_changes(world: World, _tokens: Tokens) -> None:
    await apply(world, lambda host: alice(host, attributes={"region": "US"}))


CHANGES = [
    pytest.param(session_ends, "unauthenticated", id="session"),
    pytest.param(consent_runs_out, "consent.expired", id="consent"),
    pytest.param(ceiling_falls, "ceiling.exceeded", id="ceiling"),
    pytest.param(group_is_left, "ceiling.exceeded", id="group"),
    pytest.param(attribute_changes, "policy.region", id="attribute"),
]


@pytest.mark.requirement("Z-21", "Z-24")
@pytest.mark.parametrize(("change", "why"), CHANGES)
async def test_what_is_allowed_ends_with_its_reason_on_the_very_next_call(
    world: World, change: Change, why: str
) -> None:
    alices, bobs = await world.tokens(), await world.tokens("bob")
    assert await reason(world, alices) == await reason(world, bobs) == "allowed"
    calls = len(world.upstream.calls())

    await change(world, alices)

    answer = await world.call(alices.access, "create_issue")
    said = answer.json()["error"]
    assert said.get("data", {}).get("reason", "unauthenticated") == why
    assert len(world.upstream.calls()) == calls
    untouched = "allowed" if change is not ceiling_falls else "ceiling.exceeded"
    assert await reason(world, bobs) == untouched


@pytest.mark.requirement("Z-21")
async def test_what_was_lost_comes_back_with_its_reason_and_nothing_had_been_kept(
    world: World,
) -> None:
    tokens = await world.tokens()
    for change in (ceiling_falls, group_is_left, attribute_changes):
        await change(world, tokens)
        assert await reason(world, tokens) != "allowed"
        await apply(world, lambda host: host)
        assert await reason(world, tokens) == "allowed"


def ended(world: World) -> list[tuple[str, Any, str]]:
    """Return what ended: its kind, which, and why."""
    return [
        (each["kind"], each.get("session") or each.get("resource"), each["reason"])
        for each in world.events()
        if each["kind"] in {"session.ended", "consent.ended", "relation.removed"}
    ]


@pytest.mark.requirement("Z-22", "Z-21")
async def test_a_consent_that_ran_out_is_on_record_once_with_the_sessions_it_carried(
    world: World,
) -> None:
    long = await world.tokens()
    short = await world.tokens(days=60 / 86_400)
    other = await world.tokens("bob", days=61 / 86_400)
    expiring = Expiring(world.parts)
    world.clock.advance(timedelta(seconds=59))
    await expiring.end_what_ran_out()
    assert ended(world) == []

    world.clock.advance(timedelta(seconds=1))
    for _ in range(2):
        await expiring.end_what_ran_out()

    assert ended(world) == [
        ("session.ended", short.session, "absolute limit"),
        ("consent.ended", None, "consent.expired"),
        ("session.ended", long.session, "consent.expired"),
    ]
    (record,) = world.events("consent.ended")
    granted = world.events("consent.granted")[1]
    assert record["consent"] == granted["consent"]
    assert (record["subject"], record["client"], record["server"]) == (
        long.subject,
        "agent",
        "tickets",
    )
    assert await reason(world, long) == "unauthenticated"
    assert await reason(world, other) == "allowed"


@pytest.mark.requirement("Z-22", "C-15")
async def test_a_consent_that_ran_out_can_be_given_again_and_run_out_again(world: World) -> None:
    for _ in range(2):
        tokens = await world.tokens(days=60 / 86_400)
        assert await reason(world, tokens) == "allowed"
        world.clock.advance(timedelta(seconds=60))
        await Expiring(world.parts).end_what_ran_out()

    consents = [each["consent"] for each in world.events("consent.ended")]
    assert len(consents) == len(set(consents)) == 2


@pytest.mark.requirement("Z-22")
async def test_a_relation_that_ran_out_is_on_record(world: World) -> None:
    until = world.clock.now() + timedelta(seconds=60)
    edge = Tuple.parse("group:night#member@person:p_x")
    lasting = Tuple.parse("group:night#member@person:p_y")
    async with world.parts.database.write() as tx:
        for each in (replace(edge, expires_at=until), lasting):
            await relations.write(tx, ACME, each, source="api", at=world.clock.now())
    await Expiring(world.parts).end_what_ran_out()
    assert ended(world) == []

    world.clock.advance(timedelta(seconds=60))
    for _ in range(2):
        await Expiring(world.parts).end_what_ran_out()

    ((kind, resource, why),) = ended(world)
    assert (kind, why) == ("relation.removed", "expired")
    assert resource.startswith(str(edge))
    async with world.parts.database.read() as tx:
        assert lasting in await relations.every(tx, ACME)


@pytest.mark.requirement("Z-22", "Z-12")
@pytest.mark.parametrize(
    ("change", "step"),
    [
        (ceiling_falls, "ceiling on tickets for group engineering: high -> low"),
        (group_is_left, "person alice@acme.test: groups: engineering -> none"),
        (attribute_changes, "person alice@acme.test: attributes: region change"),
    ],
    ids=["ceiling", "group", "attribute"],
)
async def test_what_a_configuration_takes_away_is_on_record_with_who_applied_it(
    world: World, change: Change, step: str
) -> None:
    tokens = await world.tokens()

    await change(world, tokens)

    steps = [
        each["detail"] for each in world.events("configuration.applied") if each["host"] == ACME
    ][-1]
    assert steps["by"] == "carol"
    assert any(step in each for each in steps["steps"]), steps
    refused = world.events("call.denied")
    await reason(world, tokens)
    assert len(world.events("call.denied")) == len(refused) + 1


@pytest.mark.requirement("Z-22", "Z-26")
async def test_a_person_who_is_taken_out_loses_each_session_and_consent_on_record(
    world: World,
) -> None:
    tokens, bobs = await world.tokens(), await world.tokens("bob")

    def without(host: HostSettings) -> HostSettings:
        left = tuple(each for each in host.people if each.email != "alice@acme.test")
        access = tuple(each for each in host.access if each.person != "alice@acme.test")
        return replace(host, people=left, access=access)

    await apply(world, without)

    assert await reason(world, tokens) == "unauthenticated"
    assert await reason(world, bobs) == "allowed"
    assert ended(world) == [
        ("session.ended", tokens.session, "person.removed"),
        ("consent.ended", None, "person.removed"),
    ]
    assert {each["detail"]["by"] for each in world.events("consent.ended")} == {"carol"}
