"""Rules from git: judged and tried before they decide, and the last good ones stay otherwise."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from safeconduct import policy
from safeconduct.app import Activations, Repositories
from safeconduct.core.errors import Refused
from safeconduct.core.model import HostId
from safeconduct.hosts import find
from safeconduct.policy import Standing, make_key, signatures
from tests.fixtures.repositories import Repository
from tests.road.world import World, world_at

pytestmark = pytest.mark.slow  # git, and processes that judge and try
ACME, OTHER = HostId("acme"), HostId("other")
SECRET = "a-webhooks-secret"
RULES = """\
package safeconduct.host

import rego.v1

deny contains {{"reason": "{name}", "message": "No."}} if input.resource.name == "{name}"
"""
TESTS = """\
package safeconduct.host

import rego.v1

test_it if count(deny) == {count} with input as {{"resource": {{"name": "{name}"}}}}
"""


DELEGATED = "definition box {\n relation abc: person\n permission edit = abc->delegate\n}"
SCENARIO = """\
scenario: Reading an issue
given:
  server: tickets
  person: {id: alice@acme.test}
  agent: {id: editor}
  tool: {name: get_issue}
cases: [{name: read, expect: allow}]
"""


def rules(name: str, *, count: int = 1) -> dict[str, str | bytes | None]:
    return {
        "rules/x.rego": RULES.format(name=name),
        "rules/x_test.rego": TESTS.format(name=name, count=count),
    }


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.commit(rules("get_issue"))
    return made


@asynccontextmanager
async def deciding(
    directory: Path, repository: Repository, *, git: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[World]:
    said = {"url": repository.url, "directory": "rules", **(git or {})}
    async with world_at(directory, acme={"policy": {"git": said, **more}}) as world:
        await repositories(world).close()
        await look(world)
        yield world


def repositories(world: World) -> Repositories:
    return world.gateway._answers.repositories


async def look(world: World) -> Standing:
    return await repositories(world).look(ACME)


async def reason(world: World, token: str, name: str = "get_issue") -> str:
    said = (await world.call(token, name)).json()
    return said["error"]["data"]["reason"] if "error" in said else "allowed"


async def active(world: World) -> str:
    async with world.parts.database.read() as tx:
        host = await find(tx, ACME)
    assert host is not None
    return host.policies.policy_bundle


async def roll_back(world: World, digest: str) -> None:
    parts = world.parts
    activations = Activations(trail=parts.trail, clock=parts.clock, signer=parts.shelf.signer)
    async with parts.database.write() as tx:
        host = await find(tx, ACME)
        assert host is not None
        await activations.roll_back(tx, host, digest, by="ada", because="it was too strict")


@pytest.mark.requirement("Z-32", "D-05", "D-11", "L-17")
async def test_a_commit_decides_the_next_call_and_is_written_down(
    tmp_path: Path, repository: Repository
) -> None:
    async with deciding(tmp_path, repository) as world:
        token = (await world.tokens()).access
        theirs = (await world.tokens(host="other")).access
        assert await reason(world, token) == "policy.get_issue"
        first = await active(world)
        commit = repository.commit(rules("create_issue"))

        found = await look(world)

        assert (found.state, found.commit) == ("current", commit)
        assert await reason(world, token) == "allowed"
        assert await reason(world, token, "create_issue") == "policy.create_issue"
        other = await world.call(theirs, origin="https://other.test")
        assert "result" in other.json()
        event = world.events("policy.activated")[-1]
        assert event["detail"]["before"] == first
        assert event["detail"]["after"] == await active(world)
        assert event["detail"]["changed"] == ["host/x.rego", "host/x_test.rego"]
        assert event["detail"]["source"] == f"{repository.url}@{commit}"
        assert event["bundle"] == world.events("call.denied")[-1]["bundle"]
        async with world.parts.database.read() as tx:
            entry = (await policy.history(tx, ACME))[0]
            assert await policy.history(tx, OTHER) == []
        assert entry.because == f"commit {commit[:12]} on main by ada@acme.test"
        assert entry.decides_as == event["bundle"]


@pytest.mark.requirement("Z-31")
async def test_a_process_that_still_knows_a_repository_changes_no_rules_that_come_by_api(
    tmp_path: Path, repository: Repository
) -> None:
    async with deciding(tmp_path, repository) as world:
        before = await active(world)
        await world.parts.hosts.refresh()
        await world.policies(policy_by="api")
        repository.commit(rules("create_issue"))

        assert (await look(world)).state == "waiting"
        assert await active(world) == before
        await world.policies(policy_by="files")
        assert (await look(world)).state == "current"
        assert await active(world) != before


async def test_a_host_whose_repository_was_never_read_allows_nothing(
    tmp_path: Path, repository: Repository
) -> None:
    git = {"branch": "staging"}
    async with deciding(tmp_path, repository, git=git) as world:
        assert (await look(world)).problem == "the repository has no branch staging"
        assert await active(world) == policy.PENDING
        with pytest.raises(Refused, match="The policy gave no answer"):
            await world.code("alice", "agent", "tickets")
        repository.git("branch", "staging")
        assert (await look(world)).state == "current"
        token = (await world.tokens()).access
        assert await reason(world, token) == "policy.get_issue"
        assert await reason(world, token, "create_issue") == "allowed"


@pytest.mark.requirement("Z-32", "D-09")
@pytest.mark.parametrize(
    ("files", "said"),
    [
        (rules("create_issue", count=2), "the test is not true"),
        ({"rules/x.rego": "package safeconduct.decision\n"}, "package safeconduct.decision"),
        ({"rules/x.rego": "nonsense"}, "x.rego"),
        ({"rules/data.json": '{"denylists": {"clients": 1}}'}, "does not fit"),
        ({"rules/x.zed": "definition {"}, "x.zed"),
        ({"rules/x.zed": DELEGATED}, "x.zed: schema line 3: edit names person#delegate"),
        ({"rules/x.scenario.yaml": SCENARIO}, "x.scenario.yaml"),
    ],
    ids=["test", "package", "syntax", "data", "schema", "kept", "scenario"],
)
async def test_a_commit_that_does_not_hold_changes_nothing_and_is_said_once(
    tmp_path: Path,
    repository: Repository,
    caplog: pytest.LogCaptureFixture,
    files: dict[str, str | bytes | None],
    said: str,
) -> None:
    async with deciding(tmp_path, repository) as world:
        token = (await world.tokens()).access
        before = await active(world)
        repository.commit(files)

        for _ in range(3):
            found = await look(world)

        assert found.state == "rejected"
        assert said in found.problem
        assert await active(world) == before
        assert await reason(world, token) == "policy.get_issue"
        (event,) = world.events("policy.rejected")
        assert said in event["reason"]
        assert sum("is refused as policy" in line for line in caplog.messages) == 1
        shutil.move(repository.path, tmp_path / "away")
        assert (await look(world)).state == "unreachable"
        shutil.move(tmp_path / "away", repository.path)
        assert (await look(world)).state == "rejected"
        assert len(world.events("policy.rejected")) == 1


@pytest.mark.requirement("Z-32", "D-09", "Z-37")
async def test_a_repository_that_vanishes_leaves_the_last_good_rules_and_is_said_once(
    tmp_path: Path, repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    async with deciding(tmp_path, repository) as world:
        token = (await world.tokens()).access
        shutil.rmtree(repository.path)
        world.clock.advance(timedelta(minutes=10))

        for _ in range(3):
            found = await look(world)

        assert found.state == "unreachable"
        assert found.problem.startswith("the repository cannot be read: ")
        assert await reason(world, token) == "policy.get_issue"
        assert sum("cannot be had" in line for line in caplog.messages) == 1
        metrics = (await world.http.get("/metrics")).text
        assert 'safeconduct_policy_age_seconds{host="acme"} 600.0' in metrics
        assert 'safeconduct_policy_current{host="acme"} 0.0' in metrics
        assert (await world.http.get("/readyz")).status_code == 200


async def test_a_test_that_never_ends_refuses_the_commit(
    tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safeconduct.policy import elsewhere

    monkeypatch.setattr(elsewhere, "WALL_SECONDS", 8)
    endless = (
        "package safeconduct.host\n\nimport rego.v1\n\n"
        "test_it if { some a in numbers.range(1, 9999); some b in numbers.range(1, 9999); "
        "some c in numbers.range(1, 9999); a + b + c < 0 }\n"
    )
    async with deciding(tmp_path, repository) as world:
        repository.commit({"rules/x_test.rego": endless})

        found = await look(world)

        assert (found.state, found.problem) == (
            "rejected",
            "the tests take too long, or too much memory",
        )


@pytest.mark.requirement("Z-32")
async def test_what_was_rolled_back_waits_for_something_newer(
    tmp_path: Path, repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    async with deciding(tmp_path, repository) as world:
        token = (await world.tokens()).access
        first = await active(world)
        repository.commit(rules("create_issue"))
        await look(world)
        second = await active(world)

        await roll_back(world, first)

        assert await reason(world, token) == "policy.get_issue"
        assert (await look(world)).state == (await look(world)).state == "held"
        assert await active(world) == first
        repository.commit({"README.md": "Nothing that decides."})
        assert (await look(world)).state == "held"
        assert sum("were rolled back" in line for line in caplog.messages) == 2  # one each
        await roll_back(world, second)
        assert (await look(world)).state == "current"
        await roll_back(world, first)
        assert (await look(world)).state == "held"
        repository.commit(rules("delete_issue"))
        assert (await look(world)).state == "current"
        assert await reason(world, token, "delete_issue") == "policy.delete_issue"
        kinds = [event["reason"] for event in world.events("policy.activated")]
        assert kinds == ["fetched", "fetched", *["rolled_back"] * 3, "fetched"]


@pytest.mark.requirement("Z-32", "Z-37")
async def test_only_what_a_trusted_author_signed_is_taken_and_never_something_older(
    tmp_path: Path, repository: Repository
) -> None:
    make_key(tmp_path / "key.pem", tmp_path / "key.pub")
    key = (tmp_path / "key.pem").read_text()

    def signed(name: str, version: int, **more: bytes) -> dict[str, str | bytes | None]:
        files = {
            path.removeprefix("rules/"): str(content).encode()
            for path, content in rules(name).items()
        }
        raw = signatures(files, key, version=version)
        return {**rules(name), "rules/.signatures.json": raw, **more}

    keys = [{"file": str(tmp_path / "key.pub")}]
    async with deciding(tmp_path, repository, trusted_keys=keys) as world:
        assert "only signed rules are taken" in (await look(world)).problem
        assert await active(world) == policy.PENDING
        repository.commit(signed("get_issue", 5))
        assert (await look(world)).state == "current"
        token = (await world.tokens()).access
        good = await active(world)

        for change, said in (
            ({"rules/extra.md": b"x"}, "extra.md was not signed"),
            ({"rules/extra.md": None, "rules/x_test.rego": None}, "was signed and is missing"),
            (signed("create_issue", 4), "version 4 was signed, and this host has had version 5"),
            (signed("create_issue", 5), "version 5 was signed"),
        ):
            repository.commit(dict(change))  # type: ignore[call-overload]
            found = await look(world)
            assert found.state == "rejected"
            assert said in found.problem
            assert await active(world) == good
        repository.commit(signed("create_issue", 6))
        assert (await look(world)).state == "current"
        await roll_back(world, good)
        assert await reason(world, token) == "policy.get_issue"
        assert (await look(world)).state == "held"


@pytest.mark.requirement("Z-37")
async def test_a_stored_bundle_that_was_altered_is_mended_from_the_repository(
    tmp_path: Path, repository: Repository
) -> None:
    async with deciding(tmp_path, repository) as world:
        token = (await world.tokens()).access
        async with world.parts.database.engine.begin() as connection:
            await connection.execute(text("UPDATE bundles SET content = x'7b7d'"))
        world.parts.shelf._current.clear()
        world.parts.shelf._earlier.clear()
        world.parts.hosts._changes += 1
        assert await reason(world, token) == "engine.failed"
        assert await reason(world, token, "create_issue") == "engine.failed"

        await look(world)

        assert await reason(world, token) == "policy.get_issue"
        assert await reason(world, token, "create_issue") == "allowed"


@pytest.mark.requirement("D-11")
async def test_a_webhook_makes_us_look_and_nothing_else_does(
    tmp_path: Path, repository: Repository
) -> None:
    git = {"webhook_secret": {"file": str(tmp_path / "secret")}, "poll_seconds": 86_400}
    (tmp_path / "secret").write_text(SECRET)
    async with deciding(tmp_path, repository, git=git) as world:
        commit = repository.commit(rules("create_issue"))
        body = b'{"ref": "refs/heads/main"}'
        mac = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
        wrong = hmac.digest(b"another", body, hashlib.sha256).hex()
        empty = hmac.digest(b"", body, hashlib.sha256).hex()
        url = "https://acme.test/hooks/policy"

        async def post(content: bytes, signature: str | None, url: str = url, **more: str) -> int:
            headers = {} if signature is None else {"x-hub-signature-256": f"sha256={signature}"}
            return (await world.http.post(url, content=content, headers=headers | more)).status_code

        assert await post(body, wrong) == 401
        assert await post(body, None) == 401
        assert await post(body, empty) == 401
        assert await post(body[:-1] + b" ", mac) == 401
        assert await post(body, mac.upper()) == 401
        assert await post(body, mac, "https://other.test/hooks/policy") == 401
        assert await post(body, empty, "https://other.test/hooks/policy") == 401
        assert await post(b"x" * 70_000, mac) == 413
        assert (await world.http.get(url)).status_code == 405
        assert repositories(world)._soon == {}

        assert await post(body, mac) == 202
        async with asyncio.timeout(60):
            while (await standing(world)).commit != commit:
                await asyncio.sleep(0.05)


async def standing(world: World) -> Standing:
    async with world.parts.database.read() as tx:
        return await policy.standing_of(tx, ACME)


async def all_looked(repositories: Repositories) -> None:
    await repositories.look_around()
    await asyncio.gather(*repositories._soon.values())


async def test_one_of_many_looks_when_it_is_time(tmp_path: Path, repository: Repository) -> None:
    async with deciding(tmp_path, repository) as world:
        started = (await standing(world)).tried_at
        both = [repositories(world), Repositories(world.parts)]
        world.clock.advance(timedelta(seconds=59))
        for each in both:
            await all_looked(each)
        assert (await standing(world)).tried_at == started
        world.clock.advance(timedelta(seconds=2))
        now = world.clock.now()
        async with world.parts.database.write() as tx:
            before = now - timedelta(seconds=60)
            assert await policy.claim(tx, ACME, at=now, before=before)
            assert not await policy.claim(tx, ACME, at=now, before=before)
        shutil.rmtree(repository.path)

        for each in both:
            await all_looked(each)

        assert (await standing(world)).state == "current", "somebody else is looking"
        assert [each.current for each in both[1].ages()] == [True]


@pytest.mark.requirement("D-05")
async def test_each_environment_follows_its_own_branch(
    tmp_path: Path, repository: Repository
) -> None:
    repository.git("branch", "production")
    git = {"branch": "production"}
    async with deciding(tmp_path, repository, git=git) as world:
        before = await active(world)
        repository.commit(rules("create_issue"))
        await look(world)
        assert await active(world) == before

        repository.git("branch", "--force", "production", "main")
        await look(world)

        assert await active(world) != before


async def test_a_repository_that_hangs_holds_up_no_other_and_a_push_meanwhile_is_not_lost(
    tmp_path: Path, repository: Repository
) -> None:
    async with deciding(tmp_path, repository, git={"poll_seconds": 86_400}) as world:
        ours = repositories(world)
        async with ours._sources[ACME].turn:  # as while a look takes long
            ours.soon(ACME)
            await asyncio.sleep(0)
            commit = repository.commit(rules("create_issue"))
            ours.soon(ACME)
            ours.soon(OTHER)
            async with asyncio.timeout(5):
                await ours.look_around()
            assert list(ours._soon) == [ACME]
            assert ours._again == {ACME}
        async with asyncio.timeout(60):
            while ours._again or (await standing(world)).commit != commit:
                await asyncio.sleep(0.05)


@pytest.mark.requirement("D-07")
async def test_a_rule_of_a_signed_repository_is_switched_off_and_its_signature_still_counts(
    tmp_path: Path, repository: Repository
) -> None:
    make_key(tmp_path / "key.pem", tmp_path / "key.pub")
    files = {"x.rego": RULES.format(name="get_issue"), "y.rego": RULES.format(name="create_issue")}
    signed = {path: content.encode() for path, content in files.items()}
    raw = signatures(signed, (tmp_path / "key.pem").read_text(), version=1)
    there: dict[str, str | bytes | None] = {f"rules/{path}": said for path, said in files.items()}
    there |= {"rules/x_test.rego": None, "rules/.signatures.json": raw}
    repository.commit(there)
    keys = [{"file": str(tmp_path / "key.pub")}]
    async with deciding(tmp_path, repository, trusted_keys=keys, off=["x.rego"]) as world:
        token = (await world.tokens()).access

        assert await reason(world, token, "get_issue") == "allowed"
        assert await reason(world, token, "create_issue") == "policy.create_issue"
        (event,) = world.events("policy.activated")
        assert event["detail"]["because"].endswith(", but for x.rego")


@pytest.mark.requirement("D-07")
async def test_a_commit_without_the_file_that_is_off_is_refused_and_another_switch_judged_anew(
    tmp_path: Path, repository: Repository
) -> None:
    repository.commit({"rules/y.rego": RULES.format(name="create_issue")})
    async with deciding(tmp_path, repository, off=["y.rego"]) as world:
        good = await active(world)
        repository.commit({"rules/y.rego": None, "rules/yy.rego": RULES.format(name="other")})

        found = await look(world)

        assert (found.state, await active(world)) == ("rejected", good)
        assert "y.rego is switched off by policy.off and is not there" in found.problem
        assert "did you mean yy.rego?" in found.problem
    async with deciding(tmp_path, repository, off=["yy.rego"]) as world:
        assert (await look(world)).state == "current"  # the same commit, and another question
