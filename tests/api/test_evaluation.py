"""One question: the road's own decision, with the reason, the levels and what it obliges to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import event

from safeconduct import relations
from safeconduct.consent import grant
from safeconduct.core.binding import Binding
from safeconduct.core.model import ClientId, HostId, Level, ServerKey
from safeconduct.oauth import set_blocked
from safeconduct.people import set_active
from safeconduct.relations import Tuple
from safeconduct.upstreams import Override
from tests.api.asking import ALICE, SECRET, Point, about, points, question, tool
from tests.road.world import World, world_at

pytestmark = pytest.mark.requirement("Z-38")

BOB = {"type": "user", "id": "bob@acme.test"}


async def relate(world: World, *edges: str) -> None:
    async with world.parts.database.write() as tx:
        for edge in edges:
            await relations.write(
                tx, HostId("acme"), Tuple.parse(edge), source="test", at=world.clock.now()
            )


async def test_a_permit_says_the_levels_and_names_its_decision(point: Point) -> None:
    said = await point.said("evaluation", question())

    assert said["decision"] is True
    context = said["context"]
    assert context.pop("decision_id").startswith("dec_")
    assert context == {
        "reason": "allowed",
        "message": "Allowed.",
        "required_level": "low",
        "effective_level": "medium",
        "obligations": [],
    }


async def test_a_tool_above_the_consent_is_denied_as_on_the_road(point: Point) -> None:
    said = await point.said("evaluation", question(resource=tool("delete_issue")))

    assert said["decision"] is False
    assert said["context"]["reason"] == "consent.level"
    assert said["context"]["required_level"] == "high"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (question(BOB), "session.ended"),
        (question(agent="assistant"), "session.ended"),
        (question(resource=tool(server="notes")), "session.ended"),
        (question(resource=tool(server="nowhere")), "session.ended"),
        (question({"type": "user", "id": "nobody@acme.test"}), "session.ended"),
        (question(agent="nobody"), "session.ended"),
        (question(resource=tool("no_such_tool")), "tool.unknown"),
        (question(resource=tool("get_hidden")), "tool.unknown"),
        (question(action="tools/delete"), "action.unknown"),
        (question(action="resources/read"), "action.unknown"),
        (question(resource={"type": "tool", "id": "get_issue"}), "resource.unnamed"),
        (question(resource={"type": "tool", "id": "tickets/"}), "resource.unnamed"),
        (question() | {"context": {}}, "agent.unnamed"),
        (question({"type": "agent", "id": "agent"}), "person.unnamed"),
        (question({"type": "group", "id": "engineering"}), "subject.unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_neighbours_of_a_permit_are_denied(
    point: Point, asked: dict[str, Any], reason: str
) -> None:
    assert await point.decides(question())
    assert await point.reason(asked) == reason


async def test_a_subject_is_named_in_every_way_and_is_the_same(point: Point) -> None:
    alice = await point.world.person("alice@acme.test")
    plain = question() | {"context": {}}
    acting = {"type": "agent", "id": "agent"}

    for subject, context in (
        ({"type": "user", "id": "ALICE@acme.test"}, {"agent": "agent"}),
        ({"type": "person", "id": alice.id}, {"agent": "agent"}),
        (ALICE | {"properties": {"agent": "agent"}}, {}),
        (ALICE | {"properties": {"agent": "agent"}}, {"agent": "agent"}),
        (acting, {"person": "alice@acme.test"}),
        (acting | {"properties": {"person": alice.id}}, {}),
    ):
        assert await point.decides(plain | {"subject": subject, "context": context}), subject


async def test_two_agents_in_one_question_are_refused(point: Point) -> None:
    asked = question(ALICE | {"properties": {"agent": "assistant"}})

    assert (await point.post("evaluation", asked)).status_code == 400


async def test_servers_resources_and_prompts_are_asked_about_like_tools(point: Point) -> None:
    for kind, identity, action in (
        ("server", "tickets", "tools/list"),
        ("resource", "tickets/ticket://T-7/body", "resources/read"),
        ("prompt", "tickets/summary", "prompts/get"),
    ):
        asked = question(action=action, resource={"type": kind, "id": identity})
        assert await point.decides(asked), kind
        assert await point.reason(asked | {"context": {"agent": "assistant"}}) == "session.ended"


async def test_an_expired_consent_denies(point: Point) -> None:
    world = point.world
    bob = await world.person("bob@acme.test")
    await world.tokens("bob", "assistant")
    asked = question(BOB, agent="assistant")
    assert await point.decides(asked)

    at = (HostId("acme"), bob.id, ClientId("assistant"), ServerKey("tickets"))
    consent = await world.parts.consents.get(*at)
    assert consent is not None
    async with world.parts.database.write() as tx:
        await grant(tx, replace(consent, expires_at=world.clock.now()))

    assert await point.reason(asked) == "consent.expired"
    assert await point.decides(question())


async def test_a_session_that_ran_out_denies(point: Point) -> None:
    world = point.world
    await world.tokens("bob", "assistant", "notes", days=1)
    asked = question(BOB, agent="assistant", resource=tool(server="notes"))
    world.clock.advance(timedelta(days=1, seconds=-1))
    assert await point.decides(asked)

    world.clock.advance(timedelta(seconds=1))

    assert await point.reason(asked) == "session.ended"
    assert await point.decides(question())  # alice's lasts thirty days
    world.clock.advance(-timedelta(days=1))


async def test_a_ceiling_lowered_by_one_denies_the_very_next_question(point: Point) -> None:
    asked = question(resource=tool("create_issue"))
    assert await point.decides(asked)

    await point.world.ceiling(Level.LOW)
    try:
        assert await point.reason(asked) == "ceiling.exceeded"
    finally:
        await point.world.ceiling(Level.HIGH)


async def test_an_ended_session_denies_the_very_next_question(point: Point) -> None:
    tokens = await point.world.tokens("bob", "agent")
    assert await point.decides(question(BOB))

    await point.world.revoke(tokens)

    assert await point.reason(question(BOB)) == "session.ended"
    await point.world.tokens("bob", "agent")
    assert await point.decides(question(BOB))


async def test_other_types_are_answered_by_the_relations(point: Point) -> None:
    alice = await point.world.person("alice@acme.test")
    await relate(point.world, f"ticket:T-7#assignee@person:{alice.id}")
    await relate(point.world, "ticket:T-7#watcher@group:engineering#member")

    assert await point.decides(about("edit"))
    assert await point.decides(about("view"))
    assert await point.reason(about("edit", "T-8")) == "relation.denied"
    assert await point.reason(about("edit", subject=BOB)) == "relation.denied"
    assert await point.reason(about("view", subject=BOB)) == "relation.denied"
    said = await point.said("evaluation", about("edti"))
    assert said["decision"] is False
    assert "did you mean edit" in said["context"]["message"]


async def test_groups_of_the_directory_count(point: Point) -> None:
    await relate(point.world, "ticket:T-20#watcher@group:engineering#member")

    assert await point.decides(about("view", "T-20"))
    assert not await point.decides(about("view", "T-20", BOB))
    assert "T-20" in await point.found("resource", about("view"))
    assert await point.found("subject", about("view", "T-20", {"type": "user"})) == {ALICE["id"]}


async def test_everybody_of_a_team_is_not_one_subject(point: Point) -> None:
    await relate(point.world, "ticket:T-21#watcher@team:red#member")
    team = {"type": "team", "id": "red#member"}

    assert await point.reason(about("view", "T-21", team)) == "relation.unnamed"


async def test_what_a_tools_arguments_name_is_asked_about_too(point: Point) -> None:
    alice = await point.world.person("alice@acme.test")
    await relate(point.world, f"ticket:T-22#assignee@person:{alice.id}")
    binding = Binding(path="arguments.id", object="ticket:{value}", permission="edit")
    await point.world.override("get_issue", Override(bindings=(binding,)))
    try:
        assert await point.decides(question(arguments={"id": "T-22"}))
        assert await point.reason(question(arguments={"id": "T-23"})) == "relation.denied"
        assert await point.reason(question()) == "relation.unnamed"
    finally:
        await point.world.override("get_issue", None)


@pytest.mark.parametrize(
    ("kind", "identity", "permission"),
    [
        ("ticket", "T-7#assignee@person:x", "edit"),
        ("ticket", "*", "edit"),
        ("ticket:T", "7", "edit"),
        ("ticket", "T-7", "edit@person:x"),
        ("ticket", "T 7", "edit"),
    ],
)
async def test_a_name_that_runs_into_another_is_no_question(
    point: Point, kind: str, identity: str, permission: str
) -> None:
    asked = about(permission) | {"resource": {"type": kind, "id": identity}}

    assert await point.reason(asked) == "relation.unnamed"


async def test_the_suspended_and_the_blocked_have_nothing(point: Point) -> None:
    world, acme = point.world, HostId("acme")
    bob = await world.person("bob@acme.test")
    await relate(world, f"ticket:T-9#assignee@person:{bob.id}", "ticket:T-9#watcher@agent:agent")
    agent = {"type": "agent", "id": "agent"}
    assert await point.decides(about("edit", "T-9", BOB))
    assert await point.decides(about("view", "T-9", agent))

    async with world.parts.database.write() as tx:
        await set_active(tx, acme, bob.id, active=False)
        await set_blocked(tx, acme, ClientId("agent"), blocked=True)
    try:
        assert await point.reason(about("edit", "T-9", BOB)) == "subject.inactive"
        assert await point.reason(about("view", "T-9", agent)) == "client.blocked"
        assert await point.reason(question()) == "client.blocked"
    finally:
        async with world.parts.database.write() as tx:
            await set_active(tx, acme, bob.id, active=True)
            await set_blocked(tx, acme, ClientId("agent"), blocked=False)


@pytest.mark.requirement("SEC-65")
async def test_every_answer_is_written_down_with_who_asked(point: Point) -> None:
    said = await point.said("evaluation", question(arguments={"id": "T-7"}, ip="203.0.113.9"))
    no = await point.said("evaluation", question(resource=tool("delete_issue")))

    def record(answer: Any) -> dict[str, Any]:
        found = [
            each
            for each in point.world.events()
            if each.get("decision_id") == answer["context"]["decision_id"]
        ]
        assert len(found) == 1
        return found[0]

    allowed, denied = record(said), record(no)
    alice = await point.world.person("alice@acme.test")
    assert (allowed["kind"], denied["kind"]) == ("check.allowed", "check.denied")
    assert allowed["detail"] == {"enforcement_point": "mesh", "subject": "user:alice@acme.test"}
    assert (allowed["subject"], allowed["client"], allowed["server"]) == (
        alice.id,
        "agent",
        "tickets",
    )
    assert allowed["arguments"] == {"id": "string(3)"}
    assert allowed["facts"]["phase"] == "check"
    assert allowed["facts"]["environment"]["ip"] == "203.0.113.9"
    assert denied["reason"] == "consent.level"


async def test_a_warm_question_reads_no_row(point: Point) -> None:
    asked = {"evaluations": [question(), about("edit", subject=ALICE)]}
    await point.batch(asked)
    statements: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    engine = point.world.parts.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", count)
    try:
        await point.batch(asked)
    finally:
        event.remove(engine, "before_cursor_execute", count)

    assert statements == []


async def test_obligations_are_handed_on(tmp_path: Path) -> None:
    rules = tmp_path / "policies"
    rules.mkdir()
    (rules / "host.rego").write_text(
        "package safeconduct.host\n\nimport rego.v1\n\n"
        'obligations contains {"type": "mask", "pointers": ["/email"]}\n'
    )
    acme = points(tmp_path, mesh=SECRET) | {"policy": {"directory": str(rules)}}
    async with world_at(tmp_path, asgi=True, acme=acme) as world:
        await world.tokens()
        said = await Point(world).said("evaluation", question())

    assert said["decision"] is True
    assert said["context"]["obligations"] == [
        {"type": "mask", "pointers": ["/email"], "keep_last": 0}
    ]
