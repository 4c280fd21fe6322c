"""How our own questions to a server look: as those of the clients whose calls we forward.

A server that can tell a reading from a client shows the reader what it likes. So both send the
same headers and bodies of the same form, and say of themselves what the last client said; before
the first one, what the SDKs say that nobody told a name.
"""

from __future__ import annotations

import json
from typing import Any

from safeconduct.core.model import HostId, ServerKey, Value
from safeconduct.upstreams.forward import Pairs

_MOST_BYTES = 4096
_META = "io.modelcontextprotocol/"
POST: Pairs = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
)


class Manner(Value, frozen=True):
    """What a client says of itself: its `clientInfo` and its capabilities."""

    client: dict[str, Any]
    capabilities: dict[str, Any]

    def hello(self, version: str) -> dict[str, Any]:
        """Return the parameters of `initialize`, in the order in which SDKs write them."""
        return {
            "protocolVersion": version,
            "capabilities": self.capabilities,
            "clientInfo": self.client,
        }

    def meta(self, version: str) -> dict[str, Any]:
        """Return the `_meta` of a request of the modern era."""
        return {
            f"{_META}protocolVersion": version,
            f"{_META}clientInfo": self.client,
            f"{_META}clientCapabilities": self.capabilities,
        }


PLAIN = Manner(client={"name": "mcp", "version": "0.1.0"}, capabilities={})


def manner_of_hello(params: dict[str, Any]) -> Manner | None:
    """Return how a client introduces itself with `initialize`, None if it cannot be copied."""
    return _manner(params.get("clientInfo"), params.get("capabilities"))


def manner_of_meta(meta: dict[str, Any]) -> Manner | None:
    """Return the same of a request of the modern era."""
    return _manner(meta.get(f"{_META}clientInfo"), meta.get(f"{_META}clientCapabilities"))


def request_bytes(method: str, params: dict[str, Any], message_id: int) -> bytes:
    """Write a request as the SDKs do: these members in this order, and no empty parameters."""
    members: dict[str, Any] = {"method": method}
    if params:
        members["params"] = params
    return _written({**members, "jsonrpc": "2.0", "id": message_id})


def notification_bytes(method: str) -> bytes:
    return _written({"method": method, "jsonrpc": "2.0"})


def _written(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def _manner(client: object, capabilities: object) -> Manner | None:
    if not isinstance(client, dict) or not isinstance(capabilities, dict):
        return None
    if len(_written({"client": client, "capabilities": capabilities})) > _MOST_BYTES:
        return None
    return Manner(client=client, capabilities=capabilities)


class Manners:
    """How clients introduced themselves to each server last, as far as we forwarded it."""

    def __init__(self) -> None:
        self._known: dict[tuple[HostId, ServerKey], Manner] = {}

    def note(self, host: HostId, server: ServerKey, manner: Manner | None) -> None:
        """Remember a client that a server has just answered."""
        if manner is not None:
            self._known[host, server] = manner

    def of(self, host: HostId, server: ServerKey) -> Manner:
        return self._known.get((host, server), PLAIN)
