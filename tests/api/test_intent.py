"""What an agent declared to another enforcement point counts as on the road."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.asking import AGENT, ALICE, SECRET, Point, points, question
from tests.road.world import ACME, World, world_at

# A process judges the rules.
pytestmark = [pytest.mark.requirement("Z-45", "Z-38"), pytest.mark.slow]
RULES = """package safeconduct.host

import rego.v1

deny contains {"reason": "undeclared", "message": "Declare a purpose."} if {
\tinput.resource.kind == "tool"
\tnot input.intent.purpose
}
"""
DECLARED = {"purpose": "triage", "workflow": "w-1"}
NO_INTENTS: list[Any] = [None, "triage", [], {"purpose": ""}, {"purpose": "x", "goal": "y"}]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.rego").write_text(RULES)
    acme = {"policy": {"directory": "rules"}} | points(tmp_path, mesh=SECRET)
    async with world_at(tmp_path, asgi=True, acme=acme) as world:
        yield world


async def test_a_question_carries_what_was_declared_in_its_context(world: World) -> None:
    await world.tokens()
    point = Point(world)

    undeclared = await point.said("evaluation", question())
    partly = await point.said("evaluation", question(intent={"workflow": "w-1"}))
    declared = await point.said("evaluation", question(intent=DECLARED))

    assert undeclared["context"]["reason"] == "policy.undeclared"
    assert partly["context"]["reason"] == "policy.undeclared"
    assert declared["decision"] is True
    (record,) = world.events("check.allowed")
    assert (record["workflow"], record["facts"]["intent"]) == ("w-1", DECLARED)
    nothing, workflow = world.events("check.denied")
    assert "workflow" not in nothing
    assert workflow["workflow"] == "w-1"


async def test_a_search_finds_what_may_be_used_for_what_was_declared(world: World) -> None:
    await world.tokens()
    asked = {
        "subject": ALICE,
        "action": {"name": "tools/call"},
        "resource": {"type": "tool"},
    }

    async def found(**context: Any) -> list[str]:
        said = await Point(world).said("search/resource", asked | {"context": AGENT | context})
        return [each["id"] for each in said["results"]]

    assert await found() == []
    assert "tickets/get_issue" in await found(intent=DECLARED)


@pytest.mark.parametrize("said", NO_INTENTS, ids=json.dumps)
async def test_what_is_no_intent_is_no_question(world: World, said: Any) -> None:
    await world.tokens()

    answer = await Point(world).post("evaluation", question(intent=said))

    assert answer.status_code == 400
    assert world.events("check.allowed") == world.events("check.denied") == []


async def test_a_token_is_judged_by_what_its_user_declared(world: World) -> None:
    tokens = await world.tokens()

    async def asked(**context: Any) -> Any:
        said = {"server": "tickets", "tool": "get_issue", **context}
        form = {"token": tokens.access, "context": json.dumps(said)}
        headers = {"authorization": f"Bearer {SECRET}"}
        return await world.http.post(f"{ACME}/oauth/introspect", data=form, headers=headers)

    assert (await asked()).json() == {"active": False}
    assert (await asked(intent={"workflow": "w"})).json() == {"active": False}
    assert (await asked(intent=DECLARED)).json()["active"] is True
    for said in NO_INTENTS:
        assert (await asked(intent=said)).status_code == 400
