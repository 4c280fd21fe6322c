"""Tuples by request: who may, what is refused, all or nothing, and page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from safeconduct import relations
from safeconduct.core.model import HostId
from tests.road.relating import FOREIGN, NOBODY, PATH, READER, Desk, may, relating
from tests.road.world import ACME, OTHER, Tokens, World, full_disk

pytestmark = pytest.mark.requirement("Z-08", "Z-40")

ALICE = "user:alice@acme.test"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with relating(tmp_path_factory.mktemp("relations")) as world:
        yield world


@pytest.fixture(scope="module")
async def tokens(world: World) -> Tokens:
    return await world.tokens()


@pytest.fixture
async def desk(world: World) -> AsyncIterator[Desk]:
    yield Desk(world)
    async with world.parts.database.write() as tx:
        for edge in await relations.every(tx, HostId("acme"), source="api"):
            await relations.remove(tx, HostId("acme"), edge)


async def _person(desk: Desk, name: str = "alice") -> str:
    return relations.person((await desk.world.person(f"{name}@acme.test")).id)


@pytest.mark.requirement("Z-16", "Z-18", "Z-24")
async def test_what_is_written_allows_the_very_next_call_and_what_is_removed_denies_it(
    desk: Desk, tokens: Tokens
) -> None:
    assert not await may(desk.world, tokens)

    await desk.edits(writes=[f"ticket:T-7#assignee@{ALICE}"])
    assert await may(desk.world, tokens)
    assert not await may(desk.world, tokens, "T-8")

    await desk.edits(deletes=[f"ticket:T-7#assignee@{ALICE}"])
    assert not await may(desk.world, tokens)


async def test_a_tuple_is_text_or_an_object_and_the_answer_names_what_changed(desk: Desk) -> None:
    alice = await _person(desk)
    until = "2199-01-01T00:00:00Z"
    members = {"object": "ticket:T-8", "relation": "assignee", "subject": alice}

    said = await desk.edits(writes=[f"ticket:T-7#watcher@{alice}", members | {"expires_at": until}])
    again = await desk.edits(writes=[f"ticket:T-7#watcher@{alice}", members])

    lasting = f"ticket:T-8#assignee@{alice}"
    assert said == {
        "written": [f"ticket:T-7#watcher@{alice}", f"{lasting}[expiration:{until}]"],
        "removed": [],
    }
    assert again == {"written": [lasting], "removed": []}
    gone = await desk.edits(deletes=[lasting, "ticket:T-9#assignee@person:p_none"])
    assert gone == {"written": [], "removed": [lasting]}


async def test_it_is_recorded_before_it_is_so_and_not_done_if_it_cannot_be(desk: Desk) -> None:
    text = f"ticket:T-7#watcher@{await _person(desk)}"
    await desk.edits(writes=[text])
    await desk.edits(deletes=[text])

    found = [each for each in desk.world.events() if each["kind"].startswith("relation.")][-2:]
    assert [each["kind"] for each in found] == ["relation.written", "relation.removed"]
    for each in found:
        assert each["resource"] == text
        assert each["detail"] == {"by": "enforcement point writer", "source": "api"}

    with full_disk():
        answer = await desk.post({"writes": [text]})
    assert answer.status_code == 503
    assert await desk.listed(object="ticket:T-7") == []


async def test_a_credential_does_only_what_it_may(desk: Desk) -> None:
    world, edit = desk.world, {"writes": [f"ticket:T-7#watcher@{ALICE}"]}

    assert (await Desk(world, READER).get()).status_code == 200
    for stranger, status in (
        (Desk(world, READER), 403),
        (Desk(world, NOBODY), 403),
        (Desk(world, FOREIGN), 401),
        (Desk(world, "x" * 20), 401),
        (Desk(world, origin=OTHER), 401),
    ):
        answer = await stranger.post(edit)
        assert answer.status_code == status
        assert answer.json().keys() == {"error", "message"}
        assert ("www-authenticate" in answer.headers) == (status == 401)
    assert (await Desk(world, NOBODY).get()).status_code == 403
    assert (await Desk(world, FOREIGN).get()).status_code == 401
    assert await desk.listed(source="api") == []
    assert not any("acme" in each for each in await Desk(world, FOREIGN, OTHER).listed())


async def test_an_agents_token_is_no_credential_here(desk: Desk, tokens: Tokens) -> None:
    assert (await Desk(desk.world, tokens.access).get()).status_code == 401


async def test_what_others_say_is_seen_and_not_changed(desk: Desk) -> None:
    alice, bob = await _person(desk), await _person(desk, "bob")
    later = "[expiration:2199-01-01T00:00:00Z]"
    for text, source, whence in (
        (f"ticket:T-1#assignee@{bob}", "configuration", "configuration file"),
        (f"group:engineering#member@{alice}", "directory", "groups of a person"),
        (f"server:tickets#high@{alice}", "access", "access in the configuration"),
    ):
        assert text in await desk.listed(source=source)
        answer = await desk.post({"deletes": [text]})
        assert answer.status_code == 409
        assert whence in answer.json()["message"]
        assert text in await desk.listed(source=source)
    answer = await desk.post({"writes": [f"ticket:T-1#assignee@{bob}{later}"]})
    assert answer.status_code == 409
    same = await desk.edits(writes=[f"ticket:T-1#assignee@{bob}"])
    assert same == {"written": [], "removed": []}


async def test_all_or_nothing(desk: Desk) -> None:
    alice, bob = await _person(desk), await _person(desk, "bob")
    good = f"ticket:T-7#watcher@{alice}"

    for bad in (
        {"writes": [good, "ticket:T-7#edit@person:p_1"]},
        {"writes": [good], "deletes": [f"ticket:T-1#assignee@{bob}"]},
        {"writes": [good], "preconditions": {"must_exist": ["ticket:T-9#watcher@person:p_1"]}},
        {"writes": [good], "preconditions": {"must_not_exist": [f"ticket:T-1#assignee@{bob}"]}},
    ):
        assert (await desk.post(bad)).status_code in {409, 422}
        assert await desk.listed(source="api") == []

    met = {"must_exist": [f"ticket:T-1#assignee@{bob}"], "must_not_exist": [good]}
    assert (await desk.edits(writes=[good], preconditions=met))["written"] == [good]
    assert (await desk.post({"writes": [good], "preconditions": met})).status_code == 409


@pytest.mark.parametrize(
    "text",
    [
        "ticket:T-7#edit@person:p_1",
        "ticket:T-7#asignee@person:p_1",
        "ticket:T-7#assignee@agent:a",
        "ticket:T-7#assignee@person:*",
        "ticket:T-7#watcher@person:p_1[expiration:2199-01-01T00:00:00Z]",
        "ticket:T-7#assignee@person:p_1[expiration:2001-01-01T00:00:00Z]",
        "server:tickets#low@person:p_1",
        "server:tickets#medium@group:engineering#member",
        "server:tickets#high@person:p_1",
        "server:tickets#granted_high@agent:agent",
        "person:p_1#delegate@agent:agent",
        "board:1#member@person:*",
        "board:1#member@user:nobody@acme.test",
        "ticket#assignee@person:p_1",
        "",
        "*",
    ],
)
async def test_what_the_schema_has_no_room_for_is_refused(desk: Desk, text: str) -> None:
    answer = await desk.post({"writes": [text]})

    assert answer.status_code == 422
    assert answer.json()["error"] == "invalid_params"
    assert answer.json()["message"].count(". ") == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"writes": []}, 422),
        ({"writes": "x"}, 422),
        ({"writes": [1]}, 422),
        ({"write": ["ticket:1#assignee@person:p"]}, 422),
        (
            {"writes": ["ticket:1#assignee@person:p"], "deletes": ["ticket:1#assignee@person:p"]},
            422,
        ),
        ({"writes": ["ticket:1#assignee@person:p"] * 2}, 422),
        ({"writes": [{"object": "ticket:1", "relation": "assignee"}]}, 422),
        (
            {"writes": [{"object": "ticket:1", "relation": "assignee", "subject": "p:1", "x": 1}]},
            422,
        ),
        ({"writes": [{"object": "a:1#b@c:1", "relation": "d", "subject": "e:f"}]}, 422),
        ({"writes": ["ticket:1#assignee@person:p"], "preconditions": []}, 422),
        ({"writes": ["ticket:1#assignee@person:p"], "preconditions": {"x": []}}, 422),
    ],
)
async def test_a_request_that_says_something_else_is_refused(
    desk: Desk, body: dict[str, Any], status: int
) -> None:
    assert (await desk.post(body)).status_code == status
    assert await desk.listed(source="api") == []


async def test_a_hundred_at_once_and_not_one_more(desk: Desk) -> None:
    texts = [f"ticket:{number:03}#assignee@person:p_1" for number in range(101)]

    for body in (
        {"writes": texts},
        {"writes": texts[:50], "deletes": texts[50:]},
        {"writes": texts[:100], "preconditions": {"must_not_exist": texts[100:]}},
    ):
        answer = await desk.post(body)
        assert answer.status_code == 422
        assert "At most 100" in answer.json()["message"]
    assert len((await desk.edits(writes=texts[:100]))["written"]) == 100


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"[]", "headers": {"content-type": "application/json"}}, 422),
        (
            {
                "content": b'{"writes":[],"writes":[]}',
                "headers": {"content-type": "application/json"},
            },
            400,
        ),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415),
        ({"content": b"{}", "headers": {}}, 415),
        (
            {
                "content": b" " * 300_000 + b"{}",
                "headers": {"content-type": "application/json"},
            },
            413,
        ),
    ],
)
async def test_every_refusal_is_one_sentence_of_json(
    desk: Desk, more: dict[str, Any], status: int
) -> None:
    answer = await desk.post(**more)

    assert answer.status_code == status
    assert answer.json().keys() == {"error", "message"}


async def test_other_methods_and_addresses_are_refused_in_json(desk: Desk) -> None:
    put = await desk.world.http.put(f"{ACME}{PATH}")
    elsewhere = await desk.world.http.get(f"{ACME}/api/v1/nothing")

    assert (put.status_code, put.json()["error"]) == (405, "method_not_allowed")
    assert (elsewhere.status_code, elsewhere.json()["error"]) == (404, "not_found")


async def test_a_listing_is_what_was_asked_for_in_pages(desk: Desk) -> None:
    alice = await _person(desk)
    texts = sorted(f"ticket:{number:03}#watcher@{alice}" for number in range(7))
    await desk.edits(writes=[*texts, "ticket:001#watcher@group:eng#member", "board:1#reader@x:1"])

    assert await desk.listed(subject=ALICE, relation="watcher", limit=2) == texts
    assert await desk.listed(object="ticket:001", limit=1) == [
        "ticket:001#watcher@group:eng#member",
        texts[1],
    ]
    assert await desk.listed(object="ticket", subject="group") == [
        "ticket:001#watcher@group:eng#member"
    ]
    assert await desk.listed(object="tick", source="api") == []
    assert len(await desk.listed(source="api")) == 9
    async with desk.world.parts.database.read() as tx:
        every = await relations.every(tx, HostId("acme"))
    assert sorted(await desk.listed(limit=3)) == sorted(map(str, every))


async def test_a_token_belongs_to_its_host_and_its_listing(desk: Desk) -> None:
    first = (await desk.get(object="server", limit=1)).json()
    token = first["page"]["next_token"]
    assert (await desk.get(object="server", token=token)).status_code == 200
    assert (await desk.get(object="server", token=token, limit=2)).status_code == 200

    for query in ({"object": "ticket"}, {}, {"object": "server", "source": "access"}):
        assert (await desk.get(**query, token=token)).status_code == 422
    there = await Desk(desk.world, FOREIGN, OTHER).get(object="server", token=token)
    assert there.status_code == 422
    assert (await desk.get(object="server", token=token[:-2])).status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "x"},
        {"limit": ""},
        {"objects": "ticket"},
        {"source": "file"},
    ],
)
async def test_a_listing_of_something_else_is_refused(desk: Desk, query: dict[str, Any]) -> None:
    assert (await desk.get(**query)).status_code == 422


async def test_an_expired_tuple_is_there_no_more(desk: Desk, tokens: Tokens) -> None:
    world = desk.world
    ends = world.clock.now() + timedelta(minutes=1)
    text = f"ticket:T-7#assignee@{ALICE}"
    await desk.edits(writes=[f"{text}[expiration:{ends.isoformat()}]"])
    assert await may(world, tokens)

    world.clock.advance(timedelta(minutes=2))

    assert not await may(world, tokens)
    assert await desk.listed(source="api") == []
    absent = {"must_not_exist": [text]}
    assert len((await desk.edits(writes=[text], preconditions=absent))["written"]) == 1
    assert await may(world, tokens)


async def test_a_configuration_and_requests_leave_each_others_tuples(desk: Desk) -> None:
    from safeconduct.app import Provisioner

    mine = f"ticket:T-7#assignee@{await _person(desk)}"
    theirs = f"ticket:T-1#assignee@{await _person(desk, 'bob')}"
    await desk.edits(writes=[mine])

    parts = desk.world.parts
    plan = await Provisioner.of(parts).apply(parts.settings, crawl=False)

    assert not any(step.noun == "relation" for step in plan.steps)
    assert await desk.listed(source="api") == [mine]
    assert await desk.listed(source="configuration") == [theirs]
