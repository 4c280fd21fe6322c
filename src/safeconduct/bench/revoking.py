"""How fast is taken away on two nodes: the same token, allowed, one row changes, denied.

Two gateways on one PostgreSQL. A person is suspended as a command would do it, beside the first
node, while an agent calls the second without a pause; then the person is restored, and so on.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from statistics import quantiles
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace
from rich.console import Console

from safeconduct import people
from safeconduct.app import Installation, open_installation
from safeconduct.bench.load import LoadFailed, Plan
from safeconduct.bench.targets import EMAIL, GENEROUS, HOST, NAME, SERVER, Target, described
from safeconduct.core.model import HostId, Value
from safeconduct.rehearsal import Person, Programs, Trial, free_port, obtain_token
from safeconduct.settings import load

BUDGET_MS = 250.0
_SECONDS = 20
_OK = 200
_ENOUGH_CALLS = 3
_PAUSE_SECONDS = 0.001


class Taken(Value, frozen=True):
    """What was found; times in milliseconds, from before the change to its return.

    Attributes:
        late: Calls that the other node let through although they were sent after the return.
        next_denied: How often the very next call on the other node was denied.
        calls: Calls sent to the other node altogether.
    """

    times: int
    p50: float
    p99: float
    most: float
    next_denied: int
    late: int
    calls: int

    @property
    def held(self) -> bool:
        return not self.late and self.next_denied == self.times and self.p99 < BUDGET_MS


async def take_away(
    times: int, database: str, directory: Path, *, tell: Callable[[str], None]
) -> Taken:
    """Start everything, measure, end everything.

    Args:
        times: How often to take away and give back.
        database: URL of an empty PostgreSQL database.
        directory: An empty one for logs and data.
        tell: Hears what is being done.

    Raises:
        NotStarted: If a program does not start.
        LoadFailed: If a call is not answered as it should be before anything is taken away.
    """
    tell("starting the stub and two gateways")
    took, late, denied = [], 0, 0
    async with (
        _pair(directory, database) as (first, plan),
        open_installation(load(first.config, os.environ)) as parts,
    ):
        agent = _Agent(plan)
        with _Busy(_Agent(plan)) as busy:
            for number in range(1, times + 1):
                tell(f"{number} of {times}")
                if not await asyncio.to_thread(agent.call):
                    raise LoadFailed("the second node denies what was not taken away")
                began = time.perf_counter()
                await _set_active(parts, yes=False)
                returned = time.perf_counter()
                denied += not await asyncio.to_thread(agent.call)
                late += await asyncio.to_thread(busy.allowed_since, returned)
                took.append((returned - began) * 1000)
                await _set_active(parts, yes=True)
    cuts = quantiles(took, n=100, method="inclusive")
    return Taken(
        times=times,
        p50=cuts[49],
        p99=cuts[98],
        most=max(took),
        next_denied=denied,
        late=late,
        calls=len(busy.sent),
    )


def as_data(found: Taken) -> dict[str, Any]:
    """Return everything as JSON values."""
    data: dict[str, Any] = msgspec.to_builtins(found)
    return data | {"held": found.held}


def show(console: Console, found: Taken) -> None:
    """Print it."""
    console.print(
        f"\n{found.times} times, one row was changed beside the first node. It returned after\n"
        f"  p50 {found.p50:.1f} ms, p99 {found.p99:.1f} ms, at most {found.most:.1f} ms "
        f"(must: p99 below {BUDGET_MS:.0f} ms)\n"
    )
    for sentence, so in (
        ("the very next call on the second node was denied", found.next_denied == found.times),
        (f"of {found.calls} calls, none was let through afterwards", not found.late),
    ):
        console.print(f"{'[green]✓[/green]' if so else '[red]✗[/red]'} {sentence}")


async def _set_active(parts: Installation, *, yes: bool) -> None:
    async with parts.database.write() as tx:
        found = await people.by_email(tx, HostId(HOST), EMAIL)
        assert found is not None
        await people.set_active(tx, HostId(HOST), found[0].id, active=yes)


class _Agent:
    """Calls the second node, on one connection."""

    def __init__(self, plan: Plan) -> None:
        parts = urlsplit(plan.url)
        self._plan = plan
        self._path = parts.path
        self._connection = http.client.HTTPConnection(
            str(parts.hostname), parts.port, timeout=_SECONDS
        )

    def call(self) -> bool:
        """Send a call; returns whether it was let through."""
        body, headers = self._plan.body.encode(), self._plan.headers
        self._connection.request("POST", self._path, body=body, headers=headers)
        answer = self._connection.getresponse()
        return b'"result"' in answer.read() and answer.status == _OK


class _Busy:
    """An agent that calls again and again, in a thread, and remembers what came of it."""

    def __init__(self, agent: _Agent) -> None:
        self._agent = agent
        self._over = False
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self.sent: list[tuple[float, bool]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join(_SECONDS)

    def allowed_since(self, moment: float) -> int:
        """Wait until a few calls sent after a moment are answered; returns how many passed."""
        while True:
            if not self._thread.is_alive():
                raise LoadFailed("the second node does not answer")
            since = [allowed for sent, allowed in tuple(self.sent) if sent > moment]
            if len(since) >= _ENOUGH_CALLS:
                return sum(since)
            time.sleep(_PAUSE_SECONDS)

    def _go_on(self) -> None:
        while not self._over:
            sent = time.perf_counter()
            self.sent.append((sent, self._agent.call()))
            time.sleep(_PAUSE_SECONDS)


@contextlib.asynccontextmanager
async def _pair(directory: Path, database: str) -> AsyncIterator[tuple[Trial, Plan]]:
    """Start two nodes; gives the first, and how to call the second with a token of the first."""
    first = Trial(directory / "first", port=free_port())
    second = Trial(directory / "second", port=free_port())
    word, reference = first.password("person")
    async with (
        Programs(logs=directory / "logs") as programs,
        Programs(logs=first.logs) as ours,
        Programs(logs=second.logs) as theirs,
    ):
        stub = await programs.module("stub", "safeconduct.bench.stub")
        host = described(stub.url, reference) | {"origin": first.origin}
        first.write(server={**GENEROUS, "database": database}, host=host)
        await first.serve(ours)
        for shared in ("gateway/master.key", "secrets/person"):
            copy = second.directory / shared
            copy.parent.mkdir(mode=0o700, exist_ok=True)
            shutil.copy(first.directory / shared, copy)
        second.write(server={**GENEROUS, "database": database}, host=host)
        await second.serve(theirs)
        person = Person(origin=first.origin, email=EMAIL, password=word)
        url = f"{first.origin}/mcp/{SERVER}"
        token = await asyncio.to_thread(
            obtain_token, person, origin=first.origin, resource=url, server=NAME, level="Low"
        )
        target = Target(name="second", url=f"{second.origin}/mcp/{SERVER}", token=token)
        plan = target.plan("modern", connections=1, seconds=1)
        yield first, replace(plan, headers=plan.headers | {"host": first.origin[len("http://") :]})
