"""URIs of resources on the road: decided as they are spelled, and spelled in one way."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from safeconduct.core.binding import UriBinding
from safeconduct.core.model import HostId, ServerKey
from safeconduct.upstreams import save, wanted
from tests.core.test_resource_uri import ABNORMAL, MISSPELLED
from tests.road.upstream import Seen, Upstream, Wire
from tests.road.world import LEGACY, MODERN, VERSIONS, Tokens, World, world_at

pytestmark = pytest.mark.requirement("Z-18", "Z-28", "SEC-62")

BOUND = (
    UriBinding(uri="ticket://{id}", object="ticket:{id}", permission="view"),
    UriBinding(uri="ticket://help", permission="none"),
)
MINE = "ticket://T-7"
RULE = """package safeconduct.host

import rego.v1

deny contains {"reason": "secret", "message": "No."} if {
\tinput.resource.name in {"file:///secret", "https://wiki.test/secret"}
}
"""


def listing_templates(*uris: str) -> Callable[[Upstream], None]:
    """Return what has a server list templates."""

    async def play(seen: Seen, wire: Wire) -> None:
        items = [{"uriTemplate": uri, "name": "x"} for uri in uris]
        said = {"jsonrpc": "2.0", "id": seen.message["id"], "result": {"resourceTemplates": items}}
        await wire.answer(said)

    def before(behind: Upstream) -> None:
        behind.hello = {"capabilities": {"tools": {}, "resources": {}}}
        behind.scripts["resources/templates/list"] = play

    return before


async def bind(world: World, *bindings: UriBinding) -> None:
    async with world.parts.database.write() as tx:
        about = await wanted(tx, HostId("acme"), ServerKey("tickets"))
        assert about is not None
        await save(tx, HostId("acme"), replace(about, resources=bindings))


@pytest.fixture(scope="module")
async def binding(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    said = {"relations": ["ticket:T-7#view@user:alice@acme.test"]}
    shown = listing_templates("note://{anything}")
    async with world_at(
        tmp_path_factory.mktemp("uris"), asgi=True, before=shown, acme=said
    ) as world:
        await bind(world, *BOUND)
        yield world


@pytest.fixture(scope="module")
async def ruled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("ruled")
    (directory / "rules").mkdir()
    (directory / "rules" / "own.rego").write_text(RULE)
    async with world_at(directory, asgi=True, acme={"policy": {"directory": "rules"}}) as world:
        yield world


def asking(uri: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return every way to name a resource: revision, method, parameters."""
    completing = {"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": "a"}}
    listening = {"notifications": {"resourceSubscriptions": [uri]}}
    return [
        (MODERN, "resources/read", {"uri": uri}),
        (MODERN, "completion/complete", completing),
        (MODERN, "subscriptions/listen", listening),
        (LEGACY, "resources/read", {"uri": uri}),
        (LEGACY, "completion/complete", completing),
        (LEGACY, "resources/subscribe", {"uri": uri}),
        (LEGACY, "resources/unsubscribe", {"uri": uri}),
    ]


async def answers(world: World, tokens: Tokens, uri: str, **more: Any) -> list[Any]:
    """Name a resource in every way; returns the reasons of the refusals, None for an answer."""
    world.upstream.reset()
    found = []
    for version, method, params in asking(uri):
        header = {"mcp-name": _header(uri)} if method == "resources/read" else {}
        answer = await world.send(
            tokens.access, method, params, version=version, headers=header, **more
        )
        error = _error(answer.content, answer)
        found.append(error and error.get("data", {}).get("reason", error["code"]))
    assert len(world.upstream.seen) == found.count(None)
    return found


def _header(uri: str) -> str:
    from safeconduct.proxy.eras import encoded

    return encoded(uri).decode()


def _error(raw: bytes, answer: Any) -> dict[str, Any] | None:
    if raw.startswith(b"{"):
        error: dict[str, Any] | None = answer.json().get("error")
        return error
    return None


async def test_every_method_asks_about_the_resource_that_it_names(binding: World) -> None:
    tokens = await binding.tokens()

    assert await answers(binding, tokens, MINE) == [None] * 7
    assert await answers(binding, tokens, "ticket://T-8") == ["relation.denied"] * 7
    assert await answers(binding, tokens, "ticket://help") == [None] * 7
    assert await answers(binding, tokens, "note://anything/else?x=1") == [None] * 7


@pytest.mark.parametrize(
    "uri",
    [
        *("\tticket://T-8", "ticket:/\t/T-8", "ticket://x/../T-8", "ticket://x/%2e/T-8"),
        *("ticket:\\\\T-8", "TICKET://T-8", "ticket://T-8 ", "ticket://T-8\u0085"),
    ],
)
async def test_another_spelling_of_a_foreign_resource_is_refused_by_every_method(
    binding: World, uri: str
) -> None:
    tokens = await binding.tokens()

    reasons = await answers(binding, tokens, uri)

    assert set(reasons) <= {"uri.form", "relation.unnamed", "relation.denied"}
    refused = binding.events("call.denied")[-1]
    assert refused["reason"] in reasons


@pytest.mark.parametrize(
    "uri", ["ticket://u@T-7", "ticket://T-7:1", "ticket://T-7/x", "ticket:T-7"]
)
async def test_a_uri_of_a_bound_scheme_that_fits_no_template_is_a_no(
    binding: World, uri: str
) -> None:
    tokens = await binding.tokens()

    assert set(await answers(binding, tokens, uri)) == {"relation.unnamed"}


async def test_no_spelling_that_is_misread_reaches_a_server_in_either_era(binding: World) -> None:
    tokens = await binding.tokens()

    for uri in (*MISSPELLED, *(each for each in ABNORMAL if each and "{" not in each)):
        assert None not in await answers(binding, tokens, uri), uri


async def test_a_server_without_bindings_takes_what_is_not_misread(binding: World) -> None:
    tokens = await binding.tokens(server="notes")

    for uri in ("note://\u00fcber uns", "readme", "Https-like/%41", "note://h/{id}"):
        assert await answers(binding, tokens, uri, path="/mcp/notes") == [None] * 7, uri
    for uri in MISSPELLED:
        refused = await answers(binding, tokens, uri, path="/mcp/notes")
        assert refused == ["uri.form"] * 7, uri


async def test_a_rule_that_reads_the_uri_is_not_passed_by_another_spelling(ruled: World) -> None:
    tokens = await ruled.tokens()
    plain, refused = "file:///public", ["policy.secret"] * 7

    assert await answers(ruled, tokens, plain) == [None, None, None, None, None, None, None]
    for uri in ("file:///secret", "https://wiki.test/secret"):
        assert [each for each in await answers(ruled, tokens, uri) if each] == refused
    for uri in (
        *("file:///%73ecret", "file:///x/../secret", "file://localhost/secret", "file:/secret"),
        *("file:////secret", "file://///secret"),
        *("https://wiki.test:443/secret", "https://WIKI.test/secret", "https:/wiki.test/secret"),
        *("https://wiki\u3002test/secret", "https://wiki.test/secre%74", "file:///secret#"),
    ):
        assert await answers(ruled, tokens, uri) == ["uri.form"] * 7, uri


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_list_shows_no_resource_that_could_not_be_read(
    binding: World, ruled: World, version: str
) -> None:
    uris = [MINE, "ticket://T-8", "ticket://help", "ticket://x/../T-7", "note://a", "note://\u00fc"]

    async def play(_seen: Seen, wire: Wire) -> None:
        items = [{"uri": uri, "name": "x"} for uri in uris]
        result = {"resources": items, "resultType": "complete"}
        await wire.answer({"jsonrpc": "2.0", "id": 1, "result": result})

    shown = []
    for world in (binding, ruled):
        world.upstream.scripts["resources/list"] = play
        token = (await world.tokens()).access
        answer = await world.send(token, "resources/list", {}, version=version)
        shown.append([each["uri"] for each in answer.json()["result"]["resources"]])
        world.upstream.reset()

    assert shown == [[MINE, "ticket://help", "note://a"], [*uris[:3], "note://a"]]


async def test_a_completion_may_name_a_template_and_binds_as_its_kind(binding: World) -> None:
    tokens = await binding.tokens()

    async def completed(uri: str) -> Any:
        params = {"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": "a"}}
        answer = await binding.send(tokens.access, "completion/complete", params)
        return answer.json().get("error", {}).get("data", {}).get("reason")

    assert await completed("note://{anything}") is None
    assert await completed("note://{another}") == "uri.form"
    assert await completed("ticket://{id}") == "relation.unnamed"
    assert await completed("ticket://{id}/{part}") == "relation.unnamed"
    assert await completed("note://../{id}") == "uri.form"


@pytest.mark.slow
async def test_a_template_that_no_list_showed_is_refused_where_its_uri_is_read(
    tmp_path: Path,
) -> None:
    """Where nothing reads the URI it is the server's own affair."""

    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.rego").write_text(RULE)
    said = {"policy": {"directory": "rules"}}
    async with world_at(tmp_path, before=listing_templates("note://{id}"), acme=said) as world:
        tokens = await world.tokens()
        for version, (uri, reason) in itertools.product(
            VERSIONS, [("note://{id}", None), ("note://{any}", "uri.form"), ("x://{a}", "uri.form")]
        ):
            params = {"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": "a"}}
            answer = await world.send(tokens.access, "completion/complete", params, version=version)
            error = answer.json().get("error", {})
            assert error.get("data", {}).get("reason") == reason, (version, uri)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_query_that_has_two_readings_is_not_passed_on(tmp_path: Path, version: str) -> None:
    template = "search://q?x={y}&id={id}"
    bound = UriBinding(uri=template, object="ticket:{id}", permission="view")
    mine = {"relations": ["ticket:T-7#view@user:alice@acme.test"]}
    async with world_at(tmp_path, asgi=True, acme=mine) as world:
        await bind(world, bound)
        tokens = await world.tokens()
        asked = {
            "search://q?x=1&id=T-7": None,
            "search://q?x=1&id=T-8": "relation.denied",
            "search://q?x=1&id=T-8&id=T-7": "relation.unnamed",
            "search://q?x=1&id=T-7&id=T-8": "relation.unnamed",
            "search://q?x=id=T-8&id=T-7": "relation.unnamed",
        }
        for uri, reason in asked.items():
            header = {"mcp-name": _header(uri)}
            answer = await world.send(
                tokens.access, "resources/read", {"uri": uri}, version=version, headers=header
            )
            error = answer.json().get("error")
            assert (error and error["data"]["reason"]) == reason, uri


async def test_a_part_that_was_stored_twice_ends_no_reading_in_an_error_of_ours(
    tmp_path: Path,
) -> None:
    twice = UriBinding(uri="ticket://{id}/{id}", object="ticket:{id}", permission="view")
    mine = {"relations": ["ticket:T-7#view@user:alice@acme.test"]}
    async with world_at(tmp_path, asgi=True, acme=mine) as world:
        await bind(world, twice)
        tokens = await world.tokens()

        assert await answers(world, tokens, "ticket://T-7/T-7") == [None] * 7
        assert await answers(world, tokens, "ticket://T-7/T-8") == ["relation.unnamed"] * 7
