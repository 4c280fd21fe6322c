"""Asks an upstream what it speaks and what it offers, in every era it knows.

Used at import and when the catalogue is checked, never on the road of a call. The list is
read to its last page; a server that never ends is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from safeconduct.core.canonical import StrictJSONError, canonical_bytes, parse
from safeconduct.core.errors import Code, GatewayError
from safeconduct.core.headers import media_of
from safeconduct.core.model import Value
from safeconduct.egress import Transport
from safeconduct.upstreams.sse import EventTooLarge, Splitter, data_of

LEGACY, MODERN = "legacy", "modern"
_LEGACY_VERSION = "2025-11-25"
_MODERN_VERSION = "2026-07-28"
_MAX_PAGES = 200
_MAX_TOOLS = 10_000
_MAX_REPLY_BYTES = 16 * 1024 * 1024
_MAX_LIST_BYTES = 32 * 1024 * 1024
_CLIENT = {"name": "safeconduct", "version": "1"}
_META = {
    "io.modelcontextprotocol/protocolVersion": _MODERN_VERSION,
    "io.modelcontextprotocol/clientInfo": _CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
_COMMON = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
)


_Ask = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


class CrawlFailed(GatewayError):
    """The upstream could not be read. The sentence is for operators and people choosing."""

    code = Code.UPSTREAM_FAILED


class Findings(Value, frozen=True):
    """What an upstream said. `spellings` holds its whole tool list once for each era."""

    eras: tuple[str, ...]
    spellings: list[list[dict[str, Any]]]


class Crawler:
    """Reads the tool lists of upstreams."""

    def __init__(self, transport: Transport, *, patience_seconds: float = 120) -> None:
        """Take the way out.

        Args:
            transport: Carries the questions.
            patience_seconds: How long one server may take for all its answers together.
        """
        self._transport = transport
        self._patience_seconds = patience_seconds

    async def crawl(self, url: str) -> Findings:
        """Return the eras an upstream speaks and its tools in each.

        Raises:
            CrawlFailed: If it speaks neither era, or its answers make no sense.
            GatewayError: If it cannot be reached.
        """
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await self._findings(url)
        except TimeoutError as error:
            raise CrawlFailed("The server takes too long to say what it offers") from error

    async def _findings(self, url: str) -> Findings:
        eras: list[str] = []
        spellings: list[list[dict[str, Any]]] = []
        refusals: list[str] = []
        for era, read in ((MODERN, self._modern), (LEGACY, self._legacy)):
            try:
                spellings.append(await read(url))
            except CrawlFailed as error:
                refusals.append(f"{era}: {error.public}")
            else:
                eras.append(era)
        if not eras:
            raise CrawlFailed(f"The server speaks no MCP revision we know ({'; '.join(refusals)})")
        return Findings(eras=tuple(eras), spellings=spellings)

    async def _modern(self, url: str) -> list[dict[str, Any]]:
        async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            headers = (
                (b"mcp-protocol-version", _MODERN_VERSION.encode()),
                (b"mcp-method", method.encode()),
            )
            return (await self._ask(url, method, {**params, "_meta": _META}, headers))[0]

        found = await ask("server/discover", {})
        versions = found.get("supportedVersions")
        if not isinstance(versions, list) or _MODERN_VERSION not in versions:
            raise CrawlFailed("it does not list a revision we know")
        return await _tools(ask, found)

    async def _legacy(self, url: str) -> list[dict[str, Any]]:
        hello = {
            "protocolVersion": _LEGACY_VERSION,
            "capabilities": {},
            "clientInfo": _CLIENT,
        }
        found, session = await self._ask(url, "initialize", hello, ())
        version = found.get("protocolVersion")
        if not isinstance(version, str):
            raise CrawlFailed("it does not say which revision it speaks")
        headers = [(b"mcp-protocol-version", version.encode())]
        if session is not None:
            headers.append((b"mcp-session-id", session))

        async def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
            return (await self._ask(url, method, params, tuple(headers)))[0]

        async with self._ended(url, headers if session else None):
            await self._tell(url, "notifications/initialized", tuple(headers))
            return await _tools(ask, found)

    async def _ask(
        self,
        url: str,
        method: str,
        params: dict[str, Any],
        headers: tuple[tuple[bytes, bytes], ...],
    ) -> tuple[dict[str, Any], bytes | None]:
        body = canonical_bytes({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        reply = await self._transport.exchange(url, headers=(*_COMMON, *headers), body=body)
        try:
            if reply.status != 200:
                raise CrawlFailed(f"it answers {method} with HTTP {reply.status}")
            media = media_of((reply.header(b"content-type") or b"").decode("latin-1"))
            if media.type == "text/event-stream":
                answer = await _answer_in_stream(reply.__aiter__())
            else:
                answer = _parsed(await reply.read(_MAX_REPLY_BYTES))
            session = reply.header(b"mcp-session-id")
        finally:
            await reply.aclose()
        result = answer.get("result")
        if not isinstance(result, dict):
            raise CrawlFailed(f"it refuses {method}")
        return result, session

    async def _tell(self, url: str, method: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        body = canonical_bytes({"jsonrpc": "2.0", "method": method})
        reply = await self._transport.exchange(url, headers=(*_COMMON, *headers), body=body)
        await reply.aclose()

    @contextlib.asynccontextmanager
    async def _ended(
        self, url: str, headers: list[tuple[bytes, bytes]] | None
    ) -> AsyncIterator[None]:
        """End the transport session afterwards, so that nothing of ours stays behind."""
        try:
            yield
        finally:
            if headers is not None:
                with contextlib.suppress(GatewayError):  # it will time out by itself
                    reply = await self._transport.exchange(url, method="DELETE", headers=headers)
                    await reply.aclose()


async def _tools(ask: _Ask, hello: dict[str, Any]) -> list[dict[str, Any]]:
    capabilities = hello.get("capabilities")
    if isinstance(capabilities, dict) and capabilities.get("tools") is None:
        return []
    tools: list[dict[str, Any]] = []
    params: dict[str, Any] = {}
    size = 0
    for _ in range(_MAX_PAGES):
        page = await ask("tools/list", params)
        found = page.get("tools")
        if not isinstance(found, list) or not all(isinstance(tool, dict) for tool in found):
            raise CrawlFailed("its list of tools is no list of tools")
        tools += found
        size += len(canonical_bytes(found))
        cursor = page.get("nextCursor")
        if cursor is None:
            return tools
        if not isinstance(cursor, str) or len(tools) > _MAX_TOOLS or size > _MAX_LIST_BYTES:
            break
        params = {"cursor": cursor}
    raise CrawlFailed("its list of tools does not end")


async def _answer_in_stream(chunks: AsyncIterator[bytes]) -> dict[str, Any]:
    splitter = Splitter(limit=_MAX_REPLY_BYTES)
    try:
        async for chunk in chunks:
            for event in splitter.feed(chunk):
                data = data_of(event)
                if data:
                    message = _parsed(data)
                    if "result" in message or "error" in message:
                        return message
    except EventTooLarge as error:
        raise CrawlFailed("its answer is too large") from error
    raise CrawlFailed("its stream ends without an answer")


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        message = parse(raw)
    except StrictJSONError as error:
        raise CrawlFailed(f"its answer cannot be read: {error}") from error
    if not isinstance(message, dict):
        raise CrawlFailed("its answer is no JSON-RPC message")
    return message
