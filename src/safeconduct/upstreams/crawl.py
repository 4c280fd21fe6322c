"""Asks an upstream what it speaks and what it offers, in every era it knows.

Used at import and when the catalogue is checked, never on the road of a call. The list is
read to its last page; a server that never ends is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from safeconduct.core.canonical import StrictJSONError, parse
from safeconduct.core.errors import GatewayError
from safeconduct.core.headers import media_of
from safeconduct.core.model import Value
from safeconduct.egress import Transport
from safeconduct.upstreams.items import Omission, bounded
from safeconduct.upstreams.legibility import legible
from safeconduct.upstreams.manners import (
    PLAIN,
    POST,
    Manner,
    notification_bytes,
    request_bytes,
)
from safeconduct.upstreams.offerings import Offered, read_offered
from safeconduct.upstreams.pages import CrawlFailed
from safeconduct.upstreams.revisions import LEGACY, LEGACY_VERSIONS, MODERN, MODERN_VERSIONS
from safeconduct.upstreams.sse import EventTooLarge, Splitter, data_of
from safeconduct.upstreams.tables import TOOL

_MAX_REPLY_BYTES = 16 * 1024 * 1024
_STREAM_SECONDS = 5.0  # for the first event of a server that may speak the transport before ours
_PASSING, _SERVER_ERROR = frozenset({408, 425, 429}), 500  # RFC 9110 section 15.5 and 15.6
_LONGEST_SHOWN = 40
_MOST_SHOWN = 5
_EVENTS = "text/event-stream"
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


class Findings(Value, frozen=True):
    """What an upstream said.

    Attributes:
        spellings: Its whole tool list, once for each era.
        omissions: What was left out of it, and whether there may be more.
        others: The same as `spellings` for the other kinds of things it offers.
        holds_seconds: How long its lists hold, if it says so.
        unread: Eras it speaks, or may speak, whose lists could not be read this time; and why.
    """

    eras: tuple[str, ...]
    spellings: list[list[dict[str, Any]]]
    omissions: tuple[Omission, ...] = ()
    others: dict[str, list[list[dict[str, Any]]]] = {}
    holds_seconds: float | None = None
    unread: dict[str, str] = {}


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

    async def crawl(self, url: str, manner: Manner = PLAIN) -> Findings:
        """Return the eras an upstream speaks and what it offers in each.

        Args:
            manner: What to say of the one who asks, as a client would.

        Raises:
            CrawlFailed: If it speaks neither era, or its answers make no sense.
            GatewayError: If it cannot be reached.
        """
        try:
            async with asyncio.timeout(self._patience_seconds):
                if manner != PLAIN:  # a client's own words may be what a server dislikes
                    with contextlib.suppress(CrawlFailed):
                        return await _Reading(self._transport, url, manner).findings()
                return await _Reading(self._transport, url, PLAIN).findings()
        except TimeoutError as error:
            raise CrawlFailed("The server takes too long to say what it offers") from error


class _Reading:
    """One reading of one server, in the form in which clients ask."""

    def __init__(self, transport: Transport, url: str, manner: Manner) -> None:
        self._transport = transport
        self._url = url
        self._manner = manner
        self._ids = itertools.count()
        self._greeted = False  # whether it speaks the era that is being read

    async def findings(self) -> Findings:
        found: dict[str, Offered] = {}
        refusals: list[CrawlFailed] = []
        unread: dict[str, str] = {}
        for era, read in ((MODERN, self._modern), (LEGACY, self._legacy)):
            self._ids, self._greeted = itertools.count(), False  # each is a client of its own
            try:
                found[era] = await read()
            except CrawlFailed as error:
                if self._greeted or error.passing:
                    unread[era] = error.public
                refusals.append(CrawlFailed(f"{era}: {error.public}", fix=error.fix))
        if not found:
            raise await self._refusal(refusals)
        lists = [each.lists for each in found.values()]
        holds = [each.holds_seconds for each in found.values() if each.holds_seconds is not None]
        return Findings(
            eras=tuple(found),
            spellings=[each[TOOL] for each in lists],
            omissions=bounded(each for one in found.values() for each in one.omissions),
            others={kind: [each[kind] for each in lists] for kind in lists[0] if kind != TOOL},
            holds_seconds=min(holds, default=None),
            unread=unread,
        )

    async def _refusal(self, refusals: list[CrawlFailed]) -> CrawlFailed:
        """Say why a server cannot be read in any era, and what to do where that is known."""
        if await self._streams_first():
            return CrawlFailed(_OLD_TRANSPORT, fix=_OTHER_ADDRESS)
        reasons = "; ".join(each.public for each in refusals)
        return CrawlFailed(
            f"The server speaks no MCP revision we know ({reasons})",
            fix=next((each.fix for each in refusals if each.fix), ""),
        )

    async def _modern(self) -> Offered:
        meta = self._manner.meta(MODERN_VERSIONS[0])

        async def ask(method: str, params: dict[str, Any]) -> bytes:
            headers = (
                (b"mcp-protocol-version", MODERN_VERSIONS[0].encode()),
                (b"mcp-method", method.encode()),
            )
            return (await self._ask(method, {**params, "_meta": meta}, headers))[0]

        async def page(method: str, params: dict[str, Any]) -> dict[str, msgspec.Raw]:
            return _spelled(await ask(method, params), method)

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
        self._greeted = True
        return await read_offered(page, found)

    async def _legacy(self) -> Offered:
        hello = self._manner.hello(LEGACY_VERSIONS[0])
        raw, session = await self._ask("initialize", hello, ())
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
        self._greeted = True
        headers = [(b"mcp-protocol-version", version.encode())]
        if session is not None:
            headers.append((b"mcp-session-id", session))

        async def page(method: str, params: dict[str, Any]) -> dict[str, msgspec.Raw]:
            raw, _ = await self._ask(method, params, tuple(headers))
            return _spelled(raw, method)

        async with self._ended(headers if session else None):
            await self._tell("notifications/initialized", tuple(headers))
            return await read_offered(page, found)

    async def _ask(
        self,
        method: str,
        params: dict[str, Any],
        headers: tuple[tuple[bytes, bytes], ...],
    ) -> tuple[bytes, bytes | None]:
        """Return the answer to a request as it is spelled, and the transport session."""
        body = request_bytes(method, params, next(self._ids))
        reply = await self._transport.exchange(self._url, headers=(*POST, *headers), body=body)
        try:
            if reply.points_to is not None:
                raise CrawlFailed(
                    f"it answers {method} with HTTP {reply.status} and points to "
                    f"{reply.points_to}; redirects are not followed, so set its url to that"
                )
            if reply.status != 200:
                raise CrawlFailed(
                    f"it answers {method} with HTTP {reply.status}",
                    passing=reply.status in _PASSING or reply.status >= _SERVER_ERROR,
                )
            if _is_stream(reply.header(b"content-type")):
                answer = await _answer_in_stream(reply.__aiter__())
            else:
                answer = await reply.read(_MAX_REPLY_BYTES)
            return answer, reply.header(b"mcp-session-id")
        finally:
            await reply.aclose()

    async def _streams_first(self) -> bool:
        """Say whether a server answers GET as HTTP+SSE has it: with the address for messages.

        Source: MCP 2024-11-05, basic/transports.
        """
        headers = ((b"accept", _EVENTS.encode()),)
        with contextlib.suppress(GatewayError, TimeoutError, EventTooLarge):
            async with asyncio.timeout(_STREAM_SECONDS):
                reply = await self._transport.exchange(self._url, method="GET", headers=headers)
                try:
                    if reply.status == 200 and _is_stream(reply.header(b"content-type")):
                        return await _begins_with_endpoint(reply.__aiter__())
                finally:
                    await reply.aclose()
        return False

    async def _tell(self, method: str, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        body = notification_bytes(method)
        reply = await self._transport.exchange(self._url, headers=(*POST, *headers), body=body)
        await reply.aclose()

    @contextlib.asynccontextmanager
    async def _ended(self, headers: list[tuple[bytes, bytes]] | None) -> AsyncIterator[None]:
        """End the transport session afterwards, so that nothing of ours stays behind."""
        try:
            yield
        finally:
            if headers is not None:
                with contextlib.suppress(GatewayError):  # it will time out by itself
                    reply = await self._transport.exchange(
                        self._url, method="DELETE", headers=headers
                    )
                    await reply.aclose()


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
