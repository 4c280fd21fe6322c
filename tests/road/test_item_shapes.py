"""One item that the protocol's schema does not allow costs a client that item, and not the list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mcp_types
import pytest
from pydantic import BaseModel, ValidationError

from safeconduct.core.model import HostId, Level, ServerKey
from tests.road.upstream import Seen, Upstream, Wire, tool
from tests.road.world import LEGACY, MODERN, World, world_at

pytestmark = pytest.mark.requirement("P-08", "P-09")

METHODS: dict[str, tuple[str, type[BaseModel]]] = {
    "tools": ("tools/list", mcp_types.ListToolsResult),
    "prompts": ("prompts/list", mcp_types.ListPromptsResult),
    "resources": ("resources/list", mcp_types.ListResourcesResult),
    "resourceTemplates": ("resources/templates/list", mcp_types.ListResourceTemplatesResult),
}
NAMED_BY = {
    "tools": "name",
    "prompts": "name",
    "resources": "uri",
    "resourceTemplates": "uriTemplate",
}
GOOD: dict[str, dict[str, Any]] = {
    "tools": tool("get_b"),
    "prompts": {"name": "b"},
    "resources": {"uri": "x:b", "name": "b"},
    "resourceTemplates": {"uriTemplate": "x://b/{id}", "name": "b"},
}
ABSENT = object()
_EVERYWHERE = (
    {"title": 5},
    {"description": 5},
    {"description": ["a"]},
    {"icons": "x"},
    {"icons": {}},
    {"icons": ["x"]},
    {"icons": [{}]},
    {"icons": [{"src": "x:y", "theme": "blue"}]},
    {"icons": [{"src": "x:y", "sizes": "any"}]},
    {"_meta": []},
)
_NOTES = (
    {"annotations": []},
    {"annotations": {"audience": "user"}},
    {"annotations": {"audience": ["robot"]}},
    {"annotations": {"priority": 2}},
    {"annotations": {"lastModified": 5}},
    {"mimeType": 5},
    {"name": ABSENT},
    {"name": 5},
)
MISSHAPEN = {
    "tools": (
        *({"inputSchema": each} for each in (ABSENT, None, [], "x", True)),
        *({"outputSchema": each} for each in ("x", [], True)),
        {"annotations": []},
        {"annotations": "x"},
        {"annotations": {"title": 5}},
        {"annotations": {"readOnlyHint": "maybe"}},
        {"execution": "x"},
        {"execution": {"taskSupport": "maybe"}},
    ),
    "prompts": (
        {"arguments": {}},
        {"arguments": ["x"]},
        {"arguments": [{}]},
        {"arguments": [{"name": 5}]},
        {"arguments": [{"name": "a", "required": "maybe"}]},
        {"arguments": [{"name": "a", "description": 5}]},
    ),
    "resources": ({"size": "large"}, {"size": 1.5}, *_NOTES),
    "resourceTemplates": _NOTES,
}
# The Python SDK reads these for something else than they are, and the TypeScript SDK refuses them.
STRICTER = {
    "tools": (
        {"inputSchema": {}},
        {"inputSchema": {"type": "array"}},
        {"inputSchema": {"type": ["object"]}},
        {"inputSchema": {"type": "object", "required": "id"}},
        {"inputSchema": {"type": "object", "properties": []}},
        {"annotations": {"destructiveHint": 1}},
        {"annotations": {"readOnlyHint": "true"}},
    ),
    "prompts": ({"arguments": [{"name": "a", "required": "yes"}]},),
    "resources": ({"size": "5"}, {"annotations": {"priority": "1"}}),
    "resourceTemplates": ({"annotations": {"priority": "1"}},),
}
_SHOWN = (
    *({member: None} for member in ("title", "description", "icons", "_meta", "annotations")),
    {"title": "", "description": ""},
    {"icons": []},
    {"icons": [{"src": "x:y", "mimeType": None, "sizes": ["any"], "theme": "dark", "own": 5}]},
    {"_meta": {"x/y": [5]}},
    {"own": 5, "x": {"y": None}},
)
SHAPELY = {
    "tools": (
        *_SHOWN,
        {"inputSchema": {"type": "object", "properties": {"a": True}, "required": ["a"], "own": 5}},
        {"inputSchema": {"type": "object", "properties": None, "required": None}},
        {"inputSchema": {"$schema": "x", "type": "object", "anyOf": [{}]}},
        *({"outputSchema": each} for each in (None, {}, {"type": "array"})),
        {"annotations": {}},
        {"annotations": {"title": "x", "readOnlyHint": True, "openWorldHint": None, "own": 5}},
        {"execution": {"taskSupport": "optional"}},
    ),
    "prompts": (
        *_SHOWN,
        {"arguments": []},
        {"arguments": None},
        {"arguments": [{"name": "a", "required": False, "own": 5}, {"name": "b"}]},
    ),
    "resources": (*_SHOWN, {"size": 5}, {"size": 5.0}, {"size": None}, {"mimeType": "text/plain"}),
    "resourceTemplates": (
        *_SHOWN,
        {"annotations": {"audience": ["user", "assistant"], "priority": 1, "lastModified": "x"}},
    ),
}


def made(listing: str, *changes: Any) -> list[dict[str, Any]]:
    """Return a good item for each change, with it; named by their numbers."""
    items = []
    for number, change in enumerate(changes):
        item = GOOD[listing] | {NAMED_BY[listing]: f"x://{number}/{{id}}"} | change
        items.append({name: value for name, value in item.items() if value is not ABSENT})
    return items


def listing_of(**lists: list[dict[str, Any]]) -> Any:
    """Return what has a server list these, by the members that hold them."""

    def before(behind: Upstream) -> None:
        behind.hello = {"capabilities": {"tools": {}, "prompts": {}, "resources": {}}}
        for member, items in lists.items():
            behind.scripts[METHODS[member][0]] = _says(member, items)

    return before


def _says(member: str, items: list[dict[str, Any]]) -> Any:
    async def play(seen: Seen, wire: Wire) -> None:
        more = {"resultType": "complete", "ttlMs": 5, "cacheScope": "public"} if seen.modern else {}
        said = {"jsonrpc": "2.0", "id": seen.message["id"], "result": {member: items} | more}
        await wire.answer(said)

    return play


async def shown(world: World, token: str, listing: str, version: str) -> list[dict[str, Any]]:
    """Return what a client of the Python SDK could read of a list."""
    method, model = METHODS[listing]
    result = (await world.send(token, method, version=version)).json()["result"]
    model.model_validate(result)
    items: list[dict[str, Any]] = result[listing]
    return items


def fit(listing: str, item: dict[str, Any]) -> bool:
    try:
        METHODS[listing][1].model_validate({listing: [item]})
    except ValidationError:
        return False
    return True


def test_the_sdk_loses_a_list_for_what_is_left_out_and_for_nothing_that_is_not() -> None:
    for listing in METHODS:
        misshapen = made(listing, *_EVERYWHERE, *MISSHAPEN[listing])
        assert [each for each in misshapen if fit(listing, each)] == []
        shapely = made(listing, *SHAPELY[listing], *STRICTER[listing])
        assert [each for each in shapely if not fit(listing, each)] == []


@pytest.mark.parametrize("listing", METHODS)
async def test_items_of_another_shape_are_left_out_alone_at_import_and_in_lists(
    tmp_path: Path, listing: str
) -> None:
    bad = made(listing, *_EVERYWHERE, *MISSHAPEN[listing], *STRICTER[listing])
    good = GOOD[listing]
    async with world_at(tmp_path, asgi=True, before=listing_of(**{listing: [*bad, good]})) as world:
        tokens = await world.tokens(level=Level.HIGH)
        server = await world.parts.catalogue.get(HostId("acme"), ServerKey("tickets"))
        assert server is not None

        for version in (MODERN, LEGACY):
            assert await shown(world, tokens.access, listing, version) == [good]

        if listing != "resources":  # those are not imported
            lost = {each.item: each.reason for each in server.omissions if each.listing == listing}
            named = {item[NAMED_BY[listing]] for item in bad if NAMED_BY[listing] in item}
            assert {each for each in named if isinstance(each, str)} <= lost.keys()
            assert all("schema does not allow" in lost[each] for each in named & lost.keys())


@pytest.mark.parametrize("listing", METHODS)
async def test_items_of_every_shape_that_the_schema_allows_are_shown(
    tmp_path: Path, listing: str
) -> None:
    good = made(listing, *SHAPELY[listing])
    async with world_at(tmp_path, asgi=True, before=listing_of(**{listing: good})) as world:
        tokens = await world.tokens(level=Level.HIGH)

        for version in (MODERN, LEGACY):
            assert await shown(world, tokens.access, listing, version) == good


@pytest.mark.parametrize("version", [MODERN, LEGACY])
async def test_a_reviewed_tool_of_another_shape_ends_its_calls(
    tmp_path: Path, version: str
) -> None:
    async with world_at(tmp_path, asgi=True) as world:
        tokens = await world.tokens(level=Level.HIGH)
        world.upstream.tools = [tool("get_issue") | {"icons": "x"}, tool("create_issue")]
        assert "result" in (await world.call(tokens.access, version=version)).json()

        listed = await shown(world, tokens.access, "tools", version)

        assert [each["name"] for each in listed] == ["create_issue"]
        assert "error" in (await world.call(tokens.access, version=version)).json()
        other = await world.call(tokens.access, "create_issue", version=version)
        assert "result" in other.json()
