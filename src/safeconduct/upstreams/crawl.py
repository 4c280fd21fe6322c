"""Asks an upstream what it speaks and what it offers, in every era it knows.

Used at import and when the catalogue is checked, never on the road of a call. The list is
read to its last page; a server that never ends is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from safeconduct.core.canonical import StrictJSONError, canonical_bytes, parse
from safeconduct.core.errors import GatewayError
from safeconduct.core.headers import media_of
from safeconduct.core.model import Value
from safeconduct.egress import Transport
from safeconduct.upstreams.items import Omission, bounded
from safeconduct.upstreams.legibility import legible
from safeconduct.upstreams.pages import CrawlFailed, Listed, read_list
from safeconduct.upstreams.revisions import LEGACY, LEGACY_VERSIONS, MODERN, MODERN_VERSIONS
from safeconduct.upstreams.sse import EventTooLarge, Splitter, data_of

_MAX_REPLY_BYTES = 16 * 1024 * 1024
_STREAM_SECONDS = 5.0  # for the first event of a server that may speak the transport before ours
_LONGEST_SHOWN = 40
_MOST_SHOWN = 5
_CLIENT = {"name": "safeconduct", "version": "1"}
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN_VERSIONS[0],
    "io.modelcontextprotocol/clientInfo": _CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}
_EVENTS = "text/event-stream"
_COMMON = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
)
_OLD_TRANSPORT = (
    "The server speaks HTTP+SSE, the transport of 2024-11-05, which is not spoken here; 2024-11-05 "
    "itself is, over Streamable HTTP"
)
_OTHER_ADDRESS = (
    "Give its Streamable HTTP address as url, often /mcp where this one ends in /sse, or update it."
)
_OTHER_REVISION = "Update the server, or let it speak one of the revisions named above."

# The second is for what is not UTF-8, the last for what is nested without end.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_Ask = Callable[[str, dict[str, Any]], Awaitable[bytes]]


class Findings(Value, frozen=True):
    """What an upstream said.

    Attributes:
        spellings: Its whole tool list, once for each era.
        omissions: What was left out of it, and whether there may be more.
    """

    eras: tuple[str, ...]
    spellings: list[list[dict[str, Any]]]
    omissions: tuple[Omission, ...] = ()


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
        lists: list[Listed] = []
        refusals: list[CrawlFailed] = []
        for era, read in ((MODERN, self._modern), (LEGACY, self._legacy)):
            try:
                lists.append(await read(url))
            except CrawlFailed as error:
                refusals.append(CrawlFailed(f"{era}: {error.public}", fix=error.fix))
            else:
                eras.append(era)
        if not eras:
            raise await self._refusal(url, refusals)
        return Findings(
            eras=tuple(eras),
            spellings=[each.items for each in lists],
            omissions=bounded(each for found in lists for each in found.omissions),
        )

    async def _refusal(self, url: str, refusals: list[CrawlFailed]) -> CrawlFailed:
        """Say why a server cannot be read in any era, and what to do where that is known."""
        if await self._streams_first(url):
            return CrawlFailed(_OLD_TRANSPORT, fix=_OTHER_ADDRESS)
        reasons = "; ".join(each.public for each in refusals)
        return CrawlFailed(
            f"The server speaks no MCP revision we know ({reasons})",
            fix=next((each.fix for each in refusals if each.fix), ""),
        )

    async def _modern(self, url: str) -> Listed:
        async def ask(method: str, params: dict[str, Any]) -> bytes:
            headers = (
                (b"mcp-protocol-version", MODERN_VERSIONS[0].encode()),
                (b"mcp-method", method.encode()),
            )
            return (await self._ask(url, method, {**params, "_meta": _META}, headers))[0]

        found = _result(await ask("server/discover", {}), "server/discover")
        versions = found.get("supportedVersions")
        if not isinstance(versions, list):
            raise CrawlFailed("it does not list a revision we know")
        if set(MODERN_VERSIONS).isdisjoint(map(str, versions)):
            raise CrawlFailed(
                f"it does not list a revision we know ({', '.join(MODERN_VERSIONS)}), "
                f"but {_shown(versions)}",
                fix=_OTHER_REVISION,
            )
        return await _tools(ask, found)

    async def _legacy(self, url: str) -> Listed:
        hello = {
            "protocolVersion": LEGACY_VERSIONS[0],
            "capabilities": {},
            "clientInfo": _CLIENT,
        }
        raw, session = await self._ask(url, "initialize", hello, ())
        found = _result(raw, "initialize")
        version = found.get("protocolVersion")
        if not isinstance(version, str):
            raise CrawlFailed("it does not say which revision it speaks")
        if version not in LEGACY_VERSIONS:
            raise CrawlFailed(
                f"it answers initialize with the revision {version[:_LONGEST_SHOWN]!r}, which is "
                f"not spoken here; spoken are {', '.join(LEGACY_VERSIONS)}",
                fix=_OTHER_REVISION,
            )
        headers = [(b"mcp-protocol-version", version.encode())]
        if session is not None:
            headers.append((b"mcp-session-id", session))

        async def ask(method: str, params: dict[str, Any]) -> bytes:
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
    ) -> tuple[bytes, bytes | None]:
        """Return the answer to a request as it is spelled, and the transport session."""
        body = canonical_bytes({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        reply = await self._transport.exchange(url, headers=(*_COMMON, *headers), body=body)
        try:
            if reply.status != 200:
                raise CrawlFailed(f"it answers {method} with HTTP {reply.status}")
            if _is_stream(reply.header(b"content-type")):
                answer = await _answer_in_stream(reply.__aiter__())
            else:
                answer = await reply.read(_MAX_REPLY_BYTES)
            return answer, reply.header(b"mcp-session-id")
        finally:
            await reply.aclose()

    async def _streams_first(self, url: str) -> bool:
        """Say whether a server answers GET as HTTP+SSE has it: with the address for messages.

        Source: MCP 2024-11-05, basic/transports.
        """
        headers = ((b"accept", _EVENTS.encode()),)
        with contextlib.suppress(GatewayError, TimeoutError, EventTooLarge):
            async with asyncio.timeout(_STREAM_SECONDS):
                reply = await self._transport.exchange(url, method="GET", headers=headers)
                try:
                    if reply.status == 200 and _is_stream(reply.header(b"content-type")):
                        return await _begins_with_endpoint(reply.__aiter__())
                finally:
                    await reply.aclose()
        return False

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


async def _tools(ask: _Ask, hello: dict[str, Any]) -> Listed:
    capabilities = hello.get("capabilities")
    if isinstance(capabilities, dict) and capabilities.get("tools") is None:
        return Listed([], [])

    async def page(params: dict[str, Any]) -> dict[str, msgspec.Raw]:
        return _spelled(await ask("tools/list", params), "tools/list")

    return await read_list(page, "tools")


def _is_stream(kind: bytes | None) -> bool:
    return media_of((kind or b"").decode("latin-1")).type == _EVENTS


async def _answer_in_stream(chunks: AsyncIterator[bytes]) -> bytes:
    splitter = Splitter(limit=_MAX_REPLY_BYTES)
    try:
        async for chunk in chunks:
            for event in splitter.feed(chunk):
                data = data_of(event)
                if data and not {"result", "error"}.isdisjoint(_members(legible(data))):
                    return data
    except EventTooLarge as error:
        raise CrawlFailed("its answer is too large") from error
    raise CrawlFailed("its stream ends without an answer")


async def _begins_with_endpoint(chunks: AsyncIterator[bytes]) -> bool:
    splitter = Splitter(limit=_MAX_REPLY_BYTES)
    async for chunk in chunks:
        for event in splitter.feed(chunk):
            lines = [line.strip() for line in event.splitlines()]
            named = [
                line.removeprefix(b"event:").strip() for line in lines if line[:6] == b"event:"
            ]
            if named or data_of(event):
                return named == [b"endpoint"]
    return False


def _result(raw: bytes, method: str) -> dict[str, Any]:
    """Read an answer as a whole: what greets us is either clear or of no use."""
    try:
        message = parse(raw)
    except StrictJSONError as error:
        raise CrawlFailed(f"its answer cannot be read: {error}") from error
    if not isinstance(message, dict):
        raise CrawlFailed("its answer is no JSON-RPC message")
    result = message.get("result")
    if not isinstance(result, dict):
        raise CrawlFailed(f"it refuses {method}")
    return result


def _spelled(raw: bytes, method: str) -> dict[str, msgspec.Raw]:
    """Return the members of an answer's result as they are spelled: items are read one by one."""
    message = _members(legible(raw))
    if "result" not in message:
        raise CrawlFailed(f"it refuses {method}")
    return _members(message["result"])


def _members(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _MEMBERS.decode(raw)
    except _UNREADABLE as error:
        raise CrawlFailed("its answer is no JSON-RPC message that can be read") from error


def _shown(versions: list[Any]) -> str:
    """Return what a server says that it speaks, as far as a sentence can hold it."""
    return ", ".join(repr(str(each)[:_LONGEST_SHOWN]) for each in versions[:_MOST_SHOWN]) or "none"
