"""One bad item of a list takes nothing but itself, and a revision that passes can be used."""

from __future__ import annotations

import json
from typing import Any

import pytest

from safeconduct.core.model import HostId, Level, ServerKey
from safeconduct.proxy.messages import METHODS
from tests.road.upstream import Seen, Wire, tool
from tests.road.world import MODERN, VERSIONS, Tokens, World
from tests.upstreams.test_pages import BAD

pytestmark = pytest.mark.requirement("P-09")
FEW = (
    "half a pair",
    "repeated",
    "beyond a double",
    "too deep",
    "nameless",
    "no object",
    "infinite",
)
GOOD = json.dumps(tool("get_issue")), json.dumps(tool("create_issue"))


def _says(text: str, *, stream: bool = False) -> Any:
    async def play(seen: Seen, wire: Wire) -> None:
        raw = b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (seen.message["id"], text.encode())
        if not stream:
            await wire.answer(raw)
            return
        await wire.begin_stream()
        await wire.chunk(b"data: " + raw + b"\n\n")
        await wire.end_stream()

    return play


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("version", VERSIONS[:2])
@pytest.mark.parametrize("bad", [BAD[name][0] for name in FEW], ids=FEW)
async def test_a_list_shows_what_can_be_shown(
    road: World, tokens: Tokens, bad: str, version: str, stream: bool
) -> None:
    listed = f'{{"tools":[{GOOD[0]},{bad},{GOOD[1]}]}}'
    road.upstream.scripts["tools/list"] = _says(listed, stream=stream)

    answer = await road.send(tokens.access, "tools/list", version=version)

    data = answer.text.partition("data: ")[2] if stream else answer.text
    shown = [item["name"] for item in json.loads(data)["result"]["tools"]]
    assert shown == ["get_issue", "create_issue"]


@pytest.mark.parametrize(
    ("method", "member", "name"),
    [
        ("prompts/list", "prompts", "name"),
        ("resources/list", "resources", "uri"),
        ("resources/templates/list", "resourceTemplates", "uriTemplate"),
    ],
)
async def test_other_lists_lose_no_more(world: World, method: str, member: str, name: str) -> None:
    tokens = await world.tokens()
    good = json.dumps({name: "ticket:1"})
    bad = f'{{}},7,{{"{name}":5}},{{"{name}":"b","title":"\\ud83d"}}'
    world.upstream.scripts[method] = _says(f'{{"{member}":[{bad},{good}]}}')
    listing = METHODS[method].listing
    if listing is not None and listing.pinned_as:  # it came after the server was reviewed
        assert (await world.send(tokens.access, method)).json()["result"][member] == []
        assert await world.accept("ticket:1", kind=listing.pinned_as)

    shown = (await world.send(tokens.access, method)).json()["result"][member]

    assert shown == [{name: "ticket:1"}]


async def test_a_tool_that_became_unreadable_is_neither_shown_nor_called(world: World) -> None:
    tokens = await world.tokens(level=Level.HIGH)
    listed = f'{{"tools":[{GOOD[0]},{BAD["half a pair"][0].replace("get_x", "create_issue")}]}}'
    world.upstream.scripts["tools/list"] = _says(listed)
    assert "result" in (await world.call(tokens.access, "create_issue")).json()

    await world.crawl()
    server = await world.parts.catalogue.get(HostId("acme"), ServerKey("tickets"))

    assert server is not None
    assert "half a surrogate pair" in server.tools["create_issue"].problem
    assert [each.item for each in server.omissions] == ["create_issue"]
    assert "error" in (await world.call(tokens.access, "create_issue")).json()
    assert "result" in (await world.call(tokens.access, "get_issue")).json()

    del world.upstream.scripts["tools/list"]
    await world.crawl()
    assert "result" in (await world.call(tokens.access, "create_issue")).json()


@pytest.mark.requirement("P-02")
@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
async def test_a_server_of_2024_11_05_is_spoken_with(world: World, stream: bool) -> None:
    tokens = await world.tokens()
    hello = '{"protocolVersion":"2024-11-05","capabilities":{"tools":{}}}'
    world.upstream.scripts["initialize"] = _says(hello, stream=stream)
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}

    greeting = await world.send(tokens.access, "initialize", params, version="2025-11-25")
    listed = await world.send(tokens.access, "tools/list", version="2024-11-05")
    called = await world.call(tokens.access, "get_issue", version="2024-11-05")

    assert "2024-11-05" in greeting.text
    assert "get_issue" in listed.text
    assert called.json()["result"]["isError"] is False
    assert world.upstream.calls()[-1].header("mcp-protocol-version") == "2024-11-05"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("answered", ['"2024-10-07"', f'"{MODERN}"', "7", "null"])
async def test_initialize_lets_no_revision_through_that_the_next_message_may_not_carry(
    world: World, answered: str, stream: bool
) -> None:
    tokens = await world.tokens()
    hello = f'{{"protocolVersion":{answered},"capabilities":{{}}}}'
    world.upstream.scripts["initialize"] = _says(hello, stream=stream)
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}}

    answer = await world.send(tokens.access, "initialize", params, version="2025-11-25")

    data = answer.text.partition("data: ")[2] if stream else answer.text
    message = json.loads(data)["error"]["message"]
    assert "which is not spoken here; spoken are" in message
    assert answered.strip('"') in message or answered in {"7", "null"}


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        (["2027-03-01", MODERN], [MODERN]),
        ([MODERN, "2025-11-25"], [MODERN, "2025-11-25"]),
        (["2027-03-01"], None),
        ("2027-03-01", None),
    ],
)
async def test_discovery_names_only_what_may_be_spoken(
    world: World, named: Any, shown: list[str] | None
) -> None:
    tokens = await world.tokens()
    said = json.dumps({"supportedVersions": named, "capabilities": {}, "resultType": "complete"})
    world.upstream.scripts["server/discover"] = _says(said)

    answer = (await world.send(tokens.access, "server/discover")).json()

    if shown is None:
        assert "'2027-03-01'" in answer["error"]["message"] or named == "2027-03-01"
        assert "not spoken here" in answer["error"]["message"]
    else:
        assert answer["result"]["supportedVersions"] == shown
