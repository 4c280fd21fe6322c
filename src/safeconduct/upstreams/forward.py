"""Sends one judged message to its upstream: the same bytes, and headers made anew.

Nothing of the caller's connection goes along: no Authorization, no cookies, no proxy
headers (MCP basic/authorization, "token passthrough"). What the transport needs is
regenerated from the judged body; mirrored parameters, already checked, are handed on.
"""

from __future__ import annotations

from collections.abc import Iterable

from safeconduct.egress import Reply, Transport

Pairs = tuple[tuple[bytes, bytes], ...]
_POST: Pairs = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
)
_GET: Pairs = ((b"accept", b"text/event-stream"),)


class Forwarder:
    """Speaks to upstreams on behalf of callers who were allowed to."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def message(
        self,
        url: str,
        body: bytes,
        *,
        version: str | None,
        session: str | None = None,
        routing: Iterable[tuple[bytes, bytes]] = (),
    ) -> Reply:
        """Post one message and return the reply once its head is in.

        Args:
            url: The upstream's MCP endpoint.
            body: Exactly the bytes that were judged.
            version: The `MCP-Protocol-Version` the caller stated, if any.
            session: The upstream's own transport session.
            routing: `Mcp-Method`, `Mcp-Name` and `Mcp-Param-*` for modern messages.
        """
        return await self._transport.exchange(
            url, headers=(*_POST, *_context(version, session), *routing), body=body
        )

    async def stream(
        self, url: str, *, version: str | None, session: str | None, after: bytes | None
    ) -> Reply:
        """Open the older era's standing stream, resuming after an event if asked to."""
        resume: Pairs = () if after is None else ((b"last-event-id", after),)
        return await self._transport.exchange(
            url, method="GET", headers=(*_GET, *_context(version, session), *resume)
        )

    async def end(self, url: str, *, version: str | None, session: str | None) -> Reply:
        """End the upstream's transport session."""
        return await self._transport.exchange(
            url, method="DELETE", headers=_context(version, session)
        )


def _context(version: str | None, session: str | None) -> Pairs:
    headers: list[tuple[bytes, bytes]] = []
    if version is not None:
        headers.append((b"mcp-protocol-version", version.encode("ascii")))
    if session is not None:
        headers.append((b"mcp-session-id", session.encode("latin-1")))
    return tuple(headers)
