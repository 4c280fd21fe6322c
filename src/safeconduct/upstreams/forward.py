"""Sends one judged message to its upstream: the same bytes, and headers made anew.

Nothing of the caller's connection goes along: no Authorization, no cookies, no proxy
headers (MCP basic/authorization, "token passthrough"). What the transport needs is
regenerated from the judged body; mirrored parameters, already checked, are handed on.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from safeconduct.egress import Fields, Reply, Transport

_MOST_KEPT, _LONGEST_KEPT = 1024, 1024
Pairs = tuple[tuple[bytes, bytes], ...]
_POST: Pairs = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
)
_ROUTING = (b"mcp-method", b"mcp-name")
_GET: Pairs = ((b"accept", b"text/event-stream"),)


class Forwarder:
    """Speaks to upstreams on behalf of callers who were allowed to."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._kept: dict[tuple[str | None, str | None, bytes, bytes], Fields] = {}

    def message(
        self,
        url: str,
        body: bytes,
        *,
        version: str | None,
        session: str | None = None,
        method: bytes = b"",
        name: bytes = b"",
        params: Pairs = (),
        standing: bool = False,
    ) -> Coroutine[Any, Any, Reply]:
        """Post one message; awaiting it gives the reply once its head is in.

        Args:
            url: The upstream's MCP endpoint.
            body: Exactly the bytes that were judged.
            version: The `MCP-Protocol-Version` the caller stated, if any.
            session: The upstream's own transport session.
            method: `Mcp-Method` for modern messages, else nothing.
            name: `Mcp-Name` where the method has one, else nothing.
            params: `Mcp-Param-*` for modern messages.
            standing: Whether the answer is a stream that waits for whatever comes.
        """
        # Most messages differ from one before in their body alone.
        fields = None if params else self._kept.get((version, session, method, name))
        if fields is None:
            fields = self._fields(version, session, method, name, params)
        return self._transport.exchange(url, headers=fields, body=body, standing=standing)

    async def stream(
        self, url: str, *, version: str | None, session: str | None, after: bytes | None
    ) -> Reply:
        """Open the older era's standing stream, resuming after an event if asked to."""
        resume: Pairs = () if after is None else ((b"last-event-id", after),)
        return await self._transport.exchange(
            url,
            method="GET",
            headers=(*_GET, *_context(version, session), *resume),
            standing=True,
        )

    async def end(self, url: str, *, version: str | None, session: str | None) -> Reply:
        """End the upstream's transport session."""
        return await self._transport.exchange(
            url, method="DELETE", headers=_context(version, session)
        )

    def _fields(
        self, version: str | None, session: str | None, method: bytes, name: bytes, params: Pairs
    ) -> Fields:
        """Write the fields of a message, and keep them if they are likely to come again."""
        routing = tuple(pair for pair in zip(_ROUTING, (method, name), strict=True) if pair[1])
        fields = Fields((*_POST, *_context(version, session), *routing, *params))
        if not params and len(fields.lines) <= _LONGEST_KEPT:
            if len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[version, session, method, name] = fields
        return fields


def _context(version: str | None, session: str | None) -> Pairs:
    headers: list[tuple[bytes, bytes]] = []
    if version is not None:
        headers.append((b"mcp-protocol-version", version.encode("ascii")))
    if session is not None:
        headers.append((b"mcp-session-id", session.encode("latin-1")))
    return tuple(headers)
