"""What is written down about a call: which members, in which order, and when."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.audit import AuditUnavailable, Event, SealedArguments, Trail, segments
from safeconduct.core.clock import ManualClock
from safeconduct.core.decision import Decision, MaxItems
from safeconduct.core.model import (
    Caller,
    ClientId,
    HostId,
    Intent,
    Level,
    ServerKey,
    SessionId,
    SubjectId,
)
from safeconduct.hosts import Host, Policies
from safeconduct.policy import ClientFacts
from safeconduct.proxy.calls import Call
from safeconduct.proxy.claims import claim_of
from safeconduct.proxy.entries import Decided, Ended, since
from safeconduct.proxy.eras import Headers, revision_of
from safeconduct.proxy.exchange import Exchange
from safeconduct.proxy.messages import METHODS, read
from safeconduct.proxy.records import Records
from safeconduct.sessions import Session
from safeconduct.telemetry import Metrics
from safeconduct.upstreams import Server
from tests.audit.events import files_limited_to
from tests.fixtures.keys import ROOT_KEY

ACME, TICKETS, AGENT = HostId("acme"), ServerKey("tickets"), ClientId("https://agent.test/c.json")
ALICE, SESSION = SubjectId("p_alice"), SessionId("s_1")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BASIS = b'{"ceiling":"medium","person":{"groups":["a"]}}'


def a_call(arguments: dict[str, Any], *, method: str = "tools/call", agent: str = "cli/1") -> Call:
    body = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": method,
            "params": {"name": "find", "arguments": arguments},
        }
    ).encode()
    headers = Headers([(b"user-agent", agent.encode())] if agent else [])
    return Call(
        exchange=Exchange(
            id="rq_1",
            host=Host(key=ACME, name="Acme", origin="https://acme.test", policies=Policies()),
            server=TICKETS,
            published="/mcp/tickets",
            typed="/mcp/tickets",
            claim=claim_of(headers),
            suggestion="",
            verb="POST",
            headers=headers,
            body=body,
            ip="192.0.2.7",
            began=time.perf_counter(),
        ),
        caller=Caller(host=ACME, subject=ALICE, client=AGENT, session=SESSION, server=TICKETS),
        session=Session(
            host=ACME,
            id=SESSION,
            subject=ALICE,
            client=AGENT,
            server=TICKETS,
            opened_at=NOON,
            used_at=NOON,
            ends_at=NOON,
            idle_seconds=60,
        ),
        client=ClientFacts(id=AGENT, name="Agent", active=True),
        server=Server(
            host=ACME,
            key=TICKETS,
            name="Tickets",
            url="http://tickets.test",
            description="",
            eras=("legacy",),
            tools={},
        ),
        message=read(body, "legacy"),
        row=METHODS[method],
        revision=revision_of(headers),
        upstream_session=None,
    )


def a_decision(**members: Any) -> Decision:
    return Decision(
        **{
            "id": "dec_1",
            "allow": True,
            "reason": "allowed",
            "message": "",
            "bundle": "b" * 64,
            "required_level": Level.LOW,
            "effective_level": Level.MEDIUM,
            "basis": BASIS,
            **members,
        }
    )


class Desk:
    """Records on a trail of their own."""

    def __init__(self, directory: Path, **trails: Any) -> None:
        self.directory = directory
        self.trail = Trail(directory, clock=ManualClock(), root_key=ROOT_KEY, **trails)
        self.trail.open()
        self.arguments = SealedArguments(b"k" * 32)
        self.records = Records(self.trail, Metrics(), self.arguments)

    def lines(self) -> list[list[tuple[str, Any]]]:
        """Return each record's members as they stand in it, without the trail's own."""
        text = "".join(file.path.read_text() for file in segments(self.directory))
        return [json.loads(line, object_pairs_hook=list)[6:-1] for line in text.splitlines()]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "audit")
    yield desk
    desk.trail.close()


def now(coroutine: Any) -> Any:
    """Run what must not wait for anything."""
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    return ended.value.value


@pytest.mark.requirement("L-01", "L-03", "L-12", "L-18")
def test_an_intent_and_its_outcome_have_these_members_in_this_order(desk: Desk) -> None:
    call = a_call({"query": "wheel", "most": 3})
    given = json.dumps({"query": "wheel", "most": 3}).encode()
    decision = a_decision(
        arguments=given, rules=("r1",), obligations=(MaxItems(items="/a", count=2),)
    )
    record = now(desk.records.intent(call, decision))
    desk.records.outcome(call, record, "ok", status=200, sent=12)

    intent, outcome = desk.lines()
    sealed = dict(intent)["sealed_arguments"]
    assert desk.arguments.opened(ACME, sealed) == given
    assert intent == [
        ("kind", "call.intent"),
        ("host", "acme"),
        ("subject", "p_alice"),
        ("client", "https://agent.test/c.json"),
        ("client_name", "Agent"),
        ("session", "s_1"),
        ("server", "tickets"),
        ("method", "tools/call"),
        ("resource_kind", "tool"),
        ("resource", "find"),
        ("arguments", [("query", "string(5)"), ("most", "number")]),
        ("body_sha256", hashlib.sha256(call.message.raw).hexdigest()),
        ("decision", "allow"),
        ("decision_id", "dec_1"),
        ("reason", "allowed"),
        ("rules", ["r1"]),
        ("required_level", "low"),
        ("effective_level", "medium"),
        ("bundle", "b" * 64),
        ("obligations", [[("type", "max_items"), ("items", "/a"), ("count", 2)]]),
        ("facts", [("ceiling", "medium"), ("person", [("groups", ["a"])])]),
        ("sealed_arguments", sealed),
        ("ms", dict(intent)["ms"]),
        ("ip", "192.0.2.7"),
        ("user_agent", "cli/1"),
        ("request_id", "rq_1"),
    ]
    assert outcome == [
        ("kind", "call.outcome"),
        ("host", "acme"),
        ("subject", "p_alice"),
        ("client", "https://agent.test/c.json"),
        ("session", "s_1"),
        ("server", "tickets"),
        ("method", "tools/call"),
        ("resource", "find"),
        ("of", record),
        ("outcome", "ok"),
        ("upstream_status", 200),
        ("bytes_out", 12),
        ("ms", dict(outcome)["ms"]),
        ("request_id", "rq_1"),
    ]
    assert 0 < dict(intent)["ms"] < dict(outcome)["ms"]


@pytest.mark.requirement("L-03")
def test_a_refusal_is_a_record_of_its_own_and_what_is_not_known_is_left_out(desk: Desk) -> None:
    call = a_call({}, agent="")
    message = msgspec.structs.replace(call.message, name="")
    call = msgspec.structs.replace(call, message=message)
    decision = a_decision(allow=False, required_level=None, effective_level=None, basis=b"")
    record = now(desk.records.intent(call, decision))
    desk.records.outcome(call, record, "forbidden")

    denied, outcome = map(dict, desk.lines())
    assert (denied["kind"], denied["decision"]) == ("call.denied", "deny")
    left_out = (
        *("resource", "arguments", "rules", "required_level", "effective_level", "obligations"),
        *("facts", "sealed_arguments", "user_agent"),
    )
    assert not denied.keys() & set(left_out)
    assert (outcome["outcome"], outcome["bytes_out"]) == ("forbidden", 0)
    assert not outcome.keys() & {"resource", "upstream_status"}


@pytest.mark.requirement("Z-45", "L-03")
def test_the_workflow_that_was_declared_stands_beside_the_agent(desk: Desk) -> None:
    call = a_call({})
    for intent in (Intent(purpose="p", workflow="w"), Intent(purpose="p"), None):
        message = msgspec.structs.replace(call.message, intent=intent)
        now(desk.records.intent(msgspec.structs.replace(call, message=message), a_decision()))

    declared, partly, nothing = desk.lines()
    assert declared[4:6] == [("client_name", "Agent"), ("workflow", "w")]
    assert "workflow" not in dict(partly) | dict(nothing)


@given(st.data())
def test_the_small_entries_are_spelled_as_the_event_of_the_same_members(
    data: st.DataObject,
) -> None:
    kind = data.draw(st.sampled_from([Decided, Ended]))
    words = st.none() | st.text(max_size=5)
    members = {name: data.draw(words) for name in kind.__struct_fields__}
    required = kind.__struct_fields__[: -len(kind.__struct_defaults__)]
    members |= {name: str(members[name]) for name in required}

    entry = kind(*members.values())
    assert msgspec.json.encode(entry) == msgspec.json.encode(Event(**members))


def test_what_needs_no_record_has_none_and_no_outcome_either(desk: Desk) -> None:
    call = a_call({}, method="tools/list")

    assert now(desk.records.intent(call, a_decision())) == ""
    desk.records.outcome(call, "", "ok", status=200)
    assert desk.lines() == []


async def test_an_intent_is_in_the_file_at_once_and_its_outcome_by_the_next_turn(
    desk: Desk,
) -> None:
    call = a_call({"query": "wheel"})
    record = now(desk.records.intent(call, a_decision()))
    assert [dict(line)["kind"] for line in desk.lines()] == ["call.intent"]

    desk.records.outcome(call, record, "ok", status=200)
    seen: list[str] = []
    asyncio.get_running_loop().call_soon(
        lambda: seen.extend(dict(line)["kind"] for line in desk.lines())
    )
    await asyncio.sleep(0)
    assert seen == ["call.intent", "call.outcome"]


@pytest.mark.requirement("L-01", "L-12")
@pytest.mark.parametrize(
    ("durability", "level", "waits"),
    [
        ("process", Level.MEDIUM, False),
        ("process", None, False),
        ("process", Level.HIGH, True),
        ("disk", Level.LOW, True),
    ],
)
@pytest.mark.parametrize("kind", ["intent", "resumed"])
async def test_a_decision_waits_for_the_disk_where_that_was_asked_for(
    tmp_path: Path, durability: str, level: Level | None, waits: bool, kind: str
) -> None:
    desk = Desk(tmp_path / "audit", durability=durability)
    deciding = getattr(desk.records, kind)(a_call({}), a_decision(required_level=level))
    if waits:
        deciding.send(None)  # it waits
        deciding.close()
    else:
        assert re.fullmatch("ev_[0-9a-f]{24}", now(deciding))
    desk.trail.close()


@pytest.mark.requirement("Z-37", "L-01")
async def test_an_intent_that_cannot_be_written_is_refused_with_what_waited(desk: Desk) -> None:
    call = a_call({"query": "wheel"})
    record = now(desk.records.intent(call, a_decision()))
    desk.records.outcome(call, record, "ok", status=200)
    with files_limited_to(0), pytest.raises(AuditUnavailable):
        await desk.records.intent(call, a_decision())
    assert desk.trail.available()

    kinds = [(dict(line)["kind"], dict(line).get("detail")) for line in desk.lines()]
    assert kinds == [("call.intent", None), ("audit.recovered", [("refused", 2)])]


def test_milliseconds_are_told_to_the_microsecond() -> None:
    told = since(time.perf_counter() - 1.2345678)

    assert 1234.567 <= told < 1300
    assert told == round(told, 3)
