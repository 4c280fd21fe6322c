"""The outermost ASGI application: operations, and the way to pages and programs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from safeconduct.edge.addresses import is_loopback
from safeconduct.edge.arriving import Arriving, TurnedLate
from safeconduct.edge.door import AWAY, Door, Turned
from safeconduct.edge.rates import CHECKS
from safeconduct.storage import StoreUnavailable
from safeconduct.telemetry import Metrics

_CHECK = "See that they run and can be reached, then: safeconduct servers check"
_NO_HOST = {"error": "bad request", "message": "Send one Host field."}


class Edge:
    """The outermost ASGI application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        mcp: ASGIApp,
        away: ASGIApp,
        door: Door,
        metrics: Metrics,
        ready: Callable[[], Awaitable[dict[str, str]]],
        upstreams: Callable[[], Awaitable[dict[str, str]]],
        metrics_for: str = "loopback",
    ) -> None:
        """Take the applications behind.

        Args:
            app: Pages, OAuth and discovery.
            mcp: The MCP endpoint.
            away: Answers all others while nobody can know what still holds.
            door: Looks at every request.
            metrics: What `/metrics` shows.
            ready: Says what is not ready, by name; nothing when everything is.
            upstreams: Says which servers behind cannot be read, and why; that stops nobody else.
            metrics_for: `loopback`, `off` or `public`.
        """
        self._app = app
        self._mcp = mcp
        self._away = away
        self._door = door
        self._metrics = metrics
        self._ready = ready
        self._upstreams = upstreams
        self._metrics_for = metrics_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path in {"/healthz", "/readyz", "/metrics"}:
            await self._operations(path, scope, send)
            return
        if path.startswith(CHECKS):
            send = _echoing(scope, send)
        approach = self._door.approach(scope["method"], path, scope["headers"], _peer(scope))
        if approach.authority is None and scope.get("http_version", "1.1") != "1.0":
            await _say(send, 400, _NO_HOST)
            return
        try:
            await self._door.keep_up()
            host = self._door.admit(approach)
        except StoreUnavailable:
            host = AWAY
        if host is AWAY and not is_mcp(path):
            await self._away(scope, receive, send)  # people read pages, and agents OAuth's words
            return
        if isinstance(host, Turned):
            await _say(send, host.status, host.body, *host.headers)
            return
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["host"], state["ip"] = host, approach.address
        arriving = Arriving(receive, door=self._door, approach=approach, host=host)
        try:
            await (self._mcp if is_mcp(path) else self._app)(scope, arriving, send)
        except TurnedLate as late:  # from the MCP endpoint; pages have a handler of their own
            turned = late.turned
            close = (b"connection", b"close")
            await _say(send, turned.status, turned.body, *turned.headers, close)

    async def _operations(self, path: str, scope: Scope, send: Send) -> None:
        if path == "/healthz":
            await _say(send, 200, {"status": "healthy"})
        elif path == "/readyz":
            await _say(send, *await self._readiness(scope))
        elif self._may_read_metrics(scope):
            kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
            await _send(send, 200, self._metrics.exposition(), kind)
        else:
            await _say(send, 404, {"error": "not found"})

    async def _readiness(self, scope: Scope) -> tuple[int, dict[str, str]]:
        """Say whether this process can serve; which upstreams are down is for operators."""
        problems = await self._ready()
        if problems:
            return 503, {"status": "not ready", **problems}
        down = await self._upstreams()
        if not down:
            return 200, {"status": "ready"}
        if _is_operator(scope):
            return 200, {"status": "degraded", **down, "next": _CHECK}
        count = f"{len(down)} of the servers behind cannot be read"
        return 200, {"status": "degraded", "upstreams": count}

    def _may_read_metrics(self, scope: Scope) -> bool:
        if self._metrics_for == "public":
            return True
        return self._metrics_for == "loopback" and _is_operator(scope)


def _is_operator(scope: Scope) -> bool:
    """Say whether somebody asks on this machine itself, and no proxy for somebody else."""
    forwarded = any(name in {b"x-forwarded-for", b"forwarded"} for name, _ in scope["headers"])
    return not forwarded and is_loopback(_peer(scope))


def _echoing(scope: Scope, send: Send) -> Send:
    """Repeat a request's X-Request-ID in its answer, whatever it is (AuthZEN 1.0, Transport)."""
    found = [header for header in scope["headers"] if header[0] == b"x-request-id"][:1]

    async def echo(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *found]}
        await send(message)

    return echo if found else send


def _peer(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else ""


def is_mcp(path: str) -> bool:
    """Say whether a path is `/mcp` or `/mcp/{server}`, with or without a trailing slash."""
    if not path.startswith("/mcp"):
        return False
    rest = path[4:]
    return rest in {"", "/"} or (rest[0] == "/" and "/" not in rest[1:].removesuffix("/"))


async def _say(
    send: Send, status: int, body: dict[str, str], *headers: tuple[bytes, bytes]
) -> None:
    kind = (b"content-type", b"application/json")
    await _send(send, status, json.dumps(body).encode(), kind, *headers)


async def _send(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(body)).encode())
    fixed = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, length, *fixed]}
    )
    await send({"type": "http.response.body", "body": body})
