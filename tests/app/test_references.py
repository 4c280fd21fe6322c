"""What a file refers to by name: impossible names are refused, others are said until they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from safeconduct.app import Activations
from safeconduct.app.naming import lost_path
from safeconduct.core.errors import Refused
from safeconduct.hosts import find
from safeconduct.policy import history
from safeconduct.settings import Settings
from tests.app.worlds import ACME, BASE, World, a_world

TICKETS = "definition ticket {\n relation assignee: person\n permission edit = assignee\n}\n"
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "order": {"$ref": "#/$defs/order"},
        "list": {"type": "array", "items": {"properties": {"id": {}}}},
        "free": {"type": "object", "additionalProperties": {"type": "string"}},
        "any": {},
    },
    "$defs": {"order": {"properties": {"amount": {}}, "additionalProperties": False}},
}
RELATION = "relations: ["


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as made:
        yield made


class File:
    """The base configuration, with rules beside it, and more of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rules = world.directory / "rules"
        self._rules.mkdir()
        self._text = BASE + "    policy: {directory: rules}\n"

    def schema(self, text: str) -> File:
        (self._rules / "a.zed").write_text(text)
        return self

    def data(self, text: str) -> File:
        (self._rules / "data.yaml").write_text(text)
        return self

    def binding(self, binding: str) -> File:
        before = 'key=in-the-url"}'
        assert before in self._text
        tools = f", tools: {{get_issue: {{bindings: [{binding}]}}}}}}"
        self._text = self._text.replace(before, before[:-1] + tools)
        return self

    def relation(self, text: str) -> File:
        self._text = self._text.replace(RELATION, f'{RELATION}"{text}", ')
        return self

    @property
    def settings(self) -> Settings:
        return self._world.settings(self._text)


@pytest.fixture
def file(world: World) -> File:
    return File(world)


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        (
            '{path: arguments.id, object: "ticket:{value}", permission: asignee}',
            "arguments.id: ticket has no relation or permission asignee; did you mean 'assignee'?",
        ),
        (
            '{path: arguments.id, object: "server:{value}", permission: use_low}',
            "server#use_low is kept and always a no",
        ),
    ],
)
async def test_a_permission_that_the_definitions_lack_is_refused(
    world: World, file: File, binding: str, said: str
) -> None:
    settings = file.schema(TICKETS).binding(binding).settings

    for act in (world.provisioner.plan, world.provisioner.apply):
        with pytest.raises(Refused) as refused:
            await act(settings)
        assert said in refused.value.public
    assert world.records() == []


async def test_a_question_about_a_permission_that_the_definitions_lack_is_refused(
    world: World, file: File
) -> None:
    question = 'questions: {owns: {path: arguments.id, object: "ticket:{value}", permission: own}}'

    with pytest.raises(Refused, match="rules: question owns: ticket has no relation or permission"):
        await world.provisioner.plan(file.schema(TICKETS).data(question).settings)


@pytest.mark.parametrize(
    ("relation", "said"),
    [
        ("ticket:T-8#asignee@user:alice@acme.test", "did you mean assignee?"),
        ("ticket:T-8#edit@user:alice@acme.test", "is a permission; it is computed"),
        ("ticket:T-8#assignee@group:sales#member", "does not take group#member"),
        ("person:p_1#delegate@agent:ci", "is never stored"),
    ],
)
async def test_a_relation_that_the_definitions_have_no_room_for_is_refused(
    world: World, file: File, relation: str, said: str
) -> None:
    with pytest.raises(Refused) as refused:
        await world.provisioner.plan(file.schema(TICKETS).relation(relation).settings)

    assert f"relations: {relation}: " in refused.value.public
    assert said in refused.value.public


async def test_after_a_rollback_what_the_older_definitions_lack_may_come_again(
    world: World, file: File
) -> None:
    await world.provisioner.apply(file.schema(TICKETS).settings)
    more = file.schema(TICKETS.replace("}", " relation watcher: person\n}"))
    settings = more.relation("ticket:T-8#watcher@user:alice@acme.test").settings
    await world.provisioner.apply(settings)
    activations = Activations(trail=world.trail, clock=world.clock, signer=world.signer)
    async with world.database.write() as tx:
        _, first = await history(tx, ACME)
        host = await find(tx, ACME)
        assert host is not None
        await activations.roll_back(tx, host, first.digest, by="root", because="too much")

    warnings = (await world.provisioner.plan(settings)).warnings

    assert any("ticket has no relation watcher" in each for each in warnings)


async def test_what_the_definitions_have_is_worth_no_word(world: World, file: File) -> None:
    binding = '{path: arguments.id, object: "ticket:{value}", permission: edit}'
    done = await world.provisioner.apply(file.schema(TICKETS).binding(binding).settings)

    assert done.warnings == ()


@pytest.mark.parametrize(
    ("relation", "said"),
    [
        ("note:1#reader@group:engineerin#member", "nobody is in the group engineerin; did you"),
        ("note:1#reader@user:carol@acme.test", "nobody has this address now"),
        ("note:1#reader@person:p_none", "there is nobody of this id"),
        ("note:1#reader@agent:cii", "the agent cii is not known now; did you mean 'ci'?"),
        (
            "server:ticket#low@group:sales#member",
            "this host has no server ticket; did you mean 'tickets'?",
        ),
    ],
)
async def test_whom_a_relation_names_and_nobody_is_is_said(
    world: World, file: File, relation: str, said: str
) -> None:
    warnings = (await world.provisioner.plan(file.relation(relation).settings)).warnings

    (warning,) = warnings
    assert warning.startswith(f"acme: relations: {relation}: ")
    assert said in warning


async def test_what_nothing_defines_is_said_until_somebody_writes_it(
    world: World, file: File
) -> None:
    binding = '{path: arguments.id, object: "ticket:{value}", permission: asignee}'
    (warning,) = (await world.provisioner.plan(file.binding(binding).settings)).warnings
    assert "nothing defines ticket#asignee and no relation of it is written" in warning
    assert "did you mean 'assignee'?" in warning

    written = file.relation("ticket:T-9#asignee@user:bob@acme.test").settings
    assert (await world.provisioner.plan(written)).warnings == ()


async def test_whom_the_data_of_rules_names_and_nobody_is_is_said(world: World, file: File) -> None:
    data = """
roles:
  definitions: {reader: {servers: {ticket: low}}}
  groups: {engineerin: [reader]}
  people: {carol@acme.test: [reader]}
denylists: {subjects: [alcie@acme.test, stranger@elsewhere.test]}
agents: {trust_tiers: {a: [x]}, tier_levels: {a: {chatt: low}}}
"""
    warnings = (await world.provisioner.plan(file.data(data).settings)).warnings
    near = "alcie@acme.test; did you mean 'alice@acme.test'?"

    assert [each.removeprefix("acme: rules: ") for each in warnings] == [
        "role reader: this host has no server ticket; did you mean 'tickets'?",
        "tier a: this host has no server chatt; did you mean 'chat'?",
        "roles.groups: nobody is in the group engineerin; did you mean 'engineering'?",
        "roles.people: nobody has the address carol@acme.test now",
        f"denylists.subjects: nobody has the address {near}",
    ]


async def test_ids_of_agents_that_are_nearly_somebodys_are_said(world: World, file: File) -> None:
    data = """
denylists: {clients: [cii, another-agent-altogether]}
roles: {definitions: {r: {servers: {chat: low}}}, agents: {ci: [r], cci: [r]}}
"""
    warnings = (await world.provisioner.plan(file.data(data).settings)).warnings

    assert [each.removeprefix("acme: rules: ") for each in warnings] == [
        "denylists.clients: no agent has the id cii; did you mean 'ci'?",
        "roles.agents: no agent has the id cci; did you mean 'ci'?",
    ]


@pytest.mark.parametrize(
    ("path", "lost"),
    [
        ("arguments.id", ""),
        ("arguments.Id", "no argument Id; did you mean 'id'?"),
        ("arguments.order.amount", ""),
        ("arguments.order.amuont", "no argument amuont; did you mean 'amount'?"),
        ("arguments.list.*.id", ""),
        ("arguments.list.*.name", "no argument name"),
        ("arguments.free.whatever", ""),
        ("arguments.any.whatever", ""),
    ],
)
def test_a_path_that_a_schema_does_not_declare_is_lost(path: str, lost: str) -> None:
    found = lost_path(SCHEMA, path)

    assert lost in found
    assert bool(lost) is bool(found)
    assert lost_path({}, path) == lost_path({"type": "object"}, path) == ""


async def test_a_binding_of_an_argument_that_the_tool_does_not_declare_is_said(
    world: World, file: File
) -> None:
    (url, tools), *_ = world.upstreams.tools.items()
    world.upstreams.tools[url] = [{**tools[0], "inputSchema": SCHEMA}, *tools[1:]]
    binding = '{path: arguments.ID, object: "ticket:{value}", permission: assignee, optional: true}'
    settings = file.binding(binding).settings
    said = "get_issue: arguments.ID: the tool declares no argument ID; did you mean 'id'?"

    done = await world.provisioner.apply(settings)
    assert any(said in each for each in done.warnings)
    assert any(said in each for each in (await world.provisioner.plan(settings)).warnings)


async def test_a_server_that_nobody_may_use_is_said(world: World) -> None:
    text = BASE.replace("      - {group: sales, server: chat, ceiling: low}\n", "")

    (warning,) = (await world.provisioner.plan(world.settings(text))).warnings

    assert warning.startswith("acme: server chat: nobody has a ceiling on it")
    await world.provisioner.apply(world.settings())
    assert (await world.provisioner.plan(world.settings())).warnings == ()


async def test_an_import_that_the_server_lacks_is_said_by_plan_as_well(world: World) -> None:
    text = BASE.replace('key=in-the-url"}', 'key=in-the-url", import: [get_isue, get_issue]}')
    await world.provisioner.apply(world.settings(text))

    (warning,) = (await world.provisioner.plan(world.settings(text))).warnings
    assert "setting import: get_isue: the server has no tool of this name" in warning
    assert "did you mean 'get_issue'?" in warning
    assert (await world.provisioner.plan(world.settings())).warnings == ()
