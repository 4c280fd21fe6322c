"""Work beside the loop: done in a thread, and to each person no more than their share of time."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId, SubjectId
from safeconduct.proxy.background import BURST_SECONDS, SHARE, Background

ALICE = (HostId("acme"), SubjectId("alice"))
BOB = (HostId("acme"), SubjectId("bob"))
ALICE_ELSEWHERE = (HostId("other"), SubjectId("alice"))


class Hand:
    """A clock moved by hand: whoever sleeps moves it, and is remembered."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def background(hand: Hand) -> Background:
    return Background(monotonic=lambda: hand.now, sleep=hand.sleep)


def work(seconds: float) -> float:
    """Use the processor for so long."""
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass
    return seconds


async def test_work_is_done_in_another_thread_and_its_errors_are_raised_here() -> None:
    here, doing = threading.get_ident(), background(Hand())

    assert await doing.run(ALICE, threading.get_ident) != here
    with pytest.raises(ZeroDivisionError):
        await doing.run(ALICE, divmod, 1, 0)


async def test_a_burst_is_done_at_once_and_more_has_to_be_paid_off_first() -> None:
    hand = Hand()
    doing = background(hand)

    await doing.run(ALICE, work, BURST_SECONDS / 2)
    await doing.run(ALICE, work, BURST_SECONDS)
    assert hand.slept == []
    await doing.run(ALICE, work, 0)

    assert sum(hand.slept) == pytest.approx(BURST_SECONDS / 2 / SHARE, rel=0.3)


async def test_nobody_else_waits_for_what_one_person_has_done() -> None:
    hand = Hand()
    doing = background(hand)
    await doing.run(ALICE, work, 3 * BURST_SECONDS)

    for other in (BOB, ALICE_ELSEWHERE):
        doing.check_room(other)
        await doing.run(other, work, 0)
    assert hand.slept == []
    await doing.run(ALICE, work, 0)
    assert hand.slept != []


@pytest.mark.slow
async def test_who_would_wait_too_long_is_told_when_to_come_again() -> None:
    hand = Hand()
    doing = background(hand)
    await doing.run(ALICE, work, BURST_SECONDS + 31 * SHARE)

    with pytest.raises(Refused, match=r"Try again in 3[0-9] seconds") as refused:
        doing.check_room(ALICE)

    assert refused.value.code is Code.THROTTLED
    hand.now += 60
    doing.check_room(ALICE)


async def test_of_one_person_one_thing_is_done_at_a_time_and_only_a_few_wait() -> None:
    doing, under_way, most = background(Hand()), 0, 0

    def count() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        work(0.002)
        under_way -= 1

    waiting = [asyncio.ensure_future(doing.run(ALICE, count)) for _ in range(16)]
    await asyncio.sleep(0)

    with pytest.raises(Refused, match="one person"):
        doing.check_room(ALICE)
    doing.check_room(BOB)
    await asyncio.gather(*waiting)
    doing.check_room(ALICE)
    assert most == 1
    assert doing._queues == {}


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    doing = background(Hand())
    waiting = [asyncio.ensure_future(doing.run(ALICE, work, 0.01)) for _ in range(4)]
    await asyncio.sleep(0)

    for each in waiting[1:]:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert doing._queues == {}
    assert await doing.run(ALICE, work, 0) == 0
