"""Relations on the road, answered by a SpiceDB cluster: at once, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from safeconduct.app import Provisioner, open_installation
from safeconduct.core.model import HostId
from safeconduct.relations import BackendUnavailable, Question, person
from safeconduct.settings import SettingsError, parse
from safeconduct.upstreams import Override
from tests.relations.oracle import Oracle, is_there
from tests.road.relating import Desk, may, relating
from tests.road.world import World

if is_there():
    from tests.relations.cluster import Cluster

there = pytest.mark.skipif(not is_there(), reason="SpiceDB is not in tools/node/node_modules")
pytestmark = pytest.mark.requirement("Z-16", "Z-18", "Z-24", "Z-40")

HOST = HostId("acme")
MINE = "ticket:T-7#assignee@user:alice@acme.test"


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    oracle = Oracle()
    yield oracle
    oracle.close()


@pytest.fixture
async def cluster(oracle: Oracle) -> AsyncIterator[Cluster]:
    cluster = Cluster(oracle)
    await cluster.start()
    yield cluster
    await cluster.stop()


@pytest.fixture
async def world(cluster: Cluster, tmp_path: Path) -> AsyncIterator[World]:
    async with relating(tmp_path, relations=_said(tmp_path, cluster.target)) as world:
        yield world


def _said(directory: Path, target: str) -> dict[str, object]:
    (directory / "key").write_text("a key for the cluster")
    (directory / "key").chmod(0o600)
    return {
        "engine": "spicedb",
        "target": target,
        "token": {"file": str(directory / "key")},
        "plaintext": True,
    }


@there
@pytest.mark.slow
async def test_a_cluster_knows_of_every_change_at_the_very_next_call(
    world: World, cluster: Cluster
) -> None:
    desk, tokens = Desk(world), await world.tokens()
    assert not await may(world, tokens)

    for _ in range(3):
        await desk.edits(writes=[MINE])
        cluster.asked.clear()
        assert await may(world, tokens)
        assert "CheckBulkPermissions" in cluster.asked
        await desk.edits(deletes=[MINE])
        assert not await may(world, tokens)
    assert len(world.upstream.seen) == 3


@there
@pytest.mark.slow
async def test_a_cluster_knows_peoples_groups_and_the_configuration(world: World) -> None:
    backend, alice = world.parts.backend, await world.person("alice@acme.test")
    subject = person(alice.id)

    assert await backend.lookup_resources(HOST, "group", "member", subject) == ["group:engineering"]
    found = await backend.lookup_subjects(HOST, "ticket:T-1", "edit", "person")
    assert found.found == (person((await world.person("bob@acme.test")).id),)

    text = (world.directory / "rules" / "tickets.zed").read_text()
    changed = text.replace("edit = assignee", "edit = assignee + watcher")
    (world.directory / "rules" / "tickets.zed").write_text(changed)
    await Desk(world).edits(writes=["ticket:T-7#watcher@group:engineering#member"])
    question = Question(object="ticket:T-7", permission="edit", subject=subject)
    assert not (await backend.check(HOST, question)).allowed
    await Provisioner.of(world.parts).apply(world.parts.settings, crawl=False)
    await world.parts.hosts.refresh()
    assert (await backend.check(HOST, question)).allowed


@there
@pytest.mark.slow
async def test_a_cluster_that_is_away_is_a_no_said_once_and_comes_back(
    world: World, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    desk, tokens = Desk(world), await world.tokens()
    await desk.edits(writes=[MINE])
    assert await may(world, tokens)
    caplog.set_level(logging.INFO, "safeconduct.relations")

    await cluster.stop()
    for _ in range(3):
        assert not await may(world, tokens)
    # What is written meanwhile waits, and is not forgotten.
    await desk.edits(writes=["ticket:T-8#assignee@user:alice@acme.test"], deletes=[MINE])
    assert not await may(world, tokens, "T-8")
    await cluster.start()

    async with asyncio.timeout(10):
        while not await may(world, tokens, "T-8"):
            await asyncio.sleep(0.05)  # gRPC connects again when it thinks it is time
    assert not await may(world, tokens)
    said = [each.message for each in caplog.records if "relations" in each.message]
    assert len(said) == 2
    assert "denied" in said[0]
    assert "again" in said[1]


@there
@pytest.mark.slow
async def test_a_cluster_that_hangs_is_a_no_in_time(world: World, cluster: Cluster) -> None:
    desk, tokens = Desk(world), await world.tokens()
    await desk.edits(writes=[MINE])
    assert await may(world, tokens)
    loop = asyncio.get_running_loop()

    cluster.hangs.clear()
    began = loop.time()
    answers = await asyncio.gather(*(may(world, tokens) for _ in range(8)))
    took = loop.time() - began
    cluster.hangs.set()

    assert answers == [False] * 8
    assert took < 5
    assert await may(world, tokens)


@there
@pytest.mark.slow
async def test_rules_that_deny_on_a_yes_do_not_let_through_what_nobody_can_answer(
    cluster: Cluster, tmp_path: Path
) -> None:
    """A question of the host's own rules: `allowed` false must not mean "not on the list"."""
    async with relating(
        tmp_path, relations=_said(tmp_path, cluster.target), rules=_UNWANTED
    ) as world:
        await world.override("get_issue", Override(bindings=()))
        tokens = await world.tokens()
        assert await may(world, tokens)

        cluster.down = True

        assert not await may(world, tokens)


_UNWANTED = {
    "data.json": (
        '{"questions": {"watches": {"path": "arguments.id", "object": "ticket:{value}",'
        ' "permission": "view"}}}'
    ),
    "unwanted.rego": """package safeconduct.host

import rego.v1

deny contains {"reason": "unwanted", "message": "No."} if data.safeconduct.questions.answers.watches
""",
}


@there
@pytest.mark.slow
async def test_leaving_a_cluster_and_coming_back_misses_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    said = _said(tmp_path, cluster.target)
    async with relating(tmp_path, relations=said) as world:
        tokens = await world.tokens()
        await Desk(world).edits(writes=[MINE])
        assert await may(world, tokens)
    async with relating(tmp_path) as world:  # from memory, for a while
        await Desk(world).edits(deletes=[MINE], writes=[MINE.replace("T-7", "T-8")])
    async with relating(tmp_path, relations=said) as world:
        tokens = await world.tokens()
        assert not await may(world, tokens)
        assert await may(world, tokens, "T-8")


async def test_a_cluster_without_its_packages_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    (tmp_path / "key").write_text("a key for the cluster")
    text = "server: {relations: {engine: spicedb, target: 'spicedb:50051', token: {file: key}}}"
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "safeconduct.relations.spicedb", raising=False)

    with pytest.raises(BackendUnavailable, match=r"safeconduct\[spicedb\]"):
        async with open_installation(parse(text, base=tmp_path, environ={})):
            pass


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("engine: spicedb, token: {env: KEY}", "target"),
        ("engine: spicedb, target: 'a:1'", "token"),
        ("target: 'a:1'", "engine: spicedb"),
        ("engine: spicedb, target: 'a:1', token: literal", "literal|env"),
        ("engine: spicedb, target: 'a:1', token: {env: KEY}, plaintext: true", "this machine"),
        ("engine: spicedb, target: 'a', token: {env: KEY}", "HOST:PORT"),
        ("engine: spicedb, target: 'https://a:1', token: {env: KEY}", "HOST:PORT|host name|URL"),
        ("engine: spicedb, target: 'a:0', token: {env: KEY}", "port"),
        ("engine: other", "spicedb"),
    ],
)
def test_a_cluster_is_configured_strictly(tmp_path: Path, said: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        parse(f"server: {{relations: {{{said}}}}}", base=tmp_path, environ={"KEY": "k"})
