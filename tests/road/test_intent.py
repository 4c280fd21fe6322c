"""What an agent declares its use to be for decides on the road, message by message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from safeconduct.proxy.messages import META_INTENT
from tests.road.upstream import Seen, Wire
from tests.road.world import LEGACY, MODERN, VERSIONS, Tokens, World, line, world_at

# A process judges the rules.
pytestmark = [pytest.mark.requirement("Z-45"), pytest.mark.slow]
RULES = """package safeconduct.host

import rego.v1

deny contains {"reason": "undeclared", "message": "Declare a purpose."} if {
\tinput.resource.kind != "server"
\tnot input.intent.purpose
}

deny contains {"reason": "undeclared", "message": "Declare a purpose."} if {
\tinput.action == "subscriptions/listen"
\tnot input.intent.purpose
}

deny contains {"reason": "late", "message": "Over by noon."} if {
\tinput.intent.purpose == "morning"
\tinput.environment.time > "2026-11-21T12:30"
}

obligations contains {"type": "notify", "about": input.intent.workflow} if {
\tinput.resource.kind == "tool"
\tinput.intent.purpose != "triage"
}
"""


@pytest.fixture(scope="module")
async def declaring(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("declaring")
    (directory / "rules").mkdir()
    (directory / "rules" / "own.rego").write_text(RULES)
    async with world_at(directory, acme={"policy": {"directory": "rules"}}) as world:
        yield world


@pytest.fixture
async def ruled(declaring: World) -> AsyncIterator[World]:
    declaring.upstream.reset()
    yield declaring
    assert declaring.upstream.failures == []


@pytest.fixture(scope="module")
async def agent(declaring: World) -> Tokens:
    """Nothing can be declared when asking for a token, and one is had nevertheless."""
    return await declaring.tokens()


def meta(**intent: str) -> dict[str, Any]:
    return {META_INTENT: intent}


@pytest.mark.parametrize("version", VERSIONS)
async def test_undeclared_use_is_refused_and_declared_use_goes_on_as_it_came(
    ruled: World, agent: Tokens, version: str
) -> None:
    for undeclared in (None, meta(), meta(workflow="w-1")):
        said = (await ruled.call(agent.access, meta=undeclared, version=version)).json()
        assert said["error"]["data"]["reason"] == "policy.undeclared"
    assert ruled.upstream.seen == []

    declared = meta(purpose="triage", workflow="w-1")
    assert "result" in (await ruled.call(agent.access, meta=declared, version=version)).json()

    (seen,) = ruled.upstream.seen
    assert seen.message["params"]["_meta"][META_INTENT] == declared[META_INTENT]
    record, refused = ruled.events("call.intent")[-1], ruled.events("call.denied")[-1]
    assert record["workflow"] == refused["workflow"] == "w-1"
    assert record["facts"]["intent"] == declared[META_INTENT]
    assert refused["facts"]["intent"] == {"workflow": "w-1"}


async def test_what_is_declared_counts_for_its_own_message(ruled: World, agent: Tokens) -> None:
    assert "result" in (await ruled.call(agent.access, meta=meta(purpose="triage"))).json()

    assert "error" in (await ruled.call(agent.access)).json()


async def test_another_purpose_obliges_to_more(ruled: World, agent: Tokens) -> None:
    for purpose in ("triage", "curiosity"):
        said = await ruled.call(agent.access, meta=meta(purpose=purpose, workflow="w-9"))
        assert "result" in said.json()

    assert [each["detail"] for each in ruled.events("call.notified")] == [{"about": "w-9"}]


@pytest.mark.parametrize("version", [MODERN, LEGACY])
async def test_what_is_no_intent_is_an_error_under_the_requests_id(
    ruled: World, agent: Tokens, version: str
) -> None:
    long = meta(purpose="p" * 201)

    answer = await ruled.call(agent.access, meta=long, version=version, message_id="mine")

    said = answer.json()
    assert (said["id"], said["error"]["code"]) == ("mine", -32602)
    assert META_INTENT in said["error"]["message"]
    assert ruled.upstream.seen == []
    longest = meta(purpose="p" * 200, workflow="w" * 100)
    assert "result" in (await ruled.call(agent.access, meta=longest, version=version)).json()


@pytest.mark.parametrize("version", [MODERN, LEGACY])
async def test_a_list_shows_what_could_be_used_for_what_it_declares(
    ruled: World, agent: Tokens, version: str
) -> None:
    shown = []
    for said in ({}, {"_meta": meta(purpose="triage")}):
        answer = await ruled.send(agent.access, "tools/list", said, version=version)
        shown.append([each["name"] for each in answer.json()["result"]["tools"]])

    assert shown[0] == []
    assert "get_issue" in shown[1]


async def test_a_stream_is_judged_by_what_its_own_message_declared(
    ruled: World, agent: Tokens
) -> None:
    ruled.gateway._answers.returns._keep_alive_seconds = 0.05
    asked = {"notifications": {"toolsListChanged": True}}
    refused = await ruled.send(agent.access, "subscriptions/listen", asked)
    assert refused.json()["error"]["data"]["reason"] == "policy.undeclared"

    async def play(_seen: Seen, wire: Wire) -> None:
        await wire.begin_stream()
        await wire.gone()

    ruled.upstream.scripts["subscriptions/listen"] = play
    async with line(ruled) as brief, line(ruled) as lasting:
        for each, purpose in ((brief, "morning"), (lasting, "triage")):
            said = asked | {"_meta": meta(purpose=purpose)}
            await each.post(agent.access, "subscriptions/listen", said)
            assert (await each.head())[0] == 200
            assert (await each.chunk()).startswith(b":")
        ruled.clock.advance(timedelta(hours=1))
        while (chunk := await brief.chunk()).startswith(b":"):
            pass
        assert chunk == b""
        for _ in range(3):
            assert (await lasting.chunk()).startswith(b":")
