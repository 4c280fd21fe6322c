"""A host's rules by request: who may, what a body may be, and what is refused before judging."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from safeconduct.policy import PENDING
from tests.api.putting import (
    FOREIGN,
    NOBODY,
    READER,
    Program,
    putting,
    reason,
    refusing,
)
from tests.road.world import ACME, OTHER, Tokens, World

pytestmark = pytest.mark.requirement("Z-31")
CHANGES: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "", {"files": {}}),
    ("PATCH", "/data/denylists", {"value": {}}),
    ("POST", "/rollback", {"bundle": "0" * 64}),
]


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with putting(tmp_path_factory.mktemp("policies")) as world:
        yield world


@pytest.fixture(scope="module")
async def tokens(world: World) -> Tokens:
    """An agent that was let in while something decided."""
    await world.policies(policy_bundle="")
    tokens = await world.tokens()
    await world.policies(policy_bundle=PENDING)
    return tokens


@pytest.fixture
async def program(world: World) -> AsyncIterator[Program]:
    """Whatever is refused here changes nothing."""
    program = Program(world)
    before = await program.says("/history")
    yield program
    assert await program.says("/history") == before


async def test_nothing_is_allowed_until_rules_were_put(program: Program, tokens: Tokens) -> None:
    said = await program.says()

    assert await reason(program.world, tokens) == "engine.failed"
    assert (said["bundle"], said["decides_as"], said["comes_by"]) == ("pending", None, "api")
    assert "no rules have come yet" in said["problem"]
    assert said["files"] == []
    assert (await program.send("GET", "/files")).status_code == 503
    assert await program.says("/history") == {
        "history": [],
        "page": {"next_token": "", "count": 0},
    }
    assert (await program.patch("denylists", {})).status_code == 409


@pytest.mark.parametrize("path", ["", "/files", "/history"])
async def test_reading_needs_a_point_of_this_host_that_may(
    program: Program, tokens: Tokens, path: str
) -> None:
    world = program.world

    assert (await Program(world, READER).send("GET", path)).status_code in {200, 503}
    for stranger, status in (
        (Program(world, NOBODY), 403),
        (Program(world, FOREIGN), 401),
        (Program(world, "x" * 20), 401),
        (Program(world, tokens.access), 401),
        (Program(world, origin=OTHER), 401),
    ):
        answer = await stranger.send("GET", path)
        assert answer.status_code == status
        assert answer.json().keys() == {"error", "message"}
        assert ("www-authenticate" in answer.headers) == (status == 401)
    nobody = await world.http.get(f"{ACME}/api/v1/policy{path}")
    assert nobody.status_code == 401


@pytest.mark.parametrize(("verb", "path", "body"), CHANGES)
async def test_changing_needs_a_point_of_this_host_that_may(
    program: Program, tokens: Tokens, verb: str, path: str, body: dict[str, Any]
) -> None:
    world = program.world

    for stranger, status in (
        (Program(world, READER), 403),
        (Program(world, NOBODY), 403),
        (Program(world, FOREIGN), 401),
        (Program(world, "x" * 20), 401),
        (Program(world, tokens.access), 401),
        (Program(world, origin=OTHER), 401),
    ):
        answer = await stranger.send(verb, path, json=body)
        assert answer.status_code == status
        assert answer.json().keys() == {"error", "message"}
    nobody = await world.http.request(verb, f"{ACME}/api/v1/policy{path}", json=body)
    assert nobody.status_code == 401


async def test_whoever_may_not_is_told_before_its_body_is_read(program: Program) -> None:
    answer = await Program(program.world, READER).send("PUT", content=b"x" * 5_000_000)

    assert answer.status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "../x.rego",
        "a/../x.rego",
        "a/../../x.rego",
        "/x.rego",
        "/etc/x.rego",
        "a//x.rego",
        "./x.rego",
        "a/./x.rego",
        "..\\x.rego",
        "a\\x.rego",
        "C:x.rego",
        ".x.rego",
        "..data/x.rego",
        "a/.git/x.rego",
        "x.rego/",
        "x\n.rego",
        "x\u0000.rego",
        "x\u202e.rego",
        "é.rego",
        "a" * 250 + ".rego",
        "",
        ".",
        "..",
    ],
)
async def test_a_path_that_is_not_plain_is_refused(program: Program, path: str) -> None:
    answer = await program.put({path: "package safeconduct.host"})

    assert answer.status_code == 422
    assert "a path is" in answer.json()["message"]


@pytest.mark.parametrize("path", ["README.md", "x.REGO", "sub/data.json", "data.toml", "x.yaml"])
async def test_a_file_that_would_have_no_effect_is_refused(program: Program, path: str) -> None:
    answer = await program.put({path: ""})

    assert answer.status_code == 422
    assert f"{path} would have no effect" in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "about"),
    [
        ({}, "files must be an object"),
        ({"files": []}, "files must be an object"),
        ({"files": {"x.rego": 1}}, "must be a text"),
        ({"files": {"x.rego": None}}, "must be a text"),
        ({"files": {}, "file": {}}, "no member of that name"),
        ({"files": {}, "because": 1}, "because must be a text"),
        ({"files": {}, "because": "a\u0000b"}, "because must be a text"),
        ({"files": {}, "because": "x" * 501}, "at most 500"),
        ({"files": {f"{n}.rego": "" for n in range(1001)}}, "more than 1000"),
        ({"files": {"data.json": "{}", "data.yaml": "{}"}}, "keep one of them"),
        ({"files": {"data.json": "[]"}}, "must be an object"),
        ({"files": {"data.json": '{"a": 1, "a": 2}'}}, "two members"),
        ({"files": {"data.json": '{"safeconduct": 1}'}}, "belongs to the rules"),
        ({"files": {"data.json": '{"denylists": {"client": []}}'}}, "denylists"),
        ({"files": {"data.yaml": "a: &x [1]\nb: *x"}}, "aliases"),
        ({"files": {"x.rego": " " * 65_537}}, "more than 65536 bytes"),
        ({"files": {f"{n}.rego": "" for n in range(129)}}, "more than 128 policy files"),
        ({"files": {f"{n}.rego": " " * 60_000 for n in range(5)}}, "more than 262144"),
        ({"files": {"x.zed": "definition"}}, "x.zed"),
        (
            {"files": {"x.zed": "definition box {\n relation abc: person#delegate\n}"}},
            "x.zed: schema line 2: abc names person#delegate",
        ),
    ],
)
async def test_a_body_that_means_nothing_is_refused(
    program: Program, body: dict[str, Any], about: str
) -> None:
    answer = await program.send("PUT", json=body)

    assert answer.status_code == 422, answer.text
    assert answer.json()["error"] == "invalid_params"
    assert about in answer.json()["message"]


async def test_a_body_that_cannot_be_read_is_refused(program: Program) -> None:
    kind = {"content-type": "application/json"}
    for content in (
        b"",
        b"[",
        b'{"files": {"x.rego": "", "x.rego": ""}}',
        b'{"files": {}, "files": {}}',
        b'{"files": {"x.rego": "\xff"}}',
        b'{"files": {"x.rego": "\\ud800"}}',
        b'\xef\xbb\xbf{"files": {}}',
        b"[" * 100,
    ):
        answer = await program.send("PUT", content=content, headers=kind)
        assert answer.status_code == 400, content
        assert answer.json()["error"] == "parse_error"
    assert (await program.send("PUT", content=b"[]", headers=kind)).status_code == 422
    good = json.dumps({"files": {}}).encode()
    for other in ("text/plain", "application/x-www-form-urlencoded", ""):
        headers = {"content-type": other}
        assert (await program.send("PUT", content=good, headers=headers)).status_code == 415
    headers = kind | {"content-encoding": "gzip"}
    assert (await program.send("PUT", content=good, headers=headers)).status_code == 415
    huge = json.dumps({"files": {"x.scenario.yaml": "x" * (4 * 1024 * 1024)}}).encode()
    answer = await program.send("PUT", content=huge, headers=kind)
    assert answer.status_code == 413
    assert "4096 KiB" in answer.json()["message"]


@pytest.mark.parametrize(
    "query", [{"check": "yes"}, {"check": ""}, {"dry": "true"}, [("check", "true")] * 2]
)
async def test_a_query_that_means_nothing_is_refused(program: Program, query: Any) -> None:
    answer = await program.send("PUT", json={"files": {}}, params=query)

    assert answer.status_code == 422


@pytest.mark.parametrize("tag", ["pending", '"pending', 'W/"pending', "a b", '"a" "b"', ""])
async def test_a_condition_that_cannot_be_read_is_not_left_out(program: Program, tag: str) -> None:
    answer = await program.send("PUT", json={"files": {}}, headers={"if-match": tag})

    assert answer.status_code == 422
    assert "If-Match" in answer.json()["message"]


@pytest.mark.parametrize("tag", ['""', '"other"', 'W/"pending"', '"a", "b"', '"*"'])
@pytest.mark.parametrize(("verb", "path", "body"), CHANGES)
async def test_a_condition_that_does_not_hold_stops_any_change(
    program: Program, verb: str, path: str, body: dict[str, Any], tag: str
) -> None:
    answer = await program.send(verb, path, json=body, headers={"if-match": tag})

    assert answer.status_code == 412
    assert "bundle pending" in answer.json()["message"]


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        ("PATCH", "/data/denylists", {}),
        ("PATCH", "/data/denylists", {"value": {}, "values": {}}),
        ("PATCH", f"/data/{'x' * 201}", {"value": {}}),
        ("PATCH", "/data/a%0ab", {"value": {}}),
        ("POST", "/rollback", {}),
        ("POST", "/rollback", {"bundle": ""}),
        ("POST", "/rollback", {"bundle": "pending"}),
        ("POST", "/rollback", {"bundle": "0" * 12}),
        ("POST", "/rollback", {"bundle": ["0" * 64]}),
        ("POST", "/rollback", {"bundle": "0" * 64, "to": 1}),
        ("POST", "/rollback?check=true", {"bundle": "0" * 64}),
    ],
)
async def test_other_bodies_are_read_as_strictly(
    program: Program, verb: str, path: str, body: dict[str, Any]
) -> None:
    answer = await program.send(verb, path, json=body)

    assert answer.status_code == 422, answer.text


async def test_what_was_never_here_cannot_be_gone_back_to_or_shown(program: Program) -> None:
    back = await program.back("0" * 64)

    assert back.status_code == 409
    assert "never decided here" in back.json()["message"]
    assert (await program.send("GET", "/files", params={"bundle": "0" * 64})).status_code == 404
    assert (await program.send("GET", "/files", params={"bundle": "0"})).status_code == 422
    for query in ({"limit": "0"}, {"limit": "101"}, {"token": "x"}, {"token": "-1"}, {"of": "x"}):
        assert (await program.send("GET", "/history", params=query)).status_code == 422
    assert (await program.send("GET", params={"bundle": "0" * 64})).status_code == 422
    assert (await program.send("PATCH", "/data/a%2Fb", json={"value": 1})).status_code == 404
    assert (await program.send("DELETE")).status_code == 405


@pytest.mark.parametrize(
    ("policy", "whence"),
    [
        ({"directory": "rules"}, "the directory rules"),
        ({"git": {"url": "https://127.0.0.1:1/x.git"}}, "branch main of https://127.0.0.1:1/x.git"),
    ],
)
async def test_rules_of_files_are_read_here_and_changed_there(
    tmp_path: Path, policy: dict[str, Any], whence: str
) -> None:
    (tmp_path / "rules").mkdir()
    async with putting(tmp_path, policy=policy) as world:
        program = Program(world)
        before = await program.says()
        for answer in (
            await program.put(refusing("get_issue")),
            await program.put({}, check="true"),
            await program.patch("denylists", {"clients": ["agent"]}),
        ):
            assert answer.status_code == 409
            assert f"come from {whence}" in answer.json()["message"]
        assert await program.says() == before
        assert before["comes_by"] == "files"
        assert (await Program(world, FOREIGN, OTHER).says())["comes_by"] == "api"
