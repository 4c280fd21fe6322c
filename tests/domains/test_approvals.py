"""Approvals: one exact call, decided once, used once, by nobody else, and not a moment late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from safeconduct import approvals
from safeconduct.approvals import Approval, ApprovalQueue
from safeconduct.audit import AuditUnavailable, Trail
from safeconduct.core.clock import ManualClock
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import ClientId, HostId, Level, ServerKey, SessionId, SubjectId
from safeconduct.storage import Database, Feed
from tests.fixtures.keys import ROOT_KEY

ACME, GLOBEX = HostId("acme"), HostId("globex")
WINDOW = timedelta(minutes=5)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def trail(tmp_path: Path, clock: ManualClock) -> Iterator[Trail]:
    trail = Trail(tmp_path / "audit", clock=clock, root_key=ROOT_KEY)
    trail.open()
    yield trail
    trail.close()


@pytest.fixture
def queue(database: Database, feed: Feed, trail: Trail, clock: ManualClock) -> ApprovalQueue:
    return ApprovalQueue(database, feed, trail=trail, clock=clock)


def wanted(clock: ManualClock, approval: str = "apr_1", /, **more: Any) -> Approval:
    return replace(
        Approval(
            host=ACME,
            id=approval,
            subject=SubjectId("p_alice"),
            client=ClientId("cursor"),
            session=SessionId("s_1"),
            server=ServerKey("tickets"),
            method="tools/call",
            name="delete_issue",
            level=Level.HIGH,
            role="approver",
            arguments={"id": "string(3)"},
            fingerprint="f" * 64,
            decision_id="dec_1",
            asked_at=clock.now(),
            expires_at=clock.now() + WINDOW,
        ),
        **more,
    )


async def decide(queue: ApprovalQueue, name: str = "apr_1", *, approve: bool = True) -> bool:
    return await queue.decide(ACME, name, approve=approve, by="root", reason="because")


def records(tmp_path: Path) -> list[dict[str, Any]]:
    (segment,) = (tmp_path / "audit").glob("*.jsonl")
    return [json.loads(line) for line in segment.read_bytes().splitlines()]


@pytest.mark.requirement("H-12")
async def test_a_yes_is_used_once_by_whoever_is_first(
    queue: ApprovalQueue, clock: ManualClock
) -> None:
    asked = await queue.ask(wanted(clock))
    assert not await queue.use(asked)
    assert await decide(queue)

    used = await asyncio.gather(*(queue.use(asked) for _ in range(8)))

    assert sorted(used) == [False] * 7 + [True]


@pytest.mark.requirement("H-12")
async def test_a_request_is_decided_once(queue: ApprovalQueue, clock: ManualClock) -> None:
    await queue.ask(wanted(clock))

    done = await asyncio.gather(*(decide(queue, approve=bool(each % 2)) for each in range(8)))

    assert sorted(done) == [False] * 7 + [True]
    found = await queue.get(ACME, "apr_1")
    assert found is not None
    assert found.state in {"approved", "refused"}
    assert (found.decided_by, found.decided_at, found.reason) == ("root", clock.now(), "because")


@pytest.mark.requirement("H-12")
async def test_two_nodes_cannot_both_use_a_yes(
    queue: ApprovalQueue, database: Database, clock: ManualClock, trail: Trail, feed: Feed
) -> None:
    """The second has a connection, and a view of things, of its own."""
    asked = await queue.ask(wanted(clock))
    await decide(queue)
    url = database.engine.url.render_as_string(hide_password=False)
    other = Database(url, feed=feed, clock=clock)
    theirs = ApprovalQueue(other, feed, trail=trail, clock=clock)

    used = await asyncio.gather(queue.use(asked), theirs.use(asked))
    await other.close()

    assert sorted(used) == [False, True]


@pytest.mark.requirement("H-07")
@pytest.mark.parametrize(("after", "open_still"), [(WINDOW - MICROSECOND, True), (WINDOW, False)])
async def test_a_window_closes_to_the_microsecond(
    queue: ApprovalQueue, clock: ManualClock, after: timedelta, open_still: bool
) -> None:
    given = await queue.ask(wanted(clock))
    await queue.ask(wanted(clock, "apr_2", fingerprint="e" * 64))
    await decide(queue)
    clock.advance(after)

    assert await decide(queue, "apr_2") is open_still
    again = await queue.ask(wanted(clock, "apr_3"))
    assert again.id == ("apr_1" if open_still else "apr_3")
    assert await queue.use(given) is open_still


@pytest.mark.requirement("H-12", "K-03", "X-01")
@pytest.mark.parametrize(
    "other",
    [
        {"host": GLOBEX},
        {"subject": SubjectId("p_bob")},
        {"client": ClientId("claude")},
        {"server": ServerKey("chat")},
        {"method": "resources/read"},
        {"name": "delete_issues"},
        {"fingerprint": "f" * 63 + "e"},
        {"role": "admin"},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_a_yes_to_one_call_is_none_to_its_neighbour(
    queue: ApprovalQueue, clock: ManualClock, other: dict[str, Any]
) -> None:
    await queue.ask(wanted(clock))
    await decide(queue)

    neighbour = await queue.ask(wanted(clock, "apr_2", **other))

    assert (neighbour.id, neighbour.state) == ("apr_2", "pending")
    assert not await queue.use(neighbour)
    assert (await queue.ask(wanted(clock, "apr_3", session=SessionId("s_2")))).id == "apr_1"


async def test_an_unused_yes_comes_first_then_what_waits_then_a_no(
    queue: ApprovalQueue, clock: ManualClock
) -> None:
    await queue.ask(wanted(clock))
    assert (await queue.ask(wanted(clock, "apr_2"))).id == "apr_1"  # it waits: one is enough
    await decide(queue, approve=False)
    assert (await queue.ask(wanted(clock, "apr_3"))).state == "refused"  # as long as its window
    clock.advance(WINDOW)
    assert (await queue.ask(wanted(clock, "apr_4"))).id == "apr_4"
    await decide(queue, "apr_4")
    given = await queue.ask(wanted(clock, "apr_5"))
    assert (given.id, given.state) == ("apr_4", "approved")
    await queue.use(given)
    assert (await queue.ask(wanted(clock, "apr_6"))).id == "apr_6"


async def test_so_many_wait_for_a_session_and_no_more(
    queue: ApprovalQueue, clock: ManualClock
) -> None:
    for number in range(10):
        await queue.ask(wanted(clock, f"apr_{number}", fingerprint=str(number)))

    with pytest.raises(Refused) as refused:
        await queue.ask(wanted(clock, "apr_11", fingerprint="11"))
    assert refused.value.code is Code.THROTTLED
    assert (await queue.ask(wanted(clock, "apr_12", fingerprint="0"))).id == "apr_0"
    await queue.ask(wanted(clock, "apr_13", fingerprint="13", session=SessionId("s_2")))
    await decide(queue, "apr_0", approve=False)
    await queue.ask(wanted(clock, "apr_14", fingerprint="14"))


@pytest.mark.requirement("H-07", "H-10")
async def test_what_nobody_decided_in_time_has_expired(
    queue: ApprovalQueue, database: Database, clock: ManualClock
) -> None:
    await queue.ask(wanted(clock))
    await queue.ask(wanted(clock, "apr_2", fingerprint="2", expires_at=clock.now() + 2 * WINDOW))
    clock.advance(WINDOW - MICROSECOND)
    assert await queue.expire() == 0
    clock.advance(MICROSECOND)

    with queue.news(ACME, "apr_1") as news, queue.news(ACME, "apr_2") as other:
        assert await queue.expire() == 1
        assert news.is_set()
        assert not other.is_set()

    async with database.read() as tx:
        assert [each.id for each in await approvals.waiting(tx, ACME, at=clock.now())] == ["apr_2"]
        states = {each.id: each.state for each in await approvals.every(tx, ACME)}
        assert await approvals.every(tx, GLOBEX) == []
    assert states == {"apr_1": "expired", "apr_2": "pending"}
    assert not await decide(queue)
    await queue.forget(before=clock.now() + MICROSECOND)
    assert await queue.get(ACME, "apr_1") is None
    assert await queue.get(ACME, "apr_2") is not None


@pytest.mark.requirement("X-01")
async def test_nobody_decides_for_another_host(queue: ApprovalQueue, clock: ManualClock) -> None:
    await queue.ask(wanted(clock))

    assert not await queue.decide(GLOBEX, "apr_1", approve=True, by="root", reason=None)
    assert await queue.get(GLOBEX, "apr_1") is None
    found = await queue.get(ACME, "apr_1")
    assert found == wanted(clock)


@pytest.mark.requirement("H-10")
async def test_each_step_is_on_record_without_a_value(
    queue: ApprovalQueue, clock: ManualClock, tmp_path: Path
) -> None:
    asked = await queue.ask(wanted(clock))
    await decide(queue)
    await queue.use(asked)
    other = await queue.ask(wanted(clock, "apr_2"))
    await queue.cancel(other, because="session.ended")

    found = records(tmp_path)

    assert [each["kind"] for each in found] == [
        *("approval.asked", "approval.approved", "approval.used"),
        *("approval.asked", "approval.cancelled"),
    ]
    said = found[1]
    assert (said["approval"], said["subject"], said["client"]) == ("apr_1", "p_alice", "cursor")
    assert (said["server"], said["resource"], said["decision_id"]) == (
        *("tickets", "delete_issue", "dec_1"),
    )
    assert (said["detail"]["by"], said["reason"]) == ("root", "because")
    assert said["arguments"] == {"id": "string(3)"}


@pytest.mark.requirement("H-12")
async def test_what_cannot_be_recorded_does_not_happen(
    queue: ApprovalQueue, clock: ManualClock, trail: Trail
) -> None:
    asked = await queue.ask(wanted(clock))
    await decide(queue)
    trail.close()

    with pytest.raises(AuditUnavailable):
        await queue.use(asked)
    with pytest.raises(AuditUnavailable):
        await queue.ask(wanted(clock, "apr_2", fingerprint="2"))

    found = await queue.get(ACME, "apr_1")
    assert found is not None
    assert found.state == "approved"
    assert await queue.get(ACME, "apr_2") is None
