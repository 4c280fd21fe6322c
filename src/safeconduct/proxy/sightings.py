"""Step 8, for what a server says of itself: what nobody reviewed is kept before it is withheld.

A definition that differs from its pin ends the calls of it at once: it is stored and on record
before the caller has the answer, so the very next call, in whichever process, is refused. While
nothing can be stored this process refuses its calls, and tries again. Only what is news costs a
transaction; everything else is a comparison in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from safeconduct.audit import Event, Trail
from safeconduct.core.canonical import StrictJSONError, disguised, parse
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, Refused
from safeconduct.egress import UpstreamFailed
from safeconduct.proxy.calls import Call
from safeconduct.proxy.messages import ENVELOPE
from safeconduct.proxy.results import members
from safeconduct.proxy.server_info import introduced, is_greeting
from safeconduct.proxy.unkept import Unkept
from safeconduct.storage import Database, StorageError
from safeconduct.upstreams import (
    INSTRUCTIONS,
    PINNED,
    Catalogue,
    Server,
    Sighting,
    Waiting,
    is_news,
    is_pinned,
    pin,
    sight,
    within_room,
)

_QUIET_SECONDS = 10.0
_AT_ONCE = 50  # stored in one transaction
_MOST_QUIET = 10_000
_NOT_KEPT = (
    "The server offers something that was not reviewed, and that cannot be written down now. "
    "Nothing of its answer is passed on. Try again in a few seconds."
)
_GREETING = frozenset({"instructions", "serverInfo", "_meta"})


class Sightings:
    """Keeps what servers show to callers and nobody reviewed."""

    def __init__(
        self,
        database: Database,
        *,
        catalogue: Catalogue,
        trail: Trail,
        clock: Clock,
        unkept: Unkept,
        changed: Callable[[Call], None],
    ) -> None:
        """Take the collaborators.

        Args:
            unkept: Holds what is not stored yet.
            changed: Told when a server is not as it was reviewed, so that it is read again.
        """
        self._database = database
        self._catalogue = catalogue
        self._trail = trail
        self._clock = clock
        self._unkept = unkept
        self._changed = changed
        self._turn = asyncio.Lock()
        # What was looked at a moment ago and left as it is: it waits already, or is too much.
        self._quiet: dict[tuple[str, ...], float] = {}

    async def note(self, call: Call, seen: Iterable[Sighting]) -> None:
        """Keep what was not reviewed; when this returns, every next call knows.

        Raises:
            Refused: UNAVAILABLE if it cannot be kept; then the answer may not be passed on.
        """
        news = self._news(call.server, seen := [*seen])
        if not news:
            if any(each.kind not in call.server.kinds for each in seen):
                self._changed(call)  # nobody has read it yet
            return
        self._unkept.add(call, news)
        try:
            await self._store(call, news)
        except (OSError, StorageError) as error:
            raise Refused(Code.UNAVAILABLE, _NOT_KEPT) from error
        self._changed(call)

    async def settle(self) -> None:
        """Store what could not be stored when it was seen; to be called now and then."""
        with contextlib.suppress(OSError, StorageError):  # said where it was met; tried again
            for call, seen in self._unkept.waiting():
                await self._store(call, seen)
                self._changed(call)

    async def greeted(self, call: Call, raw: bytes) -> bytes:
        """Return the answer in which a server introduces itself, without what nobody reviewed.

        Raises:
            UpstreamFailed: If it can be read in two ways.
            Refused: As `note` does.
        """
        if call.server.api is not None:  # an admin wrote them
            return raw
        whole = members(raw)
        result = members(whole["result"]) if "result" in whole else {}
        if disguised(whole, ENVELOPE) or disguised(result, _GREETING):
            raise UpstreamFailed("The server's answer can be read in two ways.", sent=True)
        raw = _without_repeats(raw, whole, result)
        plain = introduced(result, call.server) if is_greeting(result) else result
        if plain is not result:
            result = plain
            raw = msgspec.json.encode({**whole, "result": result})
        if "instructions" not in result:
            return raw
        said = _instructions(result["instructions"])
        known = call.server.instructions
        if said is None or (
            known is not None
            and is_pinned(said.definition, said.pin, known.pins)
            and known.state == PINNED
        ):
            return raw
        await self.note(call, [said])
        result.pop("instructions")
        return msgspec.json.encode({**whole, "result": result})

    async def _store(self, call: Call, news: list[Sighting]) -> None:
        async with self._turn:  # who was first has told the others
            await self._keep(call, news)
        self._unkept.drop(call.server, news)

    async def _keep(self, call: Call, seen: list[Sighting]) -> None:
        host, key = call.caller.host, call.server.key
        server = await self._catalogue.get(host, key)
        news = [] if server is None else self._news(server, seen)
        if not news:
            return
        done: set[tuple[str, str]] = set()
        for first in range(0, len(news), _AT_ONCE):  # others write between
            part = news[first : first + _AT_ONCE]
            async with self._database.write() as tx:
                waits = await sight(tx, host, key, part, at=self._clock.now())
                for each in waits:
                    self._trail.append(_event(call, each, part))
            done |= {(each.kind, each.name) for each in waits}
        for seen_again in news:
            if (seen_again.kind, seen_again.name) not in done:
                self._hush(call.server, seen_again)

    def _news(self, server: Server, seen: list[Sighting]) -> list[Sighting]:
        news = (each for each in seen if is_news(server, each) and not self._is_quiet(server, each))
        return within_room(server, news)

    def _is_quiet(self, server: Server, seen: Sighting) -> bool:
        known = server.offer(seen.kind, seen.name)
        if known is not None and known.state == PINNED:
            return False  # it could be called
        until = self._quiet.get(_key(server, seen))
        return until is not None and time.monotonic() < until

    def _hush(self, server: Server, seen: Sighting) -> None:
        if len(self._quiet) >= _MOST_QUIET:
            del self._quiet[next(iter(self._quiet))]
        self._quiet[_key(server, seen)] = time.monotonic() + _QUIET_SECONDS


def _key(server: Server, seen: Sighting) -> tuple[str, ...]:
    return (server.host, server.key, seen.kind, seen.name, seen.pin)


def _instructions(raw: msgspec.Raw) -> Sighting | None:
    """Return what a server tells models about itself, None for nothing."""
    try:
        said: Any = parse(bytes(raw))
    except StrictJSONError as error:
        raise UpstreamFailed("The server's answer can be read in two ways.", sent=True) from error
    if said is None or said == "":
        return None
    definition = {"instructions": said}
    return Sighting(INSTRUCTIONS, "", definition, pin(definition))


def _event(call: Call, waits: Waiting, news: list[Sighting]) -> Event:
    pins = [each.pin for each in news if (each.kind, each.name) == (waits.kind, waits.name)]
    return Event(
        kind=f"{waits.kind}.changed",
        host=call.caller.host,
        subject=call.caller.subject,
        client=call.caller.client,
        session=call.caller.session,
        server=call.server.key,
        method=call.message.method or None,
        resource_kind=waits.kind,
        resource=waits.name or None,
        tool_hash=pins[0],
        detail={"seen": "on the way to a caller"},
        request_id=call.exchange.id,
    )


def _without_repeats(raw: bytes, whole: dict[str, Any], result: dict[str, Any]) -> bytes:
    """Return an answer with each member once, as it was read: others may keep the first."""
    read = msgspec.json.encode({**whole, "result": result} if "result" in whole else whole)
    same = msgspec.json.format(read, indent=-1) == msgspec.json.format(raw, indent=-1)
    return raw if same else read
