"""Searches: exactly what evaluations would allow, in pages that belong to one search."""

from __future__ import annotations

import random
from typing import Any

import pytest

from safeconduct import people, relations
from safeconduct.api import Judge, Naming, Searches
from safeconduct.api.questions import read_search
from safeconduct.app import judges_of
from safeconduct.core.model import HostId, Level
from safeconduct.proxy import methods_of
from safeconduct.relations import Tuple
from tests.api.asking import AGENT, ALICE, FOREIGN, SECOND, Point, about, question, tool
from tests.road.world import OTHER, World

pytestmark = pytest.mark.requirement("Z-38")

ACME = HostId("acme")
TICKETS = [f"T-{number}" for number in range(6)]
PERMISSIONS = ["edit", "view", "assignee", "watcher", "banned"]
ANYBODY: list[dict[str, str]] = [
    {"type": "user", "id": "alice@acme.test"},
    {"type": "user", "id": "bob@acme.test"},
    {"type": "user", "id": "carol@acme.test"},
    {"type": "agent", "id": "agent"},
    {"type": "agent", "id": "https://agents.test/a#1"},
    {"type": "team", "id": "red"},
]


async def answers(point: Point, questions: list[dict[str, Any]]) -> list[bool]:
    """Ask any number of questions."""
    found: list[bool] = []
    for start in range(0, len(questions), 100):
        found += await point.batch({"evaluations": questions[start : start + 100]})
    return found


async def allowed(point: Point, questions: dict[str, dict[str, Any]]) -> set[str]:
    said = await answers(point, list(questions.values()))
    return {name for name, yes in zip(questions, said, strict=True) if yes}


@pytest.fixture(scope="module", params=[1, 2, 3])
async def related(request: pytest.FixtureRequest, world: World) -> Point:
    """Random relations among people, teams, folders and tickets; some are forbidden by others."""
    dice = random.Random(request.param)
    async with world.parts.database.write() as tx:
        if await people.by_email(tx, ACME, "carol@acme.test") is None:
            await people.create(
                tx, ACME, email="carol@acme.test", name="Carol", at=world.clock.now()
            )
        ids = [f"person:{each.id}" for each in await people.every(tx, ACME)]
        for edge in await relations.every(tx, ACME):
            if edge.object.partition(":")[0] in {"ticket", "folder", "team"}:
                await relations.remove(tx, ACME, edge)
        for text in _edges(dice, ids):
            await relations.write(tx, ACME, Tuple.parse(text), source="test", at=world.clock.now())
    return Point(world)


def _edges(dice: random.Random, ids: list[str]) -> list[str]:
    teams = ["team:red#member", "team:blue#member"]
    watchers = [*ids, *teams, "agent:agent", "agent:https://agents.test/a%231", "person:*"]
    watchers.append("group:engineering#member")
    edges = [f"team:red#member@{dice.choice(ids)}", f"team:blue#member@{teams[0]}"]
    edges += [f"folder:F#owner@{dice.choice([*ids, *teams])}"]
    for ticket in TICKETS:
        for relation, subjects in (("assignee", ids), ("watcher", watchers), ("banned", ids)):
            if dice.random() < 0.6:
                edges.append(f"ticket:{ticket}#{relation}@{dice.choice(subjects)}")
        if dice.random() < 0.4:
            edges.append(f"ticket:{ticket}#folder@folder:F")
    return edges


@pytest.mark.slow
async def test_resources_found_are_those_evaluations_allow(related: Point) -> None:
    for subject in ANYBODY:
        for permission in PERMISSIONS:
            asked = about(permission, subject=subject)
            wanted = await allowed(
                related, {each: about(permission, each, subject) for each in TICKETS}
            )
            assert await related.found("resource", asked) == wanted, (subject, permission)


@pytest.mark.parametrize("kind", ["user", "agent", "team"])
async def test_subjects_found_are_those_evaluations_allow(related: Point, kind: str) -> None:
    everybody = [each["id"] for each in ANYBODY if each["type"] == kind]
    for ticket in TICKETS:
        for permission in PERMISSIONS:
            asked = about(permission, ticket, {"type": kind})
            wanted = await allowed(
                related,
                {each: about(permission, ticket, {"type": kind, "id": each}) for each in everybody},
            )
            assert await related.found("subject", asked) == wanted, (ticket, permission)


async def test_actions_found_are_those_evaluations_allow(related: Point) -> None:
    names = [*PERMISSIONS, "folder"]
    for subject in ANYBODY:
        for ticket in TICKETS:
            asked = about("", ticket, subject)
            del asked["action"]
            wanted = await allowed(related, {each: about(each, ticket, subject) for each in names})
            assert await related.found("action", asked) == wanted


@pytest.mark.parametrize("ceiling", [None, *Level])
async def test_tools_found_are_those_evaluations_allow(point: Point, ceiling: Level | None) -> None:
    world = point.world
    servers = [await world.parts.catalogue.get(ACME, key) for key in await _keys(world)]
    ids = [f"{server.key}/{name}" for server in servers if server for name in server.tools]
    await world.ceiling(ceiling)
    try:
        for agent in ("agent", "assistant"):
            wanted = await allowed(
                point,
                {
                    each: question(resource={"type": "tool", "id": each}, agent=agent)
                    for each in ids
                },
            )
            asked = question(resource={"type": "tool"}, agent=agent)
            assert await point.found("resource", asked) == wanted
            assert bool(wanted) == (agent == "agent" and ceiling is not None)
            assert "tickets/get_hidden" not in wanted
    finally:
        await world.ceiling(Level.HIGH)


async def _keys(world: World) -> list[Any]:
    return [server.key for server in await world.parts.catalogue.every(ACME)]


async def test_the_users_of_a_tool_are_those_evaluations_allow(point: Point) -> None:
    world = point.world
    await world.tokens("bob", "agent", level=Level.LOW)
    everybody = {
        each: {"type": "user", "id": each} for each in ("alice@acme.test", "bob@acme.test")
    }

    for name in ("get_issue", "create_issue", "delete_issue"):
        wanted = await allowed(
            point,
            {
                each: question({"type": "user", "id": each}, resource=tool(name))
                for each in everybody
            },
        )
        asked = question({"type": "user"}, resource=tool(name))
        assert await point.found("subject", asked) == wanted
        people_found = await point.found(
            "subject", question({"type": "person"}, resource=tool(name))
        )
        assert len(people_found) == len(wanted)
    agents = question({"type": "agent"}) | {"context": {"person": "alice@acme.test"}}
    assert await point.found("subject", agents) == {"agent"}
    assert await point.found("subject", question({"type": "user"}) | {"context": {}}) == set()


async def test_the_actions_on_a_server_are_those_evaluations_allow(point: Point) -> None:
    server = {"type": "server", "id": "tickets"}
    asked = question(resource=server)
    del asked["action"]
    found = await point.found("action", asked)

    assert "tools/list" in found
    assert await answers(point, [question(action=each, resource=server) for each in found]) == [
        True
    ] * len(found)
    assert await point.found(
        "resource", question(action="tools/list", resource={"type": "server"})
    ) == {"tickets"}
    nobody = asked | {"context": {"agent": "assistant"}}
    assert await point.found("action", nobody) == set()


async def test_what_only_a_server_knows_cannot_be_listed(point: Point) -> None:
    for kind, action in (("resource", "resources/read"), ("prompt", "prompts/get")):
        asked = question(action=action, resource={"type": kind})
        assert (await point.post("search/resource", asked)).status_code == 400


async def test_the_id_of_what_is_sought_is_ignored(point: Point) -> None:
    """AuthZEN 1.0, search: if present, it MUST be ignored."""
    asked = question(resource={"type": "tool"})
    wanted = await point.found("resource", asked)

    assert wanted
    assert await point.found("resource", question(resource=tool("delete_issue"))) == wanted


async def test_pages_are_as_large_as_asked_and_hold_everything_once(point: Point) -> None:
    asked = question(resource={"type": "tool"})
    whole = await point.pages("resource", asked, limit=100)
    assert len(whole) == 1
    assert len(whole[0]) > 2

    pages = await point.pages("resource", asked, limit=1)

    assert [each for page in pages for each in page] == whole[0]
    assert all(len(page) == 1 for page in pages)
    nothing = await point.said("search/resource", asked | {"page": {"limit": 0}})
    assert nothing["results"] == []
    assert nothing["page"]["next_token"]
    plenty = await point.said("search/resource", asked | {"page": {"limit": 10**9}})
    assert [each["id"] for each in plenty["results"]] == whole[0]
    assert list(plenty) == ["page", "results"]


async def test_a_page_token_belongs_to_one_search(point: Point) -> None:
    """AuthZEN 1.0, pagination: an error when any entity or parameter has been changed."""
    asked = question(resource={"type": "tool"})
    first = await point.said("search/resource", asked | {"page": {"limit": 1}})
    token = first["page"]["next_token"]
    page = {"limit": 1, "token": token}
    assert (await point.post("search/resource", asked | {"page": page})).status_code == 200

    for more in (
        {"page": {"limit": 2, "token": token}},
        {"page": page | {"properties": {"sort": "up"}}},
        {"page": page, "context": AGENT | {"ip": "203.0.113.9"}},
        {"page": page, "action": {"name": "tools/list"}},
        {"page": page, "subject": {"type": "user", "id": "bob@acme.test"}},
        {"page": page, "subject": ALICE | {"properties": {"agent": "agent"}}},
        {"page": page, "resource": {"type": "server"}},
        {"page": page | {"token": token[:-2] + ("AA" if token[-2:] != "AA" else "BB")}},
        {"page": page | {"token": "x"}},
        {"page": page | {"token": 1}},
    ):
        assert (await point.post("search/resource", asked | more)).status_code == 400, more
    assert (await point.post("search/subject", asked | {"page": page})).status_code == 400
    second = Point(point.world, SECOND)
    assert (await second.post("search/resource", asked | {"page": page})).status_code == 400
    other = Point(point.world, FOREIGN, OTHER)
    assert (await other.post("search/resource", asked | {"page": page})).status_code == 400


@pytest.mark.parametrize("limit", [-1, "1", 1.5, True, None])
async def test_a_limit_is_a_whole_number(point: Point, limit: Any) -> None:
    asked = question(resource={"type": "tool"}) | {"page": {"limit": limit}}

    assert (await point.post("search/resource", asked)).status_code == 400


async def test_a_search_is_one_record(point: Point) -> None:
    before = len(point.world.events())
    said = await point.said("search/resource", question(resource={"type": "tool"}))

    records = point.world.events()[before:]
    assert [each["kind"] for each in records] == ["check.searched"]
    detail = records[0]["detail"]
    assert (detail["enforcement_point"], detail["sought"]) == ("mesh", "resource")
    assert detail["found"] == len(said["results"]) <= detail["looked_at"]


async def test_a_page_that_looked_at_enough_ends_early_and_names_the_next(point: Point) -> None:
    parts, by, methods = point.world.parts, judges_of(point.world.parts), methods_of()
    naming = Naming(parts.people, parts.clients)
    judge = Judge(
        naming=naming,
        sessions=parts.sessions,
        catalogue=parts.catalogue,
        decider=by.decider,
        relations=by.relations,
        policies=by.policies,
        methods=methods,
        clock=parts.clock,
    )
    searches = Searches(
        judge=judge,
        naming=naming,
        database=parts.database,
        people=parts.people,
        catalogue=parts.catalogue,
        relations=by.relations,
        methods=methods,
        clock=parts.clock,
        root_key=parts.root_key,
        most_looked_at=2,
    )
    asked, found, token = question(resource={"type": "tool"}), [], ""
    for _ in range(20):
        search = read_search(asked | {"page": {"token": token}}, "resource")
        page = await searches.page(point.world.host(), "mesh", search)
        assert page.looked_at <= 2
        found += page.results
        token = page.next_token
        if not token:
            break

    assert not token
    assert found == (await point.pages("resource", asked, limit=100))[0]
