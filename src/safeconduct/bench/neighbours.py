"""What one caller's load does to the others: quiet first, then beside each disturbance.

A person calls a tool every few milliseconds, over one connection, while another person or a
stranger does their worst to the same gateway and the same server. The 95th percentile must stay
within twice its quiet value, and memory must come back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from rich.console import Console
from rich.table import Table

from safeconduct.bench.disturbances import DISTURBANCES, Done, Order
from safeconduct.bench.load import LoadFailed
from safeconduct.bench.targets import EMAIL, GENEROUS, HOST, NAME, SERVER, Target
from safeconduct.bench.usage import usage_of
from safeconduct.core.model import Value
from safeconduct.core.secrets import Secret
from safeconduct.rehearsal import Person, Program, Programs, Trial, free_port, obtain_token

PACE_SECONDS = 0.004
_MOST_TIMES = 2.0
_MOST_MIB = 16.0  # more than before, once it is over
_LOOKS_AFTERWARDS, _BETWEEN_LOOKS_SECONDS = 50, 0.2
_SESSIONS = 3
_OTHER = "other@bench.test"
_META = (
    '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    '"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},'
    '"io.modelcontextprotocol/clientCapabilities":{}}'
)


class Disturbed(Value, frozen=True):
    """One disturbance: what the calls beside it took, in milliseconds, and what was left of it.

    Attributes:
        failed: Calls of the other person that were not answered with a result.
        mib_after: Memory once it was over, at most ten seconds later.
        record_bytes: By how much the record grew for each request of the disturber.
    """

    kind: str
    quiet_p95: float
    p95: float
    calls: int
    failed: int
    mib_before: float
    mib_peak: float
    mib_after: float
    record_bytes: float
    done: Done

    @property
    def held(self) -> bool:
        return (
            not self.failed
            and self.p95 <= _MOST_TIMES * self.quiet_p95
            and self.mib_after <= self.mib_before + _MOST_MIB
        )


class _Scene(Value, frozen=True):
    gateway: Program
    trial: Trial
    quiet: Target
    tokens: tuple[str, ...]
    many: str


async def measure(
    kinds: list[str], seconds: float, directory: Path, *, tell: Callable[[str], None]
) -> list[Disturbed]:
    """Measure each disturbance with a gateway of its own.

    Raises:
        NotStarted: If a program does not start.
        Unexpected: If the gateway gives no token.
        LoadFailed: If the disturber does not do its work.
    """
    found = []
    for number, kind in enumerate(kinds or list(DISTURBANCES)):
        tell(f"{kind}: starting")
        async with _scene(directory / str(number), wide=kind == "long lists") as scene:
            tell(kind)
            found.append(await _disturbed(scene, kind, seconds))
    return found


@contextlib.asynccontextmanager
async def _scene(directory: Path, *, wide: bool) -> AsyncIterator[_Scene]:
    trial = Trial(directory, port=free_port())
    async with Programs(logs=trial.logs) as programs:
        stub = await programs.module("stub", "safeconduct.bench.slow_stub")
        (word, reference), (other, another) = trial.password("person"), trial.password("other")
        trial.write(server=GENEROUS, host=_described(stub.url, reference, another, wide=wide))
        gateway = await trial.serve(programs)
        victim = Person(origin=trial.origin, email=EMAIL, password=word)
        disturber = Person(origin=trial.origin, email=_OTHER, password=other)
        url = f"{trial.origin}/mcp/{SERVER}"
        token = await _token(victim, trial, SERVER, NAME)
        aimed, name = ("many", "Many") if wide else (SERVER, NAME)
        tokens = [await _token(disturber, trial, aimed, name) for _ in range(_SESSIONS)]
        yield _Scene(
            gateway=gateway,
            trial=trial,
            quiet=Target(name="quiet", url=url, program=gateway, token=token),
            tokens=tuple(each.reveal() for each in tokens),
            many=f"{trial.origin}/mcp/{aimed}",
        )


def _described(
    upstream: str, password: dict[str, str], other: dict[str, str], *, wide: bool
) -> dict[str, Any]:
    servers = [{"key": SERVER, "name": NAME, "url": upstream}]
    if wide:
        many = upstream.removesuffix("/mcp") + "/many/mcp"
        servers.append({"key": "many", "name": "Many", "url": many})
    people = (EMAIL, _OTHER)
    return {
        "key": HOST,
        "people": [{"email": EMAIL, "password": password}, {"email": _OTHER, "password": other}],
        "servers": servers,
        "access": [
            {"person": email, "server": server["key"], "ceiling": "medium"}
            for email in people
            for server in servers
        ],
        "tokens": {"access_seconds": 86_400},
    }


async def _token(person: Person, trial: Trial, server: str, name: str) -> Secret:
    resource = f"{trial.origin}/mcp/{server}"
    return await asyncio.to_thread(
        obtain_token, person, origin=trial.origin, resource=resource, server=name, level="Medium"
    )


async def _disturbed(scene: _Scene, kind: str, seconds: float) -> Disturbed:
    await asyncio.to_thread(_call, scene.quiet, 1.0)
    quiet, failed = await asyncio.to_thread(_call, scene.quiet, seconds)
    before, records = _memory(scene), _recorded(scene)
    order = Order(
        kind=kind,
        url=scene.many,
        tokens=scene.tokens,
        headers={
            name: value
            for name, value in scene.quiet.plan("modern", connections=1, seconds=1).headers.items()
            if name not in {"authorization", "mcp-method", "mcp-name"}
        },
        meta=_META,
        seconds=seconds + 2,
    )
    async with _disturber(order) as process:
        await asyncio.sleep(1)  # until it is well under way
        took, more = await asyncio.to_thread(_call, scene.quiet, seconds)
        peak = _memory(scene)
        done = await _done(process)
    ours = len(took) * _recorded_per_call(scene)
    grown = max(0.0, _recorded(scene) - records - ours)
    after = await _memory_at_rest(scene, before)
    return Disturbed(
        kind=kind,
        quiet_p95=_p95(quiet),
        p95=_p95(took),
        calls=len(took),
        failed=failed + more,
        mib_before=before,
        mib_peak=max(peak, before),
        mib_after=after,
        record_bytes=grown / max(1, done.attempts),
        done=done,
    )


def _call(target: Target, seconds: float) -> tuple[list[float], int]:
    """Call again and again over one connection; return milliseconds, and how many failed."""
    plan = target.plan("modern", connections=1, seconds=seconds)
    parts, body = urlsplit(plan.url), plan.body.encode()
    headers = {"host": parts.netloc, **plan.headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"POST {parts.path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body
    took, failed = [], 0
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            began = time.perf_counter()
            line.sendall(request)
            answer = _read(line)
            took.append((time.perf_counter() - began) * 1000)
            failed += b'"result"' not in answer
            time.sleep(PACE_SECONDS)
    return took, failed


def _read(line: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(line)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _more(line)
    return body


def _more(line: socket.socket) -> bytes:
    data = line.recv(65536)
    if not data:
        raise LoadFailed("the gateway closed the connection of somebody who only calls a tool")
    return data


@contextlib.asynccontextmanager
async def _disturber(order: Order) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "safeconduct.bench.disturbances"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(order))
        process.stdin.write_eof()
        if await process.stdout.readline() != b"ready\n":
            raise LoadFailed("the disturber did not start")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _done(process: asyncio.subprocess.Process) -> Done:
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
        return msgspec.json.decode(said, type=Done)
    except (TimeoutError, msgspec.DecodeError) as error:
        raise LoadFailed("the disturber did not do its work") from error


async def _memory_at_rest(scene: _Scene, before: float) -> float:
    """Wait until memory is back, but not for long; return what it is then."""
    for _ in range(_LOOKS_AFTERWARDS):
        if _memory(scene) <= before + 1:
            break
        await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
    return _memory(scene)


def _memory(scene: _Scene) -> float:
    usage = usage_of(scene.gateway.pid)
    if usage is None:
        raise LoadFailed("this machine does not tell how much memory a program has")
    return usage.rss_mib


def _recorded(scene: _Scene) -> int:
    return sum(each.stat().st_size for each in scene.trial.audit.rglob("*") if each.is_file())


def _recorded_per_call(scene: _Scene) -> float:
    """Return how many bytes one call of the other person adds to the record."""
    before = _recorded(scene)
    took, _ = _call(scene.quiet, 0.5)
    return (_recorded(scene) - before) / len(took)


def _p95(took: list[float]) -> float:
    return sorted(took)[len(took) * 95 // 100]


def as_data(found: list[Disturbed]) -> list[dict[str, Any]]:
    """Return everything as JSON values."""
    return [{**msgspec.to_builtins(each), "held": each.held} for each in found]


def show(console: Console, found: list[Disturbed]) -> None:
    """Print a table."""
    table = Table("Beside", box=None, pad_edge=False, header_style="dim")
    for column in ("quiet p95", "p95", "failed", "MiB", "peak", "after", "record", "done", ""):
        table.add_column(column, justify="right")
    for each in found:
        table.add_row(
            each.kind,
            f"{each.quiet_p95:.2f} ms",
            f"{each.p95:.2f} ms",
            f"{each.failed} of {each.calls}",
            f"{each.mib_before:.0f}",
            f"{each.mib_peak:.0f}",
            f"{each.mib_after:.0f}",
            f"{each.record_bytes:,.0f} B",
            f"{each.done.attempts:,}",
            "[green]holds[/]" if each.held else "[red]MISSED[/]",
        )
    console.print(table)
    for each in found:
        answers = ", ".join(f"{count:,} times {name}" for name, count in each.done.answers.items())
        console.print(f"[dim]{each.kind}: {answers or 'no answer'}[/dim]")
