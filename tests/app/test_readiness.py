"""What `/readyz` says: at once, and looked at once a second however often it is asked."""

from __future__ import annotations

import asyncio

import pytest

from safeconduct.app import readiness
from safeconduct.app.readiness import Readiness


class Looking:
    """Something that can be looked at, and may take its time."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.looks = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def __call__(self) -> dict[str, str]:
        self.looks += 1
        await self.answers.wait()
        return self.found


async def test_many_who_ask_cost_one_look() -> None:
    looking = Looking()
    ready = Readiness(looking)

    assert await asyncio.gather(*(ready() for _ in range(100))) == [{}] * 100
    assert looking.looks == 1


async def test_it_looks_again_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    looking = Looking()
    ready = Readiness(looking)
    assert await ready() == {}
    looking.found = {"audit": "full"}
    assert await ready() == {}

    monkeypatch.setattr(readiness, "_FRESH_SECONDS", 0.0)

    assert await ready() == {"audit": "full"}


async def test_a_database_that_says_nothing_is_no_reason_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking, loop = Looking(), asyncio.get_running_loop()
    looking.answers.clear()
    ready = Readiness(looking)
    began = loop.time()

    assert "database" in await ready()
    assert loop.time() - began < 1.0
    assert "database" in await ready()
    assert looking.looks == 1

    monkeypatch.setattr(readiness, "_FRESH_SECONDS", 0.0)
    looking.answers.set()
    assert await ready() == {}
    assert await ready() == {}
    await ready.close()


async def test_it_stops_looking_when_it_is_closed() -> None:
    looking = Looking()
    looking.answers.clear()
    ready = Readiness(looking)
    asking = asyncio.create_task(ready())
    await asyncio.sleep(0)

    await ready.close()

    with pytest.raises(asyncio.CancelledError):
        await asking
