"""Load: connections that send the same request again as soon as it was answered.

`python -m safeconduct.bench.load` reads a plan as JSON from standard input and prints a
result as JSON. Where wrk is installed it is used instead: it needs less of the two cores.
Either way every target in a run gets the same one.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

from safeconduct.core.model import Value

_GRACE_SECONDS = 30


class Plan(Value, frozen=True):
    """One measurement: `connections` of them for `seconds`, all sending the same POST."""

    url: str
    headers: dict[str, str]
    body: str
    connections: int
    seconds: float


class Result(Value, frozen=True):
    """What was measured. Times are milliseconds; `failed` were not answered with HTTP 200."""

    calls: int
    failed: int
    per_second: float
    p50: float
    p99: float


class Generator(Protocol):
    """Something that makes load."""

    name: str

    async def run(self, plan: Plan) -> Result:
        """Carry a plan out."""


class LoadFailed(Exception):
    """The generator did not do its work; holds its last words."""


def best(directory: Path) -> Generator:
    """Return the lightest generator there is on this machine.

    Args:
        directory: Where wrk's script may be kept; it holds a token.
    """
    return Wrk(directory) if shutil.which("wrk") else Own()


class Own:
    """Our own, in a process of its own."""

    name = "own generator (asyncio, uvloop)"

    async def run(self, plan: Plan) -> Result:
        command = (sys.executable, "-m", "safeconduct.bench.load")
        return await _run(command, plan, stdin=msgspec.json.encode(plan))


class Wrk:
    """wrk with one thread and a script."""

    name = "wrk"

    def __init__(self, directory: Path) -> None:
        self._script = directory / "load.lua"

    async def run(self, plan: Plan) -> Result:
        self._script.touch(mode=0o600)
        self._script.write_text(_lua(plan), "utf-8")
        seconds = max(1, round(plan.seconds))  # wrk knows whole ones
        command = ("wrk", "-t1", f"-c{plan.connections}", f"-d{seconds}s", "--timeout", "10s")
        return await _run((*command, "-s", str(self._script), plan.url), plan, stdin=b"")


async def _run(command: tuple[str, ...], plan: Plan, *, stdin: bytes) -> Result:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = b"", b"it took too long"
    try:
        async with asyncio.timeout(plan.seconds + _GRACE_SECONDS):
            said, errors = await process.communicate(stdin)
        return msgspec.json.decode(said[said.rfind(b"\n{") + 1 :], type=Result)
    except (TimeoutError, msgspec.DecodeError) as error:
        words = errors.decode("utf-8", "replace")[-500:]
        raise LoadFailed(f"{Path(command[0]).name} did not do its work: {words}") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _lua(plan: Plan) -> str:
    def quoted(text: str) -> str:
        return msgspec.json.encode(text).decode()  # ASCII JSON strings are Lua strings

    headers = "\n".join(
        f"wrk.headers[{quoted(name)}] = {quoted(value)}" for name, value in plan.headers.items()
    )
    return f"""
wrk.method = "POST"
wrk.body = {quoted(plan.body)}
{headers}
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '\\n{{"calls":%d,"failed":%d,"per_second":%.3f,"p50":%.4f,"p99":%.4f}}\\n',
    summary.requests, failed, summary.requests / (summary.duration / 1e6),
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


class _Tally:
    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.failed = 0
        self.took: list[float] = []


class _Connection(asyncio.Protocol):
    def __init__(self, request: bytes, tally: _Tally, done: asyncio.Future[None]) -> None:
        self._request = request
        self._tally = tally
        self._done = done
        self._parser: Any = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._tally.took.append(now - self._sent)
        self._tally.failed += self._parser.get_status_code() != 200
        if now < self._tally.ends:
            self._send()
        else:
            self._finish()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self._done.done():
            self._tally.failed += 1
            self._done.set_result(None)

    def _send(self) -> None:
        assert self._transport is not None
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def _finish(self) -> None:
        assert self._transport is not None
        self._done.set_result(None)
        self._transport.close()


async def _generate(plan: Plan) -> Result:
    loop = asyncio.get_running_loop()
    parts = urlsplit(plan.url)
    began = time.perf_counter()
    tally = _Tally(began + plan.seconds)
    waiting = []
    for _ in range(plan.connections):
        done: asyncio.Future[None] = loop.create_future()
        waiting.append(done)
        await loop.create_connection(
            lambda done=done: _Connection(_request(plan), tally, done),  # type: ignore[misc]  # mypy does not infer default arguments
            parts.hostname or "",
            parts.port or 80,
        )
    await asyncio.gather(*waiting)
    took = sorted(tally.took)
    return Result(
        calls=len(took),
        failed=tally.failed,
        per_second=len(took) / (time.perf_counter() - began),
        p50=took[len(took) // 2] * 1000,
        p99=took[len(took) * 99 // 100] * 1000,
    )


def _request(plan: Plan) -> bytes:
    parts = urlsplit(plan.url)
    body = plan.body.encode()
    headers = {"host": parts.netloc, **plan.headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {parts.path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def _main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    result = uvloop.run(_generate(plan))
    sys.stdout.write("\n" + msgspec.json.encode(result).decode() + "\n")


if __name__ == "__main__":
    _main()
