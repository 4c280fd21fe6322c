"""What is measured: the stub itself, nginx before it, and the gateway before it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

from safeconduct.bench import nginx
from safeconduct.bench.load import Plan
from safeconduct.bench.stub import TOOL
from safeconduct.core.model import Value
from safeconduct.core.secrets import Secret
from safeconduct.rehearsal import (
    Person,
    Program,
    Programs,
    Trial,
    free_port,
    get,
    obtain_token,
)

Era = Literal["modern", "legacy"]
HOST = "bench"
_PLENTY = 10_000_000
_LONG_SECONDS = 86_400
_SETTLE_SECONDS = 0.2
SERVER, NAME, EMAIL = "items", "Items", "bench@bench.test"
_LIMITS = (
    *("sign_in_per_5_minutes", "sign_up_per_10_minutes", "register_per_minute"),
    *("mcp_per_minute", "writes_per_minute", "all_per_minute"),
)
GENEROUS = {"rate_limits": dict.fromkeys(_LIMITS, _PLENTY)}


class Target(Value, frozen=True):
    """One address to send calls to; `program` is what stands before the stub there."""

    name: str
    url: str
    program: Program | None = None
    token: Secret | None = None

    def plan(self, era: Era, *, connections: int, seconds: float) -> Plan:
        """Say how to call it."""
        headers = _headers(era)
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token.reveal()}"
        return Plan(
            url=self.url,
            headers=headers,
            body=_body(era),
            connections=connections,
            seconds=seconds,
        )


class Scene(Value, frozen=True):
    """Everything that runs. `gateway` is one of the targets."""

    stub: Program
    targets: tuple[Target, ...]
    gateway: Program
    trial: Trial

    async def arrived(self) -> int:
        """Return how many calls have reached the stub, once no more are under way."""
        seen, now = -1, await self._count()
        while seen != now:
            await asyncio.sleep(_SETTLE_SECONDS)
            seen, now = now, await self._count()
        return now

    async def _count(self) -> int:
        answer = await asyncio.to_thread(get, self.stub.url.removesuffix("/mcp") + "/count")
        return int(answer.body)


@contextlib.asynccontextmanager
async def scene(directory: Path) -> AsyncIterator[Scene]:
    """Start stub, nginx (where installed) and gateway, and get a token as anybody would.

    Raises:
        NotStarted: If one of them does not start.
        Unexpected: If the gateway gives no token.
    """
    trial = Trial(directory, port=free_port())
    async with Programs(logs=trial.logs) as programs:
        stub = await programs.module("stub", "safeconduct.bench.stub")
        targets = [Target(name="direct", url=stub.url)]
        bare = await nginx.start(programs, trial.directory / "nginx", upstream=stub.url)
        if bare is not None:
            targets.append(Target(name="nginx", url=bare.url, program=bare))
        word, reference = trial.password("person")
        trial.write(
            server=GENEROUS,
            host=described(stub.url, reference),
        )
        gateway = await trial.serve(programs)
        person = Person(origin=trial.origin, email=EMAIL, password=word)
        url = f"{trial.origin}/mcp/{SERVER}"
        token = await asyncio.to_thread(
            obtain_token, person, origin=trial.origin, resource=url, server=NAME, level="Low"
        )
        targets.append(Target(name="governed", url=url, program=gateway, token=token))
        yield Scene(stub=stub, targets=tuple(targets), gateway=gateway, trial=trial)


def described(upstream: str, password: dict[str, str]) -> dict[str, Any]:
    """Describe a host with one person and one server, the stub."""
    return {
        "key": HOST,
        "people": [{"email": EMAIL, "password": password}],
        "servers": [{"key": SERVER, "name": NAME, "url": upstream}],
        "access": [{"person": EMAIL, "server": SERVER, "ceiling": "low"}],
        "tokens": {"access_seconds": _LONG_SECONDS},
    }


def _headers(era: Era) -> dict[str, str]:
    common = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
    }
    if era == "legacy":
        return {**common, "mcp-protocol-version": "2025-11-25"}
    return {
        **common,
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": TOOL,
    }


def _body(era: Era) -> str:
    meta = (
        ',"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
        '"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},'
        '"io.modelcontextprotocol/clientCapabilities":{}}'
        if era == "modern"
        else ""
    )
    return (
        '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"'
        + TOOL
        + '","arguments":{"query":"spare wheel for the picking arm, and whatever fits it"}'
        + meta
        + "}}"
    )
