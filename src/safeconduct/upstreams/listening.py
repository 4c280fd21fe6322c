"""Hears from a server itself that what it offers has changed, with no client in between.

In the modern era a request stays open that asks for just these notifications
(`subscriptions/listen`, MCP 2026-07-28); in the older one it is the stream that a GET opens.
Nothing else that comes is looked at, and nothing is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import msgspec

from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.headers import media_of
from safeconduct.egress import Reply, Transport
from safeconduct.upstreams.forward import Pairs
from safeconduct.upstreams.manners import POST, Manner, notification_bytes, request_bytes
from safeconduct.upstreams.revisions import LEGACY_VERSIONS, MODERN_VERSIONS
from safeconduct.upstreams.sse import EventTooLarge, Splitter, data_of

_LEGACY_VERSION, _MODERN_VERSION = LEGACY_VERSIONS[0], MODERN_VERSIONS[0]
_EVENT_BYTES = 256 * 1024
_GOODBYE_SECONDS = 2.0
_REPLY_BYTES = 1024 * 1024
_EVENTS = "text/event-stream"
_WANTED = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
_CHANGES = frozenset(
    f"notifications/{each}/list_changed" for each in ("tools", "prompts", "resources")
)


class NotHeard(GatewayError):
    """The server does not let itself be listened to. The sentence is for operators."""

    code = Code.UPSTREAM_FAILED


class _Note(msgspec.Struct):
    method: str | None = None
    error: msgspec.Raw | None = None


_NOTES = msgspec.json.Decoder(_Note)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Listener:
    """Opens streams of changes."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def changes(self, url: str, *, modern: bool, manner: Manner) -> AsyncGenerator[bool]:
        """Yield False once it listens, then True for each change, until the server ends it.

        Raises:
            NotHeard: If the server does not offer this.
            GatewayError: If it cannot be reached, or the stream breaks.
        """
        opened = self._modern(url, manner) if modern else self._legacy(url, manner)
        async with opened as reply, aclosing(_notes(reply)) as notes:
            yield False
            async for method in notes:
                if method in _CHANGES:
                    yield True

    @asynccontextmanager
    async def _modern(self, url: str, manner: Manner) -> AsyncIterator[Reply]:
        method = "subscriptions/listen"
        params = {"notifications": _WANTED, "_meta": manner.meta(_MODERN_VERSION)}
        headers = (
            (b"mcp-protocol-version", _MODERN_VERSION.encode()),
            (b"mcp-method", method.encode()),
        )
        body = request_bytes(method, params, 0)
        reply = await self._transport.exchange(
            url, headers=(*POST, *headers), body=body, standing=True
        )
        try:
            yield _stream(reply)
        finally:
            await reply.aclose()

    @asynccontextmanager
    async def _legacy(self, url: str, manner: Manner) -> AsyncIterator[Reply]:
        async with self._session(url, manner) as context:
            headers = ((b"accept", _EVENTS.encode()), *context)
            reply = await self._transport.exchange(
                url, method="GET", headers=headers, standing=True
            )
            try:
                yield _stream(reply)
            finally:
                await reply.aclose()

    @asynccontextmanager
    async def _session(self, url: str, manner: Manner) -> AsyncIterator[Pairs]:
        """Begin a transport session as a client does, and end it afterwards."""
        body = request_bytes("initialize", manner.hello(_LEGACY_VERSION), 0)
        reply = await self._transport.exchange(url, headers=POST, body=body)
        try:
            if reply.status != 200:
                raise NotHeard(f"it answers initialize with HTTP {reply.status}")
            version = await _version(reply)
            session = reply.header(b"mcp-session-id")
        finally:
            await reply.aclose()
        context: Pairs = ((b"mcp-protocol-version", version.encode()),)
        if session is not None:
            context = (*context, (b"mcp-session-id", session))
        try:
            body = notification_bytes("notifications/initialized")
            told = await self._transport.exchange(url, headers=(*POST, *context), body=body)
            await told.aclose()
            yield context
        finally:
            if session is not None:
                # It would time out by itself, and a server that hangs must not hold up our stop.
                with suppress(GatewayError, TimeoutError):
                    async with asyncio.timeout(_GOODBYE_SECONDS):
                        ended = await self._transport.exchange(
                            url, method="DELETE", headers=context
                        )
                        await ended.aclose()


class _Hello(msgspec.Struct):
    protocolVersion: str  # noqa: N815  the wire's name


class _Answer(msgspec.Struct):
    result: _Hello


_ANSWERS = msgspec.json.Decoder(_Answer)


async def _version(reply: Reply) -> str:
    """Return the revision that a server answers `initialize` with.

    Raises:
        NotHeard: If it does not say.
    """
    raw = b""
    if _is_stream(reply):
        async for data in _events(reply):
            raw = data
            with suppress(*_UNREADABLE):
                return _ANSWERS.decode(data).result.protocolVersion
    else:
        raw = await reply.read(_REPLY_BYTES)
    try:
        version = _ANSWERS.decode(raw).result.protocolVersion
        version.encode("ascii")
    except (*_UNREADABLE, UnicodeEncodeError) as error:
        raise NotHeard("it does not say which revision it speaks") from error
    return version


def _stream(reply: Reply) -> Reply:
    if reply.status != 200 or not _is_stream(reply):
        raise NotHeard(f"it offers no stream of changes (HTTP {reply.status})")
    return reply


def _is_stream(reply: Reply) -> bool:
    return media_of((reply.header(b"content-type") or b"").decode("latin-1")).type == _EVENTS


async def _notes(reply: Reply) -> AsyncGenerator[str]:
    """Yield the methods of a stream's notifications.

    Raises:
        NotHeard: If the request is answered with an error, or an event is beyond all measure.
    """
    async for data in _events(reply):
        try:
            note = _NOTES.decode(data)
        except _UNREADABLE:
            continue
        if note.method is not None:
            yield note.method
        elif note.error is not None:
            raise NotHeard("it refuses to be listened to")


async def _events(reply: Reply) -> AsyncGenerator[bytes]:
    splitter = Splitter(limit=_EVENT_BYTES)
    try:
        async for chunk in reply:
            for event in splitter.feed(chunk):
                data = data_of(event)
                if data:
                    yield data
    except EventTooLarge as error:
        raise NotHeard("an event of it is too large") from error
