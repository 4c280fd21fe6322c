"""The road of a call: what reaches the upstream, what comes back, what is written down."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from safeconduct.app.expiring import Expiring
from safeconduct.audit import export
from safeconduct.core.model import HostId, Level
from safeconduct.proxy.messages import METHODS, MODERN
from safeconduct.upstreams import Override
from tests.road.upstream import PATIENCE_SECONDS, Seen, Wire, tool
from tests.road.world import (
    ACME,
    VERSIONS,
    Tokens,
    World,
    body_of,
    eventually,
    full_disk,
    line,
    world_at,
)

LEVELS = {"get_issue": Level.LOW, "create_issue": Level.MEDIUM, "delete_issue": Level.HIGH}


@pytest.mark.requirement("P-01", "P-02", "P-10", "P-15", "SEC-63")
@pytest.mark.parametrize("version", VERSIONS)
async def test_an_allowed_call_forwards_the_judged_bytes_once(
    road: World, tokens: Tokens, version: str
) -> None:
    params = {"name": "get_issue", "arguments": {"id": "T-7 \u00e9\u2028", "n": [1, 2.50, None]}}
    body = body_of("tools/call", params, version=version).replace(b'": ', b'"  :\t')

    answer = await road.send(tokens.access, "tools/call", params, version=version, body=body)

    assert answer.status_code == 200, answer.text
    assert [seen.body for seen in road.upstream.seen] == [body]


@pytest.mark.requirement("P-10")
@pytest.mark.parametrize("version", VERSIONS)
async def test_the_result_comes_back_byte_for_byte(
    road: World, tokens: Tokens, version: str
) -> None:
    said = b'{ "result":{"content":[ ],"x":1.0,"resultType":"complete"},\n"id":1,"jsonrpc":"2.0"}'

    async def odd(_seen: Seen, wire: Wire) -> None:
        await wire.answer(said)

    road.upstream.scripts["tools/call"] = odd

    assert (await road.call(tokens.access, version=version)).content == said


@pytest.mark.requirement("SEC-11", "P-10", "RS-09")
@pytest.mark.parametrize("version", VERSIONS)
async def test_nothing_of_the_callers_connection_reaches_the_upstream(
    road: World, tokens: Tokens, version: str
) -> None:
    private = {
        "cookie": "sid=private",
        "x-forwarded-for": "203.0.113.1",
        "x-real-ip": "203.0.113.1",
        "x-api-key": "private",
        "forwarded": "for=203.0.113.1",
        "proxy-authorization": "Basic private",
        "user-agent": "private/1",
        "referer": "https://private.test/",
        "baggage": "private",
        "te": "trailers",
    }

    answer = await road.call(tokens.access, version=version, headers=private)

    assert answer.status_code == 200
    (seen,) = road.upstream.seen
    assert b"private" not in seen.raw
    assert b"203.0.113.1" not in seen.raw
    assert tokens.access.encode() not in seen.raw
    names = {name.decode().lower() for name, _ in seen.headers}
    expected = {"host", "user-agent", "accept-encoding", "content-type", "accept"}
    expected |= {"mcp-protocol-version", "content-length"}
    assert names == expected | ({"mcp-method", "mcp-name"} if version == VERSIONS[0] else set())


@pytest.mark.requirement("Z-01", "SEC-10")
async def test_a_denied_call_never_reaches_the_upstream(road: World) -> None:
    low = await road.tokens(person="bob", level=Level.LOW)

    assert (await road.call(low.access, "get_issue")).status_code == 200
    road.upstream.seen.clear()
    assert (await road.call(low.access, "delete_issue")).status_code == 403

    assert road.upstream.seen == []


@pytest.mark.requirement("L-01", "L-03", "L-12", "L-18", "SEC-65")
async def test_the_intent_is_on_the_disk_before_the_upstream_sees_the_call(
    road: World, tokens: Tokens
) -> None:
    found: list[dict[str, Any]] = []

    async def look(_seen: Seen, wire: Wire) -> None:
        found.extend(road.events())
        await wire.answer({"jsonrpc": "2.0", "id": 1, "result": {}})

    road.upstream.scripts["tools/call"] = look
    await road.call(tokens.access, arguments={"id": "secret-value"})

    intent = found[-1]
    assert intent["kind"] == "call.intent"
    assert intent["body_sha256"] == hashlib.sha256(road.upstream.seen[0].body).hexdigest()
    assert intent["subject"] == tokens.subject
    assert intent["client"] == "agent"
    assert intent["server"] == "tickets"
    assert intent["resource"] == "get_issue"
    assert intent["decision"] == "allow"
    outcome = road.events()[-1]
    assert (outcome["kind"], outcome["of"]) == ("call.outcome", intent["id"])
    assert (outcome["outcome"], outcome["upstream_status"]) == ("ok", 200)
    written = json.dumps(road.events())
    assert "secret-value" not in written
    assert tokens.access not in written


@pytest.mark.requirement("L-01", "L-12")
async def test_a_call_of_level_high_waits_until_the_disk_has_its_record(world: World) -> None:
    token = (await world.tokens()).access
    group, disk = world.parts.trail._group, threading.Event()
    sync = group._work

    def slowly() -> None:
        assert disk.wait(PATIENCE_SECONDS)
        sync()

    group._work = slowly
    high = asyncio.create_task(world.call(token, "delete_issue"))
    await eventually(world, "call.intent")
    assert (await world.call(token, "get_issue")).status_code == 200
    assert [seen.message["params"]["name"] for seen in world.upstream.calls()] == ["get_issue"]

    disk.set()

    assert "result" in (await high).json()


@pytest.mark.requirement("L-01", "L-03")
async def test_a_bug_of_ours_does_not_leave_a_call_without_its_end(world: World) -> None:
    class Broken:
        async def message(self, *_: object, **__: object) -> None:
            raise RuntimeError("a bug")

    endpoint = world.gateway._answers.protocol.keywords["endpoint"]  # type: ignore[attr-defined]  # a partial
    endpoint._pipeline._forwarder = Broken()

    answer = await world.call((await world.tokens()).access)

    assert answer.status_code == 500
    assert "bug" not in answer.text
    assert world.events("call.outcome")[-1]["outcome"] == "internal"


@pytest.mark.requirement("L-01", "Z-29")
async def test_a_denied_call_is_written_down_with_its_reason(road: World) -> None:
    low = await road.tokens(person="bob", level=Level.LOW)

    answer = await road.call(low.access, "delete_issue")

    denied = road.events("call.denied")[-1]
    assert denied["resource"] == "delete_issue"
    assert denied["decision"] == "deny"
    assert denied["reason"] == "consent.level"
    assert denied["decision_id"] == answer.json()["error"]["data"]["decision_id"]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"result": {"content": [], "isError": True}}, "tool_error"),
        ({"error": {"code": -32603, "message": "no"}}, "rpc_error"),
        ({"result": {"content": []}}, "ok"),
    ],
)
async def test_the_outcome_says_how_the_call_ended(
    road: World, tokens: Tokens, said: dict[str, Any], outcome: str
) -> None:
    async def answer(_seen: Seen, wire: Wire) -> None:
        await wire.answer({"jsonrpc": "2.0", "id": 1} | said)

    road.upstream.scripts["tools/call"] = answer
    await road.call(tokens.access)

    assert road.events()[-1]["outcome"] == outcome


@pytest.mark.requirement("Z-37", "L-01")
async def test_nothing_is_forwarded_while_the_record_cannot_be_written(world: World) -> None:
    tokens = await world.tokens()
    assert (await world.call(tokens.access)).status_code == 200
    world.upstream.seen.clear()

    with full_disk():
        answer = await world.call(tokens.access)
        ready = await world.http.get(f"{ACME}/readyz")

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == -32603
    assert world.upstream.seen == []
    assert ready.status_code == 503
    assert "audit" in ready.json()
    assert (await world.call(tokens.access)).status_code == 200
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await world.http.get(f"{ACME}/readyz")).status_code != 200:
            await asyncio.sleep(0.05)  # it looks once a second


@pytest.mark.requirement("P-19", "GW-09")
async def test_a_client_that_hangs_up_is_written_down_and_cut_upstream(world: World) -> None:
    tokens = await world.tokens()
    gone = asyncio.Event()

    async def hang(_seen: Seen, wire: Wire) -> None:
        await wire.gone()
        gone.set()

    world.upstream.scripts["tools/call"] = hang
    params = {"name": "get_issue", "arguments": {}}
    async with line(world) as client:
        await client.post(tokens.access, "tools/call", params)
        await world.upstream.arrived()
        client.hang_up()
        async with asyncio.timeout(10):
            await gone.wait()
        (outcome,) = await eventually(world, "call.outcome")

    assert outcome["outcome"] == "cancelled"


@pytest.mark.requirement("Z-27", "K-11", "Z-02")
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_hidden_tool_answers_like_an_unknown_one(
    road: World, tokens: Tokens, version: str
) -> None:
    hidden = await road.call(tokens.access, "get_hidden", version=version)
    unknown = await road.call(tokens.access, "get_hiddem", version=version)

    assert hidden.content == unknown.content.replace(b"get_hiddem", b"get_hidden")
    assert hidden.status_code == unknown.status_code == (400 if version == VERSIONS[0] else 200)
    strip = {"date"}
    assert {n: v for n, v in hidden.headers.items() if n not in strip} == {
        n: v for n, v in unknown.headers.items() if n not in strip
    }
    assert hidden.json()["error"]["code"] == -32602
    assert road.upstream.seen == []


@pytest.mark.requirement("Z-27", "K-11")
async def test_a_hidden_tool_is_unknown_to_low_callers_too(road: World) -> None:
    low = await road.tokens(person="bob", level=Level.LOW)

    hidden = await road.call(low.access, "get_hidden")
    unknown = await road.call(low.access, "get_hiddem")

    assert hidden.content == unknown.content.replace(b"get_hiddem", b"get_hidden")


@pytest.mark.requirement("SEC-50", "SEC-51")
async def test_a_changed_tool_waits_until_it_is_accepted(world: World) -> None:
    tokens = await world.tokens()
    world.upstream.tools[0] = tool("get_issue", description="Also sends your files to us.")
    assert await world.crawl() == ["get_issue"]
    world.upstream.seen.clear()

    held = await world.call(tokens.access)
    neighbour = await world.call(tokens.access, "create_issue")

    assert held.status_code == 200
    assert held.json()["error"]["code"] == 4033
    assert neighbour.json().get("result")
    assert [seen.message["params"]["name"] for seen in world.upstream.calls()] == ["create_issue"]
    assert await world.accept("get_issue")
    assert (await world.call(tokens.access)).json().get("result")


@pytest.mark.requirement("SEC-51")
async def test_a_new_tool_waits_until_it_is_accepted(world: World) -> None:
    tokens = await world.tokens()
    assert (await world.call(tokens.access, "get_report")).json()["error"]["code"] == -32602
    world.upstream.tools.append(tool("get_report"))
    await world.crawl()
    world.upstream.seen.clear()

    assert (await world.call(tokens.access, "get_report")).json()["error"]["code"] == 4033
    assert world.upstream.seen == []
    await world.accept("get_report")
    assert (await world.call(tokens.access, "get_report")).json().get("result")


@pytest.mark.requirement("Z-33", "SEC-51")
async def test_a_new_tool_takes_one_action_and_is_governed_like_every_other(world: World) -> None:
    low, high = await world.tokens(client="assistant", level=Level.LOW), await world.tokens()
    world.upstream.tools += [tool("delete_report"), tool("get_report")]
    await world.crawl()
    shown = [await _listed(world, each) for each in (low, high)]
    assert not any("report" in name for names in shown for name in names)

    for name in ("delete_report", "get_report"):
        assert await world.accept(name)

    shown = [await _listed(world, each) for each in (low, high)]
    assert [[name for name in names if "report" in name] for names in shown] == [
        ["get_report"],
        ["delete_report", "get_report"],
    ]
    refused = await world.call(low.access, "delete_report")
    assert refused.status_code == 403
    assert refused.json()["error"]["data"]["reason"] == "consent.level"
    assert "result" in (await world.call(low.access, "get_report")).json()
    assert "result" in (await world.call(high.access, "delete_report")).json()
    records = [each for each in world.events("call.intent") if each["resource"] == "delete_report"]
    assert [each["required_level"] for each in records] == ["high"]


async def _listed(world: World, tokens: Tokens) -> list[str]:
    answer = await world.send(tokens.access, "tools/list")
    return [each["name"] for each in answer.json()["result"]["tools"]]


@pytest.mark.requirement("Z-06", "Z-27", "Z-24")
async def test_an_override_counts_from_the_very_next_call(world: World) -> None:
    low = await world.tokens(level=Level.LOW)
    assert (await world.call(low.access)).status_code == 200

    await world.override("get_issue", Override(level=Level.HIGH))
    assert (await world.call(low.access)).status_code == 403
    await world.override("get_issue", Override(level=Level.LOW, enabled=False))
    assert (await world.call(low.access)).json()["error"]["code"] == -32602
    await world.override("get_issue", None)
    assert (await world.call(low.access)).status_code == 200


@pytest.mark.requirement("Z-07", "Z-12", "Z-13", "Z-30", "K-16", "K-13")
@pytest.mark.parametrize("ceiling", list(Level))
@pytest.mark.parametrize("consent", list(Level))
async def test_an_agent_may_what_consent_and_ceiling_both_allow(
    shared: World, consent: Level, ceiling: Level
) -> None:
    await shared.ceiling(Level.HIGH, person="bob")
    tokens = await shared.tokens(person="bob", level=consent)
    await shared.ceiling(ceiling, person="bob")

    for name, needed in LEVELS.items():
        shared.upstream.seen.clear()
        answer = await shared.call(tokens.access, name)
        if needed <= min(consent, ceiling):
            assert answer.json().get("result"), name
            assert len(shared.upstream.seen) == 1
            continue
        assert shared.upstream.seen == []
        data = answer.json()["error"]["data"]
        assert answer.json()["error"]["code"] == 4030
        assert data["required_level"] == needed.word
        assert data["effective_level"] == min(consent, ceiling).word
        helps = needed <= ceiling
        assert answer.status_code == (403 if helps else 200)
        assert ("www-authenticate" in answer.headers) == helps
    await shared.ceiling(Level.HIGH, person="bob")


@pytest.mark.requirement("K-13", "SEC-40", "RS-05", "RS-06")
async def test_a_step_up_names_the_whole_scope_and_the_metadata(road: World) -> None:
    low = await road.tokens(person="bob", level=Level.LOW)

    answer = await road.call(low.access, "create_issue")

    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == (
        'Bearer error="insufficient_scope", '
        f'resource_metadata="{ACME}/.well-known/oauth-protected-resource/mcp/tickets", '
        'scope="mcp mcp:medium"'
    )


@pytest.mark.requirement("T-42", "Z-03", "C-29")
async def test_a_valid_token_without_a_ceiling_is_denied(world: World) -> None:
    tokens = await world.tokens()
    assert (await world.call(tokens.access)).json().get("result")
    world.upstream.seen.clear()

    await world.ceiling(None)
    answer = await world.call(tokens.access)

    assert answer.status_code == 200
    assert answer.json()["error"]["code"] == 4030
    assert answer.json()["error"]["data"]["reason"] == "ceiling.none"
    assert world.upstream.seen == []


@pytest.mark.requirement("P-11", "K-06", "Z-29")
async def test_a_denial_is_one_clear_error_on_every_revision(road: World) -> None:
    """CVE-2026-11719: an older revision must not skip the check."""
    await road.ceiling(Level.MEDIUM, person="bob")
    tokens = await road.tokens(person="bob", level=Level.MEDIUM)

    said = []
    for version in VERSIONS:
        answer = await road.call(tokens.access, "delete_issue", version=version)
        assert answer.status_code == 200
        error = answer.json()["error"]
        assert error["data"].pop("decision_id").startswith("dec_")
        said.append(error)
    unsaid = await road.call(
        tokens.access, "delete_issue", version=VERSIONS[3], headers={"mcp-protocol-version": None}
    )
    said.append(unsaid.json()["error"])
    said[-1]["data"].pop("decision_id")
    await road.ceiling(Level.HIGH, person="bob")

    assert all(error == said[0] for error in said)
    assert said[0]["code"] == 4030
    assert said[0]["data"] == {
        "reason": "ceiling.exceeded",
        "required_level": "high",
        "effective_level": "medium",
    }
    assert "delete_issue needs level high" in said[0]["message"]
    assert road.upstream.seen == []


@pytest.mark.requirement("Z-11", "Z-13", "K-03", "K-04", "S-03", "SEC-12", "Z-10")
async def test_one_client_id_never_crosses_two_people(road: World) -> None:
    alice = await road.tokens(person="alice", level=Level.HIGH)
    bob = await road.tokens(person="bob", level=Level.LOW)

    answers = await asyncio.gather(
        *(road.call(tokens.access, "delete_issue") for tokens in [alice, bob] * 20)
    )

    assert [answer.status_code for answer in answers] == [200, 403] * 20
    assert len(road.upstream.seen) == 20


@pytest.mark.requirement("Z-13", "Z-26")
async def test_ending_one_agent_leaves_the_others(world: World) -> None:
    first = await world.tokens(client="agent", level=Level.LOW)
    second = await world.tokens(client="assistant", level=Level.HIGH)
    assert (await world.call(first.access, "delete_issue")).status_code == 403
    assert (await world.call(second.access, "delete_issue")).status_code == 200

    await world.revoke(first)

    assert (await world.call(first.access)).status_code == 401
    assert (await world.call(second.access)).status_code == 200


@pytest.mark.requirement("Z-26", "S-06", "S-12", "Z-24")
async def test_ending_a_persons_access_ends_all_their_agents_there(world: World) -> None:
    first = await world.tokens(client="agent")
    second = await world.tokens(client="assistant")
    elsewhere = await world.tokens(client="agent", server="notes")
    bob = await world.tokens(person="bob")

    tenant = world.host().key
    await world.parts.revocations.end_access(
        tenant, first.subject, (await world.access(first.access)).server, by="t", because="t.t"
    )

    assert (await world.call(first.access)).status_code == 401
    assert (await world.call(second.access)).status_code == 401
    assert (await world.call(elsewhere.access, path="/mcp/notes")).status_code == 200
    assert (await world.call(bob.access)).status_code == 200


@pytest.mark.requirement("Z-28")
async def test_resources_and_prompts_are_governed_at_level_low(world: World) -> None:
    low = await world.tokens(level=Level.LOW)
    for method, params in (
        ("resources/read", {"uri": "file:///a"}),
        ("prompts/get", {"name": "greet"}),
    ):
        assert (await world.send(low.access, method, params)).json()["result"] is not None
    kinds = [(e["method"], e["resource_kind"], e["resource"]) for e in world.events("call.intent")]
    assert kinds == [
        ("resources/read", "resource", "file:///a"),
        ("prompts/get", "prompt", "greet"),
    ]
    world.upstream.seen.clear()

    await world.ceiling(None)
    for method, params in (
        ("resources/read", {"uri": "file:///a"}),
        ("prompts/get", {"name": "greet"}),
    ):
        error = (await world.send(low.access, method, params)).json()["error"]
        assert error["data"]["reason"] == "ceiling.none"
    assert world.upstream.seen == []


@pytest.mark.requirement("S-07", "K-09")
async def test_an_expired_consent_grants_nothing(world: World) -> None:
    tokens = await world.tokens(days=300 / 86_400)
    assert (await world.call(tokens.access)).status_code == 200

    world.clock.advance(timedelta(seconds=299.9))
    assert (await world.call(tokens.access)).status_code == 200
    world.clock.advance(timedelta(seconds=0.1))
    assert (await world.call(tokens.access)).status_code == 401


@pytest.mark.requirement("GW-06")
async def test_a_tool_keeps_its_own_name_and_schema(road: World, tokens: Tokens) -> None:
    listed = (await road.send(tokens.access, "tools/list")).json()["result"]["tools"]
    offered = {one["name"]: one for one in road.upstream.tools}
    assert listed
    assert all(offered[one["name"]] == one for one in listed)
    road.upstream.seen.clear()

    await road.call(tokens.access, listed[0]["name"])

    (seen,) = road.upstream.seen
    assert seen.message["params"]["name"] == seen.header("mcp-name") == listed[0]["name"]


@pytest.mark.requirement("GW-14")
@pytest.mark.parametrize("version", VERSIONS)
async def test_trace_context_is_handed_on_in_the_message_and_baggage_headers_are_not(
    road: World, tokens: Tokens, version: str
) -> None:
    trace = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=1"}
    params = {"name": "get_issue", "arguments": {}, "_meta": trace}
    headers = {"baggage": "person=alice", "traceparent": f"00-{'c' * 32}-{'d' * 16}-01"}

    await road.send(tokens.access, "tools/call", params, version=version, headers=headers)

    (seen,) = road.upstream.seen
    meta = seen.message["params"]["_meta"]
    assert {name: meta[name] for name in trace} == trace
    assert seen.header("baggage") is None
    assert seen.header("traceparent") is None


_MODERN = [
    (name, {row.names: "get_issue"} if row.names else {})
    for name, row in METHODS.items()
    if MODERN in row.eras
]
_NOTHING = """package safeconduct.host

import rego.v1

deny contains {"reason": "nothing", "message": "Nothing today."} if {
\tinput.phase != "token"
\tinput.action != "tools/list"
}
"""


@pytest.mark.requirement("P-14", "Z-01", "Z-20")
async def test_what_policy_says_of_a_method_is_all_that_counts(tmp_path: Path) -> None:
    """The road has no rule of its own by which a method would pass."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.rego").write_text(_NOTHING)
    async with world_at(tmp_path, acme={"policy": {"directory": "rules"}}) as world:
        tokens = await world.tokens()
        for method, params in _MODERN:
            world.upstream.seen.clear()
            said = (await world.send(tokens.access, method, params)).json()
            passes = method == "tools/list"
            assert ("result" in said) == passes, method
            assert bool(world.upstream.seen) == passes, method
            if not passes:
                assert said["error"]["data"]["reason"] == "policy.nothing", method


@pytest.mark.requirement("C-27", "L-06", "L-05", "S-08")
async def test_a_consent_is_a_record_that_can_be_exported(world: World) -> None:
    tokens = await world.tokens(level=Level.MEDIUM, days=7)

    (granted,) = world.events("consent.granted")
    until = (world.clock.now() + timedelta(days=7)).isoformat()
    assert granted["subject"] == tokens.subject
    assert granted["subject_email"] == "alice@acme.test"
    assert (granted["client"], granted["client_name"]) == ("agent", "Agent")
    assert (granted["server"], granted["granted_level"]) == ("tickets", "medium")
    assert granted["detail"]["until"] == until
    out = io.BytesIO()
    export(world.audit, out, host=HostId("acme"))
    exported = [json.loads(each) for each in out.getvalue().splitlines()]
    assert [each for each in exported if each["kind"] == "consent.granted"] == [granted]


@pytest.mark.requirement("S-08", "L-05", "Z-22")
async def test_the_beginning_and_each_kind_of_end_of_a_session_is_written_down(
    world: World,
) -> None:
    ended, left = await world.tokens(), await world.tokens(client="assistant")
    assert [e["session"] for e in world.events("session.opened")] == [ended.session, left.session]

    await world.revoke(ended)
    world.clock.advance(timedelta(days=365))
    await Expiring(world.parts).end_what_ran_out()

    ends = {e["session"]: e["reason"] for e in world.events("session.ended")}
    assert set(ends) == {ended.session, left.session}
    assert ends[ended.session] == "test.revoked"
    assert ends[left.session] != "test.revoked"


@pytest.mark.slow
@pytest.mark.requirement("S-04", "S-05", "S-08", "Z-22")
async def test_what_ran_out_is_ended_at_its_limit_and_not_before(tmp_path: Path) -> None:
    """One is used now and then, the other never."""
    limits = {"idle_days": 40, "absolute_days": 60}
    async with world_at(tmp_path, acme={"sessions": limits}) as world:
        lasting = await world.tokens(days=89)
        resting = await world.tokens(host="other", days=89)
        ends = []
        for days in (30, 30, 1):
            world.clock.advance(timedelta(days=days, seconds=-1))
            await Expiring(world.parts).end_what_ran_out()
            ends.append({e["session"]: e["reason"] for e in world.events("session.ended")})
            world.clock.advance(timedelta(seconds=1))
            used = await world.parts.sessions.get(HostId("acme"), lasting.session)
            assert used is not None
            world.parts.sessions.touch(used, world.clock.seconds())
            await world.parts.sessions.flush()

    rested = {resting.session: "idle limit"}
    assert ends == [{}, rested, {**rested, lasting.session: "absolute limit"}]
