"""Standing streams about resources: each one is decided, at first and while the stream lasts."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.road.test_resource_uris import listing_templates
from tests.road.upstream import Seen, Wire
from tests.road.world import LEGACY, VERSIONS, World, line, world_at

pytestmark = pytest.mark.slow  # a process judges the rules of each world

RULE = """package safeconduct.host

import rego.v1

deny contains {"reason": "private", "message": "This resource is private."} if {
\tinput.action == "resources/subscribe"
\tstartswith(input.resource.name, "file:///private/")
}

deny contains {"reason": "private", "message": "This is private."} if {
\tinput.action in {"prompts/get", "resources/read"}
\tcontains(input.resource.name, "private")
}

deny contains {"reason": "late", "message": "Not after noon."} if {
\tinput.resource.name == "file:///mornings"
\tinput.environment.time > "2026-11-21T12:30"
}
"""
NOTE = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "x"}}


@pytest.fixture
async def ruled(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.rego").write_text(RULE)
    shown = listing_templates("file:///{name}", "file:///private/{name}")
    said = {"policy": {"directory": "rules"}}
    async with world_at(tmp_path, before=shown, acme=said) as world:
        world.upstream.reset()
        yield world


def _about(*uris: Any) -> dict[str, Any]:
    return {"notifications": {"resourceSubscriptions": list(uris)}}


@pytest.mark.requirement("GW-11", "Z-28")
async def test_a_resource_that_is_denied_refuses_the_stream_and_is_named(ruled: World) -> None:
    tokens = await ruled.tokens()

    answer = await ruled.send(
        tokens.access, "subscriptions/listen", _about("file:///a", "file:///private/b")
    )

    assert answer.status_code == 200
    error = answer.json()["error"]
    assert error["code"] == 4030
    assert error["message"] == "file:///private/b: This resource is private."
    assert error["data"]["reason"] == "policy.private"
    assert ruled.upstream.seen == []
    assert ruled.events("call.denied")[-1]["reason"] == "policy.private"


@pytest.mark.requirement("GW-11", "Z-28")
@pytest.mark.parametrize(
    "params", [_about("file:///a"), _about(), {"notifications": {}}, {}], ids=str
)
async def test_the_nearest_stream_that_is_allowed_reaches_the_server(
    ruled: World, params: dict[str, Any]
) -> None:
    tokens = await ruled.tokens()

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.event(NOTE)
        await wire.end_stream()

    ruled.upstream.scripts["subscriptions/listen"] = play

    assert (
        b"resources/updated"
        in (await ruled.send(tokens.access, "subscriptions/listen", params)).content
    )


@pytest.mark.requirement("GW-11")
async def test_the_older_eras_subscription_is_decided_alike(ruled: World) -> None:
    tokens = await ruled.tokens()

    async def subscribe(uri: str) -> dict[str, Any]:
        answer = await ruled.send(
            tokens.access, "resources/subscribe", {"uri": uri}, version=LEGACY
        )
        said: dict[str, Any] = answer.json()
        return said

    assert "result" in await subscribe("file:///a")
    refused = await subscribe("file:///private/b")
    assert refused["error"]["data"]["reason"] == "policy.private"


@pytest.mark.requirement("GW-11", "SEC-64")
@pytest.mark.parametrize(
    "asked",
    ["file:///a", {"uri": "file:///a"}, [1], [""], [["file:///a"]], ["x" * 2049], ["x"] * 101],
    ids=["text", "object", "number", "empty", "nested", "long", "many"],
)
async def test_what_is_no_short_list_of_addresses_is_refused(ruled: World, asked: Any) -> None:
    tokens = await ruled.tokens()

    answer = await ruled.send(
        tokens.access, "subscriptions/listen", {"notifications": {"resourceSubscriptions": asked}}
    )

    assert answer.json()["error"]["code"] == -32602
    assert ruled.upstream.seen == []


@pytest.mark.requirement("Z-28")
async def test_a_completion_is_decided_like_a_use_of_what_it_is_for(ruled: World) -> None:
    tokens = await ruled.tokens()
    expected: list[tuple[Any, int | None]] = [
        ({"type": "ref/prompt", "name": "greet"}, None),
        ({"type": "ref/prompt", "name": "private"}, 4030),
        ({"type": "ref/resource", "uri": "file:///{name}"}, None),
        ({"type": "ref/resource", "uri": "file:///private/{name}"}, 4030),
        ({"type": "ref/resource", "uri": "file:///a", "Uri": "file:///private/b"}, -32602),
        ({"type": "ref/tool", "name": "get_issue"}, -32602),
        ({"type": "ref/prompt", "uri": "greet"}, -32602),
        ("ref/prompt", -32602),
        (None, -32602),
    ]

    for version, (ref, code) in itertools.product(VERSIONS, expected):
        ruled.upstream.seen.clear()
        params = {"ref": ref, "argument": {"name": "name", "value": "a"}}
        answer = await ruled.send(tokens.access, "completion/complete", params, version=version)
        assert answer.json().get("error", {}).get("code") == code, (version, ref)
        assert len(ruled.upstream.seen) == (code is None), (version, ref)


@pytest.mark.requirement("GW-11", "SEC-62")
async def test_resources_are_not_asked_for_in_another_case(ruled: World) -> None:
    """Readers that ignore case would subscribe to what nobody decided."""
    tokens = await ruled.tokens()
    asked = {"notifications": {"ResourceSubscriptions": ["file:///private/b"]}}

    answer = await ruled.send(tokens.access, "subscriptions/listen", asked)

    assert answer.json()["error"]["code"] == -32600
    assert ruled.upstream.seen == []


@pytest.mark.requirement("GW-11", "Z-24")
async def test_a_resource_that_is_denied_later_ends_the_stream(ruled: World) -> None:
    tokens = await ruled.tokens()
    ruled.gateway._answers.returns._keep_alive_seconds = 0.05

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.gone()

    ruled.upstream.scripts["subscriptions/listen"] = play
    async with line(ruled) as late, line(ruled) as other:
        await late.post(tokens.access, "subscriptions/listen", _about("file:///mornings"))
        await other.post(tokens.access, "subscriptions/listen", _about("file:///a"))
        for each in (late, other):
            assert (await each.head())[0] == 200
            assert (await each.chunk()).startswith(b":")
        ruled.clock.advance(timedelta(hours=1))
        while (chunk := await late.chunk()).startswith(b":"):
            pass
        assert chunk == b""
        for _ in range(3):
            assert (await other.chunk()).startswith(b":")
