"""Measures in rounds: each target in turn, again and again, so that drift hits all alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from statistics import median

from safeconduct.audit import read
from safeconduct.bench.load import Generator, LoadFailed, Result, best
from safeconduct.bench.targets import HOST, Era, Scene, Target, scene
from safeconduct.bench.usage import Usage, usage_of
from safeconduct.core.model import HostId, Value
from safeconduct.rehearsal import exchange

_WARM_UP_SECONDS = 1.0
_SHOWN_BYTES = 300


class Wanted(Value, frozen=True):
    """What to measure. `seconds` is the time of each target with many connections."""

    era: Era = "modern"
    seconds: float = 5.0
    connections: int = 32
    rounds: int = 3


class Measured(Value, frozen=True):
    """One target over all rounds; medians of the rounds, times in milliseconds.

    Attributes:
        cpu_us: CPU of the program before the stub, its children included, per call.
    """

    name: str
    calls: int
    failed: int
    per_second: float
    p50: float
    p99: float
    cpu_us: float | None


class Findings(Value, frozen=True):
    """Everything a run found out.

    Attributes:
        arrived: Calls that reached the stub while the gateway was measured.
        intents: Records of a decision, made before the call went on.
        outcomes: Records of how it ended.
        cut_off: At most this many calls may have been under way when a measurement ended.
    """

    wanted: Wanted
    generator: str
    targets: tuple[Measured, ...]
    arrived: int
    intents: int
    outcomes: int
    cut_off: int
    idle_mib: float | None
    after_mib: float | None

    def target(self, name: str) -> Measured | None:
        return next((one for one in self.targets if one.name == name), None)


class _Sheet:
    """Readings of one target."""

    def __init__(self) -> None:
        self.many: list[Result] = []
        self.single: list[Result] = []
        self.cpu_us: list[float] = []
        self.arrived = 0

    def measured(self, name: str) -> Measured:
        every = [*self.many, *self.single]
        return Measured(
            name=name,
            calls=sum(one.calls for one in every),
            failed=sum(one.failed for one in every),
            per_second=median(one.per_second for one in self.many),
            p50=median(one.p50 for one in self.single),
            p99=median(one.p99 for one in self.single),
            cpu_us=median(self.cpu_us) if self.cpu_us else None,
        )


async def measure(wanted: Wanted, directory: Path, *, tell: Callable[[str], None]) -> Findings:
    """Start everything, measure, end everything.

    Args:
        wanted: What to measure.
        directory: An empty one for logs and data.
        tell: Hears what is being done.

    Raises:
        NotStarted: If a program does not start.
        Unexpected: If the gateway gives no token.
        LoadFailed: If the load generator fails, or a call is not answered.
    """
    tell("starting the stub, nginx and the gateway")
    async with scene(directory) as running:
        rounds = _Rounds(wanted, running, best(directory))
        idle = usage_of(running.gateway.pid)
        await rounds.warm_up()
        sheets = {target.name: _Sheet() for target in running.targets}
        for number in range(1, wanted.rounds + 1):
            for target in running.targets:
                tell(f"round {number} of {wanted.rounds}: {target.name}")
                await rounds.measure(target, sheets[target.name])
        after = usage_of(running.gateway.pid)
        kinds = await asyncio.to_thread(_recorded, running)
        return Findings(
            wanted=wanted,
            generator=rounds.generator.name,
            targets=tuple(sheet.measured(name) for name, sheet in sheets.items()),
            arrived=rounds.governed,
            intents=kinds["call.intent"],
            outcomes=kinds["call.outcome"],
            cut_off=rounds.cut_off,
            idle_mib=_mib(idle),
            after_mib=_mib(after),
        )


class _Rounds:
    def __init__(self, wanted: Wanted, running: Scene, generator: Generator) -> None:
        self._wanted = wanted
        self._running = running
        self.generator = generator
        self.governed = 0
        self.cut_off = 0

    async def warm_up(self) -> None:
        for target in self._running.targets:
            await self._probe(target)
            await self._load(target, self._wanted.connections, _WARM_UP_SECONDS)

    async def _probe(self, target: Target) -> None:
        """See that one call is answered with a result, and say what came instead."""
        plan = target.plan(self._wanted.era, connections=1, seconds=1)
        answer = await asyncio.to_thread(
            exchange, plan.url, method="POST", headers=plan.headers, body=plan.body.encode()
        )
        if answer.status != 200 or b'"result"' not in answer.body:
            said = answer.body[:_SHOWN_BYTES].decode("utf-8", "replace")
            raise LoadFailed(f"{target.name} answers HTTP {answer.status}: {said}")
        if target.program is self._running.gateway:
            self.governed += 1

    async def measure(self, target: Target, sheet: _Sheet) -> None:
        pid = target.program.pid if target.program else None
        before = usage_of(pid) if pid else None
        result = await self._load(target, self._wanted.connections, self._wanted.seconds)
        after = usage_of(pid) if pid else None
        sheet.many.append(result)
        if before and after and result.calls:
            sheet.cpu_us.append((after.cpu_seconds - before.cpu_seconds) / result.calls * 1e6)
        sheet.single.append(await self._load(target, 1, max(1.0, self._wanted.seconds / 2)))

    async def _load(self, target: Target, connections: int, seconds: float) -> Result:
        before = await self._running.arrived()
        plan = target.plan(self._wanted.era, connections=connections, seconds=seconds)
        result = await self.generator.run(plan)
        arrived = await self._running.arrived() - before
        if target.program is self._running.gateway:
            self.governed += arrived
            self.cut_off += connections
        if not result.calls or result.failed or arrived < result.calls:
            # A refusal is HTTP 200 too: what was not forwarded must not count as fast.
            raise LoadFailed(
                f"{target.name}: {result.calls} calls, {result.failed} failed, "
                f"{arrived} reached the stub"
            )
        return result


def _recorded(running: Scene) -> dict[str, int]:
    counted = {"call.intent": 0, "call.outcome": 0}
    for record in read(running.trial.audit, limit=None, host=HostId(HOST)):
        if record["kind"] in counted:
            counted[record["kind"]] += 1
    return counted


def _mib(usage: Usage | None) -> float | None:
    return usage.rss_mib if usage else None
