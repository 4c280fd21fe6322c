"""Before every request: which host, from where, how often, how large. Nothing of identity.

The Host header alone chooses the tenant (RFC 9110 section 7.2); forwarded headers are read
only for the client's address, and only from proxies the operator named.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from safeconduct.hosts import Host, Hosts
from safeconduct.storage import LEASE_SECONDS, Database, Feed, Lease
from safeconduct.telemetry import Metrics

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MOST_ADDRESSES = 100_000
_IPV6_PREFIX = 64  # what one subscriber usually gets
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_LIMITED = {
    "error": "rate_limited",
    "message": "You have exceeded the rate limit. Please try again later.",
}

_CHECKS = "/access/"
OUT_OF_TOUCH = (
    "The gateway has lost touch with its database and cannot know what still holds, so it refuses "
    "everything until it does. Nothing was done. Try again in a few seconds."
)
_REFUSED = {"error": "unavailable", "message": OUT_OF_TOUCH}
_COME_BACK = (b"retry-after", b"%d" % LEASE_SECONDS)


class Limits(NamedTuple):
    """Requests per address; each number belongs to the window in its name."""

    sign_in_per_5_minutes: int = 100
    sign_up_per_10_minutes: int = 100
    register_per_minute: int = 100
    mcp_per_minute: int = 1000
    checks_per_minute: int = 1000
    writes_per_minute: int = 1200
    all_per_minute: int = 2000


class Window:
    """Counts per key in a sliding window: this span's count and a share of the last one's."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._counts: OrderedDict[str, list[float]] = OrderedDict()

    def hit(self, key: str, now: float) -> int:
        """Count one; returns 0, or after how many seconds to come back (it did not count)."""
        span = now // self._seconds
        held = self._counts.get(key)
        if held is None:
            if len(self._counts) >= _MOST_ADDRESSES:
                self._counts.popitem(last=False)
            held = self._counts[key] = [span, 0.0, 0.0]
        elif held[0] != span:
            held[2] = held[1] if held[0] == span - 1 else 0.0
            held[0], held[1] = span, 0.0
        elapsed = now / self._seconds - span
        if held[1] + held[2] * (1 - elapsed) >= self._limit:
            return max(1, round((1 - elapsed) * self._seconds))
        held[1] += 1
        return 0


class Throttle:
    """Which windows a request falls into."""

    def __init__(self, limits: Limits) -> None:
        self._everything = Window(limits.all_per_minute, 60)
        self._writes = Window(limits.writes_per_minute, 60)
        self._mcp = Window(limits.mcp_per_minute, 60)
        self._checks = Window(limits.checks_per_minute, 60)
        self._by_path = {
            "/login": Window(limits.sign_in_per_5_minutes, 300),
            "/login/create": Window(limits.sign_up_per_10_minutes, 600),
            "/oauth/register": Window(limits.register_per_minute, 60),
        }
        self._by_path["/login/forgot"] = self._by_path["/login/create"]
        self._by_path["/oauth/introspect"] = self._checks
        self._by_path["/register"] = self._by_path["/oauth/register"]

    def windows(self, method: str, path: str) -> tuple[Window, ...]:
        """Return the windows that a request counts in, the narrowest first."""
        if method not in _UNSAFE:
            return (self._everything,)
        if path.startswith("/mcp"):
            narrow: Window | None = self._mcp
        else:
            narrow = self._checks if path.startswith(_CHECKS) else self._by_path.get(path)
        wide = (self._writes, self._everything)
        return wide if narrow is None else (narrow, *wide)


def wait(windows: tuple[Window, ...], address: str, *, now: float) -> int:
    """Count a request; returns 0, or the seconds to wait. `now` only ever grows."""
    for window in windows:
        seconds = window.hit(address, now)
        if seconds:
            return seconds
    return 0


class Approach(NamedTuple):
    """What is known of a request from its head and its connection alone.

    Attributes:
        authority: The one Host header, or "".
        address: The client's, or what trusted proxies say of it.
        subscriber: Stands for whoever the address belongs to, where requests are counted.
        windows: Where it is counted.
    """

    authority: str
    address: str
    subscriber: str
    windows: tuple[Window, ...]


class Turned(NamedTuple):
    """A request that was turned away, with what to say."""

    status: int
    body: dict[str, str]
    headers: tuple[tuple[bytes, bytes], ...] = ()


RawHeaders = Sequence[tuple[bytes, bytes]]


class Door:
    """Looks at every request once, whichever way it is served afterwards."""

    def __init__(
        self,
        *,
        hosts: Hosts,
        database: Database,
        feed: Feed,
        lease: Lease,
        metrics: Metrics,
        limits: Limits,
        trusted_proxies: tuple[Network, ...] = (),
    ) -> None:
        """Take what is needed to tell who may come in.

        Args:
            lease: While it runs, what is in memory may be decided on.
            trusted_proxies: Whose X-Forwarded-For is believed.
        """
        self._hosts = hosts
        self._database = database
        self._feed = feed
        self._lease = lease
        self._metrics = metrics
        self._throttle = Throttle(limits)
        self._trusted_proxies = trusted_proxies

    @property
    def behind(self) -> bool:
        """Whether something changed that this process has not seen; then `catch_up` first."""
        return (self._feed.behind() or self._hosts.stale) and not self._lease.lapsed

    async def catch_up(self) -> None:
        await self._database.catch_up()
        if self._hosts.stale:
            await self._hosts.refresh()

    async def keep_up(self) -> None:
        """Catch up if something changed that this process has not seen."""
        if self.behind:
            await self.catch_up()

    def approach(self, verb: str, path: str, headers: RawHeaders, peer: str) -> Approach:
        """Read a request's head, whose names are lower-case; the same one says the same again."""
        address = self._address(peer, headers)
        return Approach(
            _authority(headers), address, _subscriber(address), self._throttle.windows(verb, path)
        )

    def admit(self, approach: Approach) -> Host | Turned:
        """Find the tenant and count the request."""
        if self._lease.lapsed:
            return Turned(503, _REFUSED, (_COME_BACK,))
        host = self._hosts.at(approach.authority)
        if host is None:
            return Turned(421, {"error": "host not found"})
        seconds = wait(approach.windows, approach.subscriber, now=time.monotonic())
        if seconds:
            self._metrics.throttled += 1
            return Turned(429, _LIMITED, ((b"retry-after", str(seconds).encode()),))
        return host

    def _address(self, peer: str, headers: RawHeaders) -> str:
        """Return the client's address: the peer's, or what trusted proxies say of it."""
        if not self._trusted_proxies or not self._trusts(peer):
            return peer
        stated = [
            part.strip()
            for name, value in headers
            if name == b"x-forwarded-for"
            for part in value.decode("latin-1").split(",")
        ]
        for address in reversed(stated):  # the nearest stranger is the client
            if not self._trusts(address):
                return address if _parsed(address) is not None else peer
            peer = address
        return peer

    def _trusts(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._trusted_proxies)


class Edge:
    """The outermost ASGI application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        mcp: ASGIApp,
        door: Door,
        metrics: Metrics,
        ready: Callable[[], Awaitable[dict[str, str]]],
        metrics_for: str = "loopback",
    ) -> None:
        """Take the applications behind.

        Args:
            app: Pages, OAuth and discovery.
            mcp: The MCP endpoint.
            door: Looks at every request.
            metrics: What `/metrics` shows.
            ready: Says what is not ready, by name; nothing when everything is.
            metrics_for: `loopback`, `off` or `public`.
        """
        self._app = app
        self._mcp = mcp
        self._door = door
        self._metrics = metrics
        self._ready = ready
        self._metrics_for = metrics_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path in {"/healthz", "/readyz", "/metrics"}:
            await self._operations(path, scope, send)
            return
        if path.startswith(_CHECKS):
            send = _echoing(scope, send)
        await self._door.keep_up()
        approach = self._door.approach(scope["method"], path, scope["headers"], _peer(scope))
        host = self._door.admit(approach)
        if isinstance(host, Turned):
            await _say(send, host.status, host.body, *host.headers)
            return
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["host"], state["ip"] = host, approach.address
        await (self._mcp if is_mcp(path) else self._app)(scope, receive, send)

    async def _operations(self, path: str, scope: Scope, send: Send) -> None:
        if path == "/healthz":
            await _say(send, 200, {"status": "healthy"})
        elif path == "/readyz":
            problems = await self._ready()
            status = 503 if problems else 200
            await _say(send, status, {"status": "not ready" if problems else "ready", **problems})
        elif self._may_read_metrics(scope):
            kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
            await _send(send, 200, self._metrics.exposition(), kind)
        else:
            await _say(send, 404, {"error": "not found"})

    def _may_read_metrics(self, scope: Scope) -> bool:
        if self._metrics_for == "public":
            return True
        forwarded = any(name in {b"x-forwarded-for", b"forwarded"} for name, _ in scope["headers"])
        return self._metrics_for == "loopback" and not forwarded and _is_loopback(_peer(scope))


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


def _authority(headers: RawHeaders) -> str:
    """Return the one Host header, or "" when there are none or several."""
    found = [value for name, value in headers if name == b"host"]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def is_mcp(path: str) -> bool:
    """Say whether a path is `/mcp` or `/mcp/{server}`, with or without a trailing slash."""
    if not path.startswith("/mcp"):
        return False
    rest = path[4:]
    return rest in {"", "/"} or (rest[0] == "/" and "/" not in rest[1:].removesuffix("/"))


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _is_loopback(address: str) -> bool:
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


def _subscriber(address: str) -> str:
    """Return what stands for one subscriber: an IPv4 address, or an IPv6 network."""
    if ":" not in address:
        return address
    parsed = _parsed(address)
    if parsed is None:
        return address
    return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))


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
