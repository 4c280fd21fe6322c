"""Arguments on the road: what a rule or binding decided on is what the server works with."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec.structs import replace

from safeconduct.core.binding import Binding
from safeconduct.core.model import HostId, ServerKey
from safeconduct.upstreams import Override, save, wanted
from tests.road.upstream import Seen, Wire, tool
from tests.road.world import LEGACY, MODERN, VERSIONS, Tokens, World, body_of, world_at

pytestmark = pytest.mark.requirement("SEC-56", "SEC-62")
RULE = """package safeconduct.host

import rego.v1

# METADATA
# scope: rule
# schemas:
#   - input.arguments.memo.text: {type: string}
deny contains {"reason": "memo", "message": "No."} if contains(input.arguments.memo.text, "secret")

deny contains {"reason": "large", "message": "No more than 100."} if {
\tinput.resource.name == "place_order"
\tinput.arguments.order.amount > 100
}

deny contains {"reason": "list", "message": "No."} if {
\tsome row in input.arguments.rows
\trow.amount > 100
}
"""
ORDER = {
    "type": "object",
    "properties": {
        "order": {
            "type": "object",
            "properties": {"amount": {"type": "integer"}, "note": {"type": "string"}},
            "required": ["amount"],
        },
        "rows": {"type": "array", "items": {}},
        "memo": {},
    },
    "required": ["order"],
}
TOOLS = [
    tool("place_order", inputSchema=ORDER),
    tool("get_issue", inputSchema={"properties": {"id": {"type": "string"}}, "type": "object"}),
    tool("get_thing", inputSchema={"type": "object", "properties": {"ID": {}, "key": {}}}),
]


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("arguments")
    (directory / "rules").mkdir()
    (directory / "rules" / "own.rego").write_text(RULE)
    async with world_at(directory, asgi=True, acme={"policy": {"directory": "rules"}}) as world:
        world.upstream.tools = TOOLS
        await offering(world)
        yield world


async def offering(world: World, **said: Any) -> None:
    """Have the server's tools reviewed as they are, and its admin say this of it."""
    await world.crawl()
    for each in world.upstream.tools:
        await world.accept(each["name"])
    async with world.parts.database.write() as tx:
        about = await wanted(tx, HostId("acme"), ServerKey("tickets"))
        assert about is not None
        await save(tx, HostId("acme"), replace(about, **said))
    world.upstream.seen.clear()


@pytest.fixture(scope="module")
async def tokens(world: World) -> Tokens:
    return await world.tokens()


async def called(
    world: World, tokens: Tokens, name: str, arguments: dict[str, Any], version: str = MODERN
) -> dict[str, Any]:
    world.upstream.seen.clear()
    answer = await world.call(tokens.access, name, arguments=arguments, version=version)
    said: dict[str, Any] = answer.json()
    return said


def refusal(message: dict[str, Any]) -> str:
    """Return the sentence of a refusal; "" for anything else."""
    result = message.get("result", {})
    return str(result["content"][0]["text"]) if result.get("isError") else ""


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
async def test_arguments_that_do_not_fit_are_the_tools_error_on_record_and_are_not_sent(
    world: World, tokens: Tokens, version: str
) -> None:
    unfit = {"order": '{"amount": 500}'}

    message = await called(world, tokens, "place_order", unfit, version)

    problem = "arguments.order is a string, and must be an object"
    assert problem in refusal(message)
    assert "Nothing was done" in refusal(message)
    assert ("resultType" in message["result"]) == (version == MODERN)
    assert world.upstream.seen == []
    refused = world.events("call.denied")[-1]
    assert (refused["reason"], refused["unfit"]) == ("arguments.unfit", problem)
    assert "amount" not in str(refused)


@pytest.mark.parametrize("version", [MODERN, LEGACY])
async def test_the_nearest_calls_are_decided_by_the_rules(
    world: World, tokens: Tokens, version: str
) -> None:
    fine = await called(world, tokens, "place_order", {"order": {"amount": 5, "x": 1}}, version)
    assert "content" in fine["result"]
    assert not refusal(fine)
    assert len(world.upstream.seen) == 1

    large = await called(world, tokens, "place_order", {"order": {"amount": 500}}, version)
    assert large["error"]["data"]["reason"] == "policy.large"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "arguments.order is missing"),
        ({"order": {}}, "arguments.order.amount is missing"),
        ({"order": {"amount": "500"}}, "arguments.order.amount is a string"),
        ({"order": {"amount": True}}, "arguments.order.amount is a boolean"),
        ({"order": {"amount": 1.5}}, "arguments.order.amount is a number, and must be a whole"),
        ({"order": {"amount": 5, "Amount": 500}}, "arguments.order.Amount differs"),
        ({"order": {"amount": 5}, "Order": {"amount": 500}}, "arguments.Order differs"),
        ({"order": {"amount": 5, "\uff41mount": 500}}, "arguments.order.\uff41mount differs"),
        ({"order": {"amount": 5, "NOTE": "x"}}, "arguments.order.NOTE differs"),
        ({"order": {"amount": 5}, "rows": [{"Amount": 500}]}, "arguments.rows[0].Amount differs"),
        (
            {"order": {"amount": 5}, "rows": [{"a": {"b": 1, "B": 2}}]},
            "arguments.rows[0].a.B differs",
        ),
        ({"order": {"amount": 5}, "memo": {"Text": "secret"}}, "arguments.memo.Text differs"),
        ({"order": {"amount": 5}, "memo": '{"text":"secret"}'}, "arguments.memo is a string"),
        ({"order": {"amount": 5}, "memo": ["secret"]}, "arguments.memo is an array"),
        ({"order": {"amount": 5}, "memo": [{"text": "secret"}]}, "arguments.memo is an array"),
        ({"order": {"amount": 5}, "memo": None}, "arguments.memo is null"),
        (
            {"order": {"amount": 5}, "memo": {"text": ["secret"]}},
            "arguments.memo.text is an array, and must be a string",
        ),
    ],
)
async def test_what_a_rule_reads_is_neither_of_another_type_nor_there_twice(
    world: World, tokens: Tokens, arguments: dict[str, Any], problem: str
) -> None:
    message = await called(world, tokens, "place_order", arguments)

    assert problem in refusal(message)
    assert world.upstream.seen == []


async def test_arguments_that_nobody_reads_are_noted_and_sent(world: World, tokens: Tokens) -> None:
    message = await called(world, tokens, "get_issue", {"id": 7})

    assert not refusal(message)
    assert len(world.upstream.seen) == 1
    noted = world.events("call.intent")[-1]
    assert noted["unfit"] == "arguments.id is a number, and must be a string"
    await called(world, tokens, "get_issue", {"id": "7"})
    assert "unfit" not in world.events("call.intent")[-1]


async def test_a_tool_whose_arguments_a_binding_reads_is_strict(tmp_path: Any) -> None:
    said = {"relations": ["ticket:T-7#edit@user:alice@acme.test"]}
    async with world_at(tmp_path, asgi=True, acme=said) as world:
        world.upstream.tools = TOOLS
        await offering(world)
        tokens = await world.tokens()
        assert not refusal(await called(world, tokens, "get_issue", {"id": "T-7", "Id": "T-8"}))
        for name, path in (("get_issue", "arguments.id"), ("get_thing", "arguments.key.id")):
            binding = Binding(path=path, object="ticket:{value}", permission="edit")
            await world.override(name, Override(bindings=(binding,)))

        assert not refusal(await called(world, tokens, "get_issue", {"id": "T-7"}))
        nested = {"key": {"id": "T-7"}}
        assert not refusal(await called(world, tokens, "get_thing", nested))
        for extra in ({"key": {"id": "T-7", "Id": "T-8"}}, nested | {"Key": {"id": "T-8"}}):
            denied = await called(world, tokens, "get_thing", extra)
            assert refusal(denied) or denied["error"]["data"]["reason"] == "relation.unnamed"
            assert world.upstream.seen == []


@pytest.mark.parametrize(
    ("setting", "refused", "noted"),
    [("off", False, False), ("note", False, True), ("refuse", True, True)],
)
async def test_a_server_says_what_becomes_of_arguments_that_do_not_fit(
    world: World, tokens: Tokens, setting: str, refused: bool, noted: bool
) -> None:
    await offering(world, arguments=setting)

    for name, arguments in (("get_issue", {"id": 7}), ("place_order", {"order": "x"})):
        message = await called(world, tokens, name, arguments)
        kind = "call.denied" if refused else "call.intent"
        assert bool(refusal(message)) == refused
        assert ("unfit" in world.events(kind)[-1]) == noted
        assert (world.upstream.seen == []) == refused
    await offering(world, arguments=None)


async def test_who_may_not_call_a_tool_learns_nothing_of_its_schema(world: World) -> None:
    from safeconduct.core.model import Level

    low = await world.tokens(person="bob", level=Level.LOW)

    answer = await world.call(low.access, "place_order", arguments={"order": "x"})

    assert answer.status_code == 403
    assert "arguments.order" not in answer.text


async def test_each_era_is_held_against_its_own_spelling(tmp_path: Any) -> None:
    async with world_at(tmp_path, asgi=True) as world:
        text, number = (
            {"type": "object", "properties": {"id": {"type": each}}}
            for each in ("string", "integer")
        )
        world.upstream.tools = [tool("get_issue", inputSchema=text)]
        world.upstream.older_tools = [tool("get_issue", inputSchema=number)]
        await offering(world, arguments="refuse")
        tokens = await world.tokens()

        for version, fits, not_fits in ((MODERN, "7", 7), (LEGACY, 7, "7")):
            message = await called(world, tokens, "get_issue", {"id": fits}, version)
            assert not refusal(message), version
            message = await called(world, tokens, "get_issue", {"id": not_fits}, version)
            assert "arguments.id is" in refusal(message), version
            assert world.upstream.seen == []


@pytest.mark.slow
async def test_what_was_held_is_held_against_the_schema_that_is_reviewed_by_then(
    tmp_path: Any,
) -> None:
    """And enforcement points are told the same no, where they say what the arguments are."""
    async with world_at(tmp_path, asgi=True) as world:
        world.upstream.tools = TOOLS
        await offering(world, arguments="refuse")
        tokens = await world.tokens()
        big = {"id": "7", "rows": [{"n": [n]} for n in range(30_000)]}

        assert not refusal(await called(world, tokens, "get_issue", big))
        assert "arguments.id" in refusal(await called(world, tokens, "get_issue", big | {"id": 7}))


PROMISED = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}


@pytest.mark.slow
@pytest.mark.parametrize("version", [MODERN, LEGACY])
@pytest.mark.parametrize("streamed", [False, True])
async def test_structured_results_that_do_not_fit_are_noted_or_withheld(
    world: World, tokens: Tokens, version: str, streamed: bool
) -> None:
    world.upstream.tools = [*TOOLS, tool("get_promise", outputSchema=PROMISED)]
    result: dict[str, Any] = {"content": [], "resultType": "complete"}

    async def play(_seen: Seen, wire: Wire) -> None:
        said = {"jsonrpc": "2.0", "id": 1, "result": result}
        if streamed:
            await wire.begin_stream()
            await wire.event(said)
            await wire.end_stream()
        else:
            await wire.answer(said)

    async def got() -> tuple[str, int]:
        """Call; returns what comes back and how many misfits are on record."""
        before = len(world.events("call.unfit"))
        answer = await world.call(tokens.access, "get_promise", arguments={}, version=version)
        return answer.text, len(world.events("call.unfit")) - before

    for setting, noted in ((None, 1), ("note", 1), ("refuse", 1), ("off", 0)):
        await offering(world, results=setting)
        world.upstream.scripts["tools/call"] = play
        for structured in ({"id": 7, "secret": "s3"}, None):
            result |= {} if structured is None else {"structuredContent": structured}
            text, count = await got()
            assert count == noted
            assert ("took effect" in text) == (setting == "refuse")
            assert ("s3" in text) == (setting != "refuse" and structured is not None)
            result.pop("structuredContent", None)
        for fits in ({"structuredContent": {"id": "7"}}, {"isError": True}):
            result |= fits
            text, count = await got()
            assert (count, "took effect" in text) == (0, False)
            for name in fits:
                del result[name]
        result["structuredContent"] = {"id": 7, "more": "x" * 300_000}
        text, count = await got()
        assert (count, "xxx" in text) == (0, True)
        del result["structuredContent"]
    refused = [each for each in world.events("call.outcome") if each["outcome"] != "ok"]
    assert {"result_withheld"} <= {each["outcome"] for each in refused}
    assert "s3" not in str(world.events("call.unfit"))
    world.upstream.reset()
    world.upstream.tools = TOOLS
    await offering(world, results=None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        {"anyOf": [{"type": "object"}, {"type": "string"}, {"type": "null"}]},
        {"type": ["object", "string"]},
        {"anyOf": [{"type": "object"}, {}]},
        {"not": {"type": "null"}},
        {"enum": ['{"text":"secret"}', {"text": "x"}]},
        {"type": "string"},
    ],
    ids=str,
)
async def test_what_a_rule_expects_holds_whatever_the_schema_would_allow_beside_it(
    tmp_path: Any, said: dict[str, Any]
) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.rego").write_text(RULE)
    async with world_at(tmp_path, asgi=True, acme={"policy": {"directory": "rules"}}) as world:
        schema = {"type": "object", "properties": {"memo": said}}
        world.upstream.tools = [tool("place_order", inputSchema=schema)]
        await offering(world)
        agent = await world.tokens()

        message = await called(world, agent, "place_order", {"memo": '{"text":"secret"}'})

        assert "arguments.memo" in refusal(message)
        assert world.upstream.calls() == []


@pytest.mark.parametrize("version", [MODERN, LEGACY])
@pytest.mark.parametrize(
    ("place", "arguments"),
    [
        ("__proto__", {"id": "1", "__proto__": {"amount": 500}}),
        ("__proto__", {"id": "1", "__proto__": None}),
        ("x.__proto__", {"id": "1", "x": {"__proto__": {"amount": 500}}}),
        ("x[1].__proto__", {"id": "1", "x": [[], {"__proto__": 1}]}),
        ("constructor", {"id": "1", "constructor": {"prototype": {"amount": 500}}}),
    ],
)
async def test_nobody_hands_a_server_what_others_inherit_from(
    world: World, tokens: Tokens, version: str, place: str, arguments: dict[str, Any]
) -> None:
    """Also where nobody reads the arguments: what is inherited reaches every later call."""
    message = await called(world, tokens, "get_issue", arguments, version)

    assert f"arguments.{place} is what others inherit from" in refusal(message)
    assert world.upstream.seen == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"id": "__proto__"},
        {"id": "1", "constructor": "Ferrari", "prototype": {"a": 1}},
        {"id": "1", "constructor": {"name": "prototype"}},
        {"id": "1", "proto": {}, "__proto": {}, "_proto_": {}},
    ],
)
async def test_names_and_texts_that_only_look_like_it_are_sent(
    world: World, tokens: Tokens, arguments: dict[str, Any]
) -> None:
    message = await called(world, tokens, "get_issue", arguments)

    assert refusal(message) == ""
    assert world.upstream.calls()[0].message["params"]["arguments"] == arguments


@pytest.mark.parametrize("version", [MODERN, LEGACY])
@pytest.mark.parametrize("place", ["message", "params", "_meta"])
@pytest.mark.parametrize("name", ["__proto__", "\\u005f_proto__"])
async def test_no_message_inherits_what_was_not_judged(
    world: World, tokens: Tokens, version: str, place: str, name: str
) -> None:
    """A server that copies parameters would find `arguments` where the message has none."""
    params: dict[str, Any] = {"name": "get_issue"}
    whole = json.loads(body_of("tools/call", params, version=version))
    parts = {"message": whole, "params": whole["params"]}
    part = parts.get(place) or whole["params"].setdefault("_meta", {})
    part["NAME"] = {"arguments": {"id": "2"}, "params": {"name": "get_thing"}, "progressToken": 1}
    world.upstream.seen.clear()

    answer = await world.send(
        tokens.access,
        "tools/call",
        params,
        version=version,
        body=json.dumps(whole).replace("NAME", name).encode(),
    )

    assert answer.json()["error"]["code"] == -32600
    assert world.upstream.seen == []


async def test_a_schema_may_declare_it_and_an_admin_may_have_it_noted(tmp_path: Any) -> None:
    async with world_at(tmp_path, asgi=True) as world:
        held = {"type": "object", "properties": {"x": {"properties": {"__proto__": {}}}}}
        world.upstream.tools = [tool("get_held", inputSchema=held), tool("get_issue")]
        await offering(world)
        tokens = await world.tokens()
        declared, elsewhere = {"x": {"__proto__": 1}}, {"__proto__": 1}

        assert refusal(await called(world, tokens, "get_held", declared)) == ""
        assert "inherit" in refusal(await called(world, tokens, "get_held", elsewhere))

        await offering(world, arguments="note")
        assert refusal(await called(world, tokens, "get_issue", elsewhere)) == ""
        assert "inherit" in world.events("call.intent")[-1]["unfit"]
