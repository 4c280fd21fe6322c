"""Rules put by request decide on the very next call; what fails changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from safeconduct.policy import make_key, signatures
from tests.api.putting import FOREIGN, READER, TEST, Files, Program, putting, reason, refusing
from tests.rehearsal.processes import children_of
from tests.road.upstream import PATIENCE_SECONDS
from tests.road.world import OTHER, Tokens, World, full_disk

pytestmark = [pytest.mark.slow, pytest.mark.requirement("Z-31")]  # processes that judge and try
ISSUE, NOTE = refusing("get_issue"), refusing("create_issue")


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with putting(tmp_path_factory.mktemp("putting")) as world:
        await Program(world).puts({})
        yield world


@pytest.fixture(scope="module")
async def tokens(shared: World) -> Tokens:
    return await shared.tokens()


@pytest.fixture
async def program(shared: World) -> Program:
    """Begins with the built-in rules alone."""
    program = Program(shared)
    program.start = (await program.puts({}))["bundle"]
    return program


@pytest.mark.requirement("Z-24", "D-05")
async def test_what_was_put_decides_on_the_very_next_call(program: Program, tokens: Tokens) -> None:
    world = program.world
    assert await reason(world, tokens) == "allowed"

    said = await program.puts(ISSUE, because="nobody reads issues")
    assert await reason(world, tokens) == "policy.get_issue"
    assert said == {"bundle": said["bundle"], "before": program.start, "changed": True, "notes": []}
    now = await program.says()
    assert (now["bundle"], now["by"]) == (said["bundle"], "enforcement point writer")
    assert (now["because"], now["source"]) == ("nobody reads issues", "enforcement point writer")
    assert [each["name"] for each in now["files"]] == ["x.rego"]
    assert now["files"][0]["bytes"] == len(ISSUE["x.rego"])
    denied = world.events("call.denied")[-1]
    assert denied["bundle"] == now["decides_as"]

    other = await program.puts(NOTE)
    assert await reason(world, tokens) == "allowed"
    back = await program.back(said["bundle"], headers={"if-match": f'"{other["bundle"]}"'})
    assert back.status_code == 200, back.text
    assert back.json() == {
        "bundle": said["bundle"],
        "before": other["bundle"],
        "changed": True,
        "notes": [],
    }
    assert back.headers["etag"] == f'"{said["bundle"]}"'
    assert await reason(world, tokens) == "policy.get_issue"
    assert (await program.says())["because"] == f"went back from {other['bundle'][:12]}"


@pytest.mark.requirement("D-07", "Z-24")
async def test_one_member_of_the_data_is_replaced_and_the_rest_stays(
    program: Program, tokens: Tokens
) -> None:
    world = program.world
    data = {"denylists": {"clients": ["assistant"]}, "own": {"limit": 3}}
    await program.puts(NOTE | {"data.yaml": json.dumps(data), "x.zed": "definition box {}"})
    assert await reason(world, tokens) == "allowed"
    before = (await program.says("/files"))["files"]

    await program.patches("denylists", {"clients": ["agent"]}, because="it went astray")

    assert await reason(world, tokens) == "denylist.listed"
    after = (await program.says("/files"))["files"]
    assert json.loads(after.pop("data.json")) == data | {"denylists": {"clients": ["agent"]}}
    assert json.loads(before.pop("data.json")) == data
    assert after == before == NOTE | {"schema.zed": "definition box {}"}
    assert (await program.says())["because"] == "it went astray"
    await program.patches("denylists", {})
    assert await reason(world, tokens) == "allowed"
    for member, value in (
        ("denylists", {"client": []}),
        ("denylists", None),
        ("roles", {"agents": {"agent": ["nobody-defined"]}}),
        ("safeconduct", {}),
    ):
        answer = await program.patch(member, value)
        assert answer.status_code == 422
        assert answer.json()["failures"]
    (note,) = (await program.patch("denylist", {"clients": ["agent"]})).json()["notes"]
    assert "no rule reads denylist; the built-in rules read denylists" in note
    assert await reason(world, tokens) == "allowed"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"x.rego": "package safeconduct.host\n\nallow if"}, {"file": "x.rego", "line": 3}),
        ({"x.rego": "package safeconduct.decision"}, {"file": "x.rego"}),
        (ISSUE | {"x_test.rego": TEST.format("false")}, {"file": "x_test.rego", "line": 5}),
        (ISSUE | {"y.scenario.yaml": "scenario: 1"}, {"file": "y.scenario.yaml"}),
        (
            {"x.rego": f"package safeconduct.host\n\nx := {'[' * 20_000}{']' * 20_000}"},
            {"file": "x.rego", "line": 3},
        ),
        (
            ISSUE
            | {
                "x_test.rego": TEST.format(
                    "count([1 | numbers.range(1, 9000)[_]; numbers.range(1, 9000)[_]]) > 0"
                )
            },
            {"file": None, "message": "the tests take too long, or too much memory"},
        ),
    ],
    ids=["syntax", "package", "test", "scenario", "nesting", "endless"],
)
async def test_what_fails_is_told_by_file_and_line_and_the_last_good_rules_stay(
    program: Program, tokens: Tokens, files: Files, found: dict[str, Any]
) -> None:
    await program.puts(NOTE)
    before = await program.says("/history")

    answer = await program.put(files)

    assert answer.status_code == 422
    said = answer.json()
    assert said["error"] == "invalid_params"
    assert said["failures"][0] == said["failures"][0] | found
    assert said["failures"][0].keys() == {"file", "line", "test", "message"}
    assert await program.says("/history") == before
    assert await reason(program.world, tokens) == "allowed"
    assert await reason(program.world, tokens, "create_issue") == "policy.create_issue"


async def test_each_failing_test_is_told_by_its_name(program: Program) -> None:
    tests = TEST.format("false") + "\ntest_other if 1 == 2\n\ntest_good if true\n"

    answer = await program.put(ISSUE | {"sub/x_test.rego": tests})

    place = {"file": "sub/x_test.rego", "message": "the test is not true"}
    assert answer.json()["failures"] == [
        place | {"line": 5, "test": "safeconduct.host_test.test_it"},
        place | {"line": 7, "test": "safeconduct.host_test.test_other"},
    ]


async def test_a_check_judges_and_tests_and_changes_nothing(
    program: Program, tokens: Tokens
) -> None:
    good = await program.put(ISSUE, check="true")
    bad = await program.put(ISSUE | {"x_test.rego": TEST.format("false")}, check="true")
    patched = await program.send("PATCH", "/data/own?check=true", json={"value": 1})

    assert (good.status_code, bad.status_code, patched.status_code) == (200, 422, 200)
    assert good.json()["changed"] is False
    assert good.headers["etag"] == f'"{program.start}"'
    assert await reason(program.world, tokens) == "allowed"
    assert (await program.says())["bundle"] == program.start
    assert (await program.puts(ISSUE))["bundle"] == good.json()["bundle"]


async def test_putting_what_decides_already_changes_nothing_and_says_so(program: Program) -> None:
    first = await program.puts(ISSUE)
    before, events = await program.says("/history"), program.world.events("policy.activated")

    again = await program.puts(ISSUE, because="once more")
    same = await program.puts((await program.says("/files"))["files"])

    assert (
        again
        == same
        == {"bundle": first["bundle"], "before": first["bundle"], "changed": False, "notes": []}
    )
    assert await program.says("/history") == before
    assert program.world.events("policy.activated") == events


async def test_of_two_that_read_the_same_rules_one_is_told_that_it_is_late(
    program: Program,
) -> None:
    first, second = Program(program.world), Program(program.world)

    answers = await asyncio.gather(
        first.put(ISSUE, only_if=program.start),
        second.patch("own", 1, only_if=program.start),
        second.put(NOTE),
    )

    statuses = [each.status_code for each in answers]
    assert statuses[0] == 200
    assert statuses[1] == 412
    assert statuses[2] == 200, "without a condition the last one wins"
    await program.world.policies(policy_bundle="")
    assert (await program.patch("own", 1, only_if="")).status_code == 200
    assert (await program.patch("own", 2, only_if="")).status_code == 412
    assert (await program.puts(NOTE))["changed"]
    lost = await program.back(answers[0].json()["bundle"], headers={"if-match": '""'})
    assert lost.status_code == 412
    assert answers[2].json()["bundle"] in lost.json()["message"]
    listed = ", ".join(f'"{each}"' for each in ("x", answers[2].json()["bundle"]))
    for empty in (",", " , ", f"{listed}, other"):
        put = await program.send("PUT", json={"files": {}}, headers={"if-match": empty})
        assert put.status_code == 422, empty
    put = await program.send("PUT", json={"files": {}}, headers={"if-match": f",{listed}, ,"})
    assert put.status_code == 200


async def test_a_change_made_while_others_are_judged_is_not_undone(program: Program) -> None:
    first = await program.puts(ISSUE)
    second = await program.puts(NOTE)

    late, patched, back = await asyncio.gather(
        program.put({}, only_if=second["bundle"]),
        program.patch("own", 1),
        program.back(first["bundle"]),
    )

    assert back.status_code == 200
    assert late.status_code == 412
    assert patched.status_code in {200, 409}
    files = (await program.says("/files"))["files"]
    assert files["x.rego"] == ISSUE["x.rego"]


async def _judging() -> None:
    """Wait until a process of ours judges: those that do are children of our child."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not any(children_of(child) for child in children_of(os.getpid())):
            await asyncio.sleep(0.001)  # a process offers nothing to wait for that it began


async def test_data_is_not_replaced_of_rules_that_no_longer_decide(program: Program) -> None:
    first = await program.puts(ISSUE)
    await program.puts(NOTE)
    patching = asyncio.create_task(program.patch("own", 1))
    await _judging()

    assert (await program.back(first["bundle"])).status_code == 200

    late = await patching
    assert late.status_code == 409
    assert "changed meanwhile" in late.json()["message"]
    assert (await program.says())["bundle"] == first["bundle"]


@pytest.mark.parametrize(
    "changed", [{"policy_by": "files"}, {"policy_keys": ("a key",)}, {"policy_engine": "opa"}]
)
async def test_rules_judged_for_other_settings_do_not_decide(
    program: Program, changed: dict[str, Any]
) -> None:
    before = program.world.host().policies
    putting = asyncio.create_task(program.put(ISSUE))
    await _judging()

    await program.world.policies(**changed)

    late = await putting
    await program.world.policies(**{name: getattr(before, name) for name in changed})
    assert late.status_code == 409
    assert (await program.says())["bundle"] == program.start


async def test_rules_that_no_opa_server_can_hold_are_refused_where_one_decides(
    program: Program,
) -> None:
    text = "package safeconduct.host.{0}\n\nimport rego.v1\n\nimport data.safeconduct.host.{1}\n\n"
    both = "f(n) := n if n > 0\n\nf(n) := {1}.g(n) if n < 0\n\ng(n) := n\n"
    files = {f"{a}.rego": (text + both).format(a, b) for a, b in (("p", "q"), ("q", "p"))}
    assert (await program.put(files, check="true")).status_code == 200
    await program.world.policies(policy_engine="opa")

    refused = await program.put(files, check="true")

    await program.world.policies(policy_engine="embedded")
    assert refused.status_code == 422
    assert "functions" in refused.json()["message"]


async def test_too_many_at_once_are_told_to_wait(program: Program) -> None:
    answers = await asyncio.gather(*(program.put({}) for _ in range(12)))

    statuses = [each.status_code for each in answers]
    assert statuses.count(429) == 4
    assert statuses.count(200) == 8
    assert (await program.put({})).status_code == 200


@pytest.mark.requirement("L-17")
async def test_what_was_rolled_back_stays_out_until_something_else_was_put(
    program: Program, tokens: Tokens
) -> None:
    good, bad = await program.puts(NOTE), await program.puts(ISSUE)
    assert (await program.back(good["bundle"])).status_code == 200

    again = await program.put(ISSUE)

    assert again.status_code == 409
    assert "rolled back" in again.json()["message"]
    assert await reason(program.world, tokens) == "allowed"
    assert (await program.back(good["bundle"])).status_code == 409, "it decides already"
    await program.puts(ISSUE | {"y.rego": "package safeconduct.host.y"})
    await program.puts(ISSUE)
    assert await reason(program.world, tokens) == "policy.get_issue"
    kinds = [each["kind"] for each in (await program.says("/history", limit=5))["history"]]
    assert kinds == ["put", "put", "rolled_back", "put", "put"]
    earlier = await program.says("/files", bundle=good["bundle"])
    assert earlier["files"] == NOTE
    assert bad["bundle"] == (await program.says())["bundle"]


async def test_the_history_is_read_in_pages(program: Program) -> None:
    await program.puts(ISSUE)
    await program.puts(NOTE)
    whole = (await program.says("/history"))["history"]

    pages, token = [], ""
    while True:
        said = await program.says("/history", limit=2, **({"token": token} if token else {}))
        assert said["page"]["count"] == len(said["history"]) <= 2
        pages += said["history"]
        token = said["page"]["next_token"]
        if not token:
            break

    assert pages == whole
    assert whole[0] == whole[0] | {"kind": "put", "by": "enforcement point writer"}
    assert whole[0]["previous"] == whole[1]["bundle"]


@pytest.mark.requirement("S-09", "X-01")
async def test_it_is_recorded_before_it_is_so_and_not_done_if_it_cannot_be(
    program: Program,
) -> None:
    said = await program.puts(ISSUE)
    event = program.world.events("policy.activated")[-1]
    assert event["host"] == "acme"
    assert event["reason"] == "put"
    assert event["detail"] == event["detail"] | {
        "by": "enforcement point writer",
        "before": program.start,
        "after": said["bundle"],
        "added": ["host/x.rego"],
    }

    with full_disk():
        back = await program.put({})
    assert back.status_code == 503
    assert (await program.says())["bundle"] == said["bundle"]


@pytest.mark.requirement("X-01", "X-02", "D-05")
async def test_two_hosts_share_nothing(program: Program, tokens: Tokens) -> None:
    world = program.world
    other = Program(world, FOREIGN, OTHER)
    await other.puts({})
    theirs = await world.tokens(host="other")

    mine = await program.puts(ISSUE)

    at_other = {"origin": OTHER}
    assert await reason(world, theirs, **at_other) == "allowed"
    assert await reason(world, tokens) == "policy.get_issue"
    assert (await other.says())["bundle"] == program.start, "a name is the content's"
    assert (await other.back(mine["bundle"])).status_code == 409
    shown = await other.send("GET", "/files", params={"bundle": mine["bundle"]})
    assert shown.status_code == 404
    assert "acme" not in json.dumps(await other.says("/history"))
    await other.puts(ISSUE)
    assert await reason(world, theirs, **at_other) == "policy.get_issue"
    assert (await program.back(mine["bundle"])).status_code == 409


async def test_a_damaged_bundle_denies_and_putting_it_again_mends_it(program: Program) -> None:
    world = program.world
    said = await program.puts(NOTE)
    async with world.parts.database.write() as tx:
        await tx.execute(text("UPDATE bundles SET content = 'x'"))
    await world.policies(policy_bundle="")
    await world.policies(policy_bundle=said["bundle"])
    world.parts.shelf._current.clear()
    world.parts.shelf._earlier.clear()
    await world.parts.hosts.refresh()

    shown = await program.says()
    assert (shown["decides_as"], shown["files"]) == (None, [])
    assert shown["problem"]
    assert (await program.send("GET", "/files")).status_code == 503
    assert (await program.patch("own", 1)).status_code == 409

    mended = await program.puts(NOTE)

    assert mended == {
        "bundle": said["bundle"],
        "before": said["bundle"],
        "changed": True,
        "notes": [],
    }
    assert (await program.says())["problem"] == ""


async def test_going_back_is_possible_wherever_rules_come_from(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "x.rego").write_text(ISSUE["x.rego"])
    async with putting(tmp_path, policy={"directory": "rules"}) as world:
        tokens, program = None, Program(world)
        now = (await program.says())["bundle"]
        assert (await Program(world, READER).back(now)).status_code == 403
        again = await program.back(now)
        assert again.status_code == 409
        assert "decides already" in again.json()["message"]
        await world.policies(policy_bundle="")
        tokens = await world.tokens()
        assert await reason(world, tokens) == "allowed"
        assert (await program.back(now)).status_code == 200
        assert await reason(world, tokens) == "policy.get_issue"


async def test_where_authors_sign_only_what_they_signed_is_put(tmp_path: Path) -> None:
    make_key(tmp_path / "key", tmp_path / "key.pub")
    make_key(tmp_path / "stranger", tmp_path / "stranger.pub")

    def signed(files: Files, version: int, key: str = "key") -> Files:
        raw = {name: each.encode() for name, each in files.items()}
        said = signatures(raw, (tmp_path / key).read_text(), version=version)
        return files | {".signatures.json": said.decode()}

    policy = {"by": "api", "trusted_keys": [{"file": str(tmp_path / "key.pub")}]}
    async with putting(tmp_path, policy=policy) as world:
        program = Program(world)
        assert world.host().policies.policy_keys == ((tmp_path / "key.pub").read_text(),)
        second = await program.puts(signed(ISSUE | {"README.md": "About"}, 2))
        for files, about in (
            (ISSUE, "only signed rules are taken"),
            (signed(ISSUE, 3, "stranger"), "no signature is valid"),
            (signed(ISSUE, 3) | {"y.rego": ""}, "y.rego was not signed"),
            (signed(ISSUE, 3) | NOTE, "x.rego is not what was signed"),
            (signed(NOTE, 1), "version 1 was signed"),
            (signed(NOTE, 2), "version 2 was signed"),
        ):
            for check in ("false", "true"):
                answer = await program.put(files, check=check)
                assert answer.status_code == 422
                assert about in answer.json()["message"]
        patched = await program.patch("denylists", {})
        assert patched.status_code == 409
        assert "signed" in patched.json()["message"]
        assert (await program.says())["bundle"] == second["bundle"]
        third = await program.puts(signed(NOTE, 3))
        assert (await program.back(second["bundle"])).status_code == 200
        assert (await program.back(third["bundle"])).status_code == 200
