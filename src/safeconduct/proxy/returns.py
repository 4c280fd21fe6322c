"""Step 8 of the road: what comes back from the upstream, on its way to the caller.

Single answers and streams take the same care: lists are cut, state is wrapped, everything
else passes byte for byte. A stream is cut when its session ends, and decided again at every
keep-alive, so that no permission outlives its reasons.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
from collections.abc import AsyncGenerator, Callable
from typing import Any

from msgspec.structs import replace

from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.core.headers import media_of
from safeconduct.egress import AnswerTooLong, Reply, UpstreamFailed
from safeconduct.proxy import listings, refusals, results, subscriptions
from safeconduct.proxy.calls import Call
from safeconduct.proxy.deciding import Decider, refuse
from safeconduct.proxy.event_ids import EventIds
from safeconduct.proxy.exchange import STREAM_HEADERS, Answer, raw_body
from safeconduct.proxy.fitted_results import WITHHELD, FittedResults
from safeconduct.proxy.fitting import Fitting
from safeconduct.proxy.flights import Flights
from safeconduct.proxy.greetings import GREETINGS, greeted
from safeconduct.proxy.messages import MODERN, Listing
from safeconduct.proxy.obligations import Obligations, longest_seconds, quiet
from safeconduct.proxy.open_requests import OpenRequests
from safeconduct.proxy.records import Records
from safeconduct.proxy.redirects import Redirects
from safeconduct.proxy.results import RequestStates
from safeconduct.proxy.sightings import Sightings
from safeconduct.proxy.transport_sessions import TransportSessions
from safeconduct.proxy.unanswered import named
from safeconduct.sessions import Sessions
from safeconduct.upstreams import (
    EventTooLarge,
    Manners,
    Splitter,
    data_of,
    legible,
    manner_of_hello,
    manner_of_meta,
    message_event,
    plain,
    with_data,
)

_MOST_BYTES = 32 * 1024 * 1024
_BESIDE_BYTES = 64 * 1024  # of an event, for what stands beside its data
_OPEN = frozenset({"cut", "cancelled", "unanswered", "upstream_failed"})  # ends without an answer
_KEEP_ALIVE = b": still here\n\n"
Pairs = tuple[tuple[bytes, bytes], ...]
_CHANGES = frozenset(
    f"notifications/{each}/list_changed" for each in ("tools", "prompts", "resources")
)
_RESUMED = Refused(
    Code.FORBIDDEN,
    "A policy of this host looks at the results of calls, which is not possible on a stream that "
    "was taken up again. Call once more.",
)
_TOO_LONG = "A policy of this host lets a stream last no longer. Connect again."


class Returns:
    """Brings replies back."""

    def __init__(
        self,
        *,
        decider: Decider,
        records: Records,
        states: RequestStates,
        transports: TransportSessions,
        event_ids: EventIds,
        requests: OpenRequests,
        sessions: Sessions,
        flights: Flights,
        obligations: Obligations,
        sightings: Sightings,
        manners: Manners,
        changed: Callable[[Call], None],
        fitted: FittedResults | None = None,
        most_bytes: int = _MOST_BYTES,
        keep_alive_seconds: float = 15.0,
    ) -> None:
        """Take the collaborators.

        Args:
            sightings: Keeps what servers show that was not reviewed.
            manners: Remembers how clients introduce themselves.
            changed: Told when a server says that what it offers has changed.
            fitted: Holds structured results against the schemas of their tools.
            most_bytes: Largest answer that is passed on, whatever its form.
            keep_alive_seconds: How long a stream is silent before it is decided again and
                says that it is still there.
        """
        self._keep_alive_seconds = keep_alive_seconds
        self._decider = decider
        self._records = records
        self._states = states
        self._transports = transports
        self._event_ids = event_ids
        self._requests = requests
        self._sessions = sessions
        self._flights = flights
        self._obligations = obligations
        self._sightings = sightings
        self._manners = manners
        self._changed = changed
        self._fitted = fitted or FittedResults(Fitting())
        self._most_bytes = most_bytes
        self._standing: set[Callable[[], None]] = set()
        self._stopping = False
        self._redirects = Redirects()
        self._omissions = listings.OmissionLog()
        self._pages = listings.Pages()

    def stop(self) -> None:
        """End the streams nobody waits for an answer on; for a graceful stop."""
        self._stopping = True
        for cut in tuple(self._standing):
            cut()

    async def answer(self, call: Call, reply: Reply, record: str) -> Answer:
        """Turn an upstream's reply into ours; the record's outcome is written with it.

        Raises:
            UpstreamFailed: If the reply is nothing a caller could use.
        """
        try:
            media = _media(reply.header(b"content-type") or b"")
            if reply.status == 200 and media == b"text/event-stream":
                headers = self._headers(STREAM_HEADERS, call, reply)
                stream = self._stream(call, reply, record)
                await anext(stream)
                return Answer(200, headers, stream)
            self._redirects.check(call, reply)
            raw = reply.at_hand(self._most_bytes)
            if raw is None:
                raw = await reply.read(self._most_bytes)
            if call.row.listing is not None:
                raw = legible(raw)
            reading = _reading(call, reply.status, media, raw)
            if reading is None:
                status = 202 if call.exchange.verb == "POST" else reply.status
                headers, body, outcome = (), b"", "ok"
            else:
                body, outcome = await self._answered(call, raw, reading)
                headers, status = self._headers(refusals.JSON_HEADERS, call, reply), reply.status
        except AnswerTooLong as error:
            await reply.aclose()
            raise self._too_long(call) from error
        except BaseException:
            await reply.aclose()
            raise
        status_there = reply.upstream_status
        self._records.outcome(call, record, outcome, status=status_there, sent=len(body))
        return Answer(status, headers, body)

    def _remember(self, call: Call) -> None:
        """Keep how a client introduces itself: questions of ours look the same from now on."""
        message = call.message
        manner = (
            manner_of_hello(message.params)
            if message.method == "initialize"
            else manner_of_meta(message.meta)
        )
        self._manners.note(call.caller.host, call.server.key, manner)

    def failed(self, call: Call) -> None:
        """Let a server be read that gave no usable answer, so that it is noted if it is down."""
        if call.server.api is None:
            self._changed(call)

    async def _answered(
        self, call: Call, raw: bytes, reading: results.Reading
    ) -> tuple[bytes, str]:
        """Return what goes to the caller of an answer, and the outcome."""
        if call.row.kind == "tool":
            misfit = self._fitted.misfit(call, raw, reading)
            if misfit is not None:
                self._records.misfit(call, misfit.problem)
                if misfit.instead is not None:
                    return misfit.instead, WITHHELD
        body = raw if _passes(call, reading) else await self._judged(call, raw, reading)
        return body, reading.outcome

    async def _judged(self, call: Call, raw: bytes, reading: results.Reading) -> bytes:
        """Return an answer's bytes, changed only where an obligation or a list asks for it."""
        if call.row.listing is not None:
            return await self._listed(call, raw, call.row.listing)
        if call.message.method in GREETINGS:
            spoken = greeted(raw, call.message.method, call.server.name)
            self._remember(call)
            return await self._sightings.greeted(call, spoken)
        if not call.row.pauses:
            return raw
        shown = await self._obligations.leave(call, raw)
        return self._states.leave(shown, reading, call.message, call.caller)

    async def _listed(self, call: Call, raw: bytes, listing: Listing) -> bytes:
        """Return a list with what its reader may see."""
        page = self._pages.page_of(raw, listing)
        if page is None:
            return raw
        if page.omissions:
            self._omissions.note(call.server, page.omissions)
        names = [item.name for item in page.items]
        visible = await self._decider.visible(call, listing, names)
        shown, unreviewed = listings.narrowed(
            page, listing, era=call.revision.era, server=call.server, visible=visible
        )
        if unreviewed:
            await self._sightings.note(call, unreviewed)
        return shown

    async def _stream(self, call: Call, reply: Reply, record: str) -> AsyncGenerator[bytes]:
        outcome, sent = "cut", 0
        flight = self._flights.begin_stream(call)
        try:
            yield b""  # begun before it is handed out: then closing it always runs what is below
            async with contextlib.aclosing(self._events(call, reply)) as events:
                async for event, word in events:
                    outcome = word or outcome
                    sent += len(event)
                    yield event
        except GeneratorExit:
            outcome = "cancelled" if outcome == "cut" else outcome
            raise
        except asyncio.CancelledError:
            outcome = "cancelled" if outcome == "cut" else outcome
            raise
        finally:
            self._flights.end_stream(flight)
            self._requests.end_stream(call)
            self._requests.end(call, answered=outcome not in _OPEN)
            try:
                self._records.outcome(call, record, outcome, status=200, sent=sent)
            finally:
                await reply.aclose()

    async def _events(self, call: Call, reply: Reply) -> AsyncGenerator[tuple[bytes, str]]:
        """Yield each event as it goes to the caller, with the outcome it decides or ""."""
        answered, session = False, _transport_session(call, reply)
        splitter = Splitter(limit=self._most_bytes + _BESIDE_BYTES)
        try:
            async with contextlib.aclosing(self._chunks(call, reply)) as chunks:
                async for chunk in chunks:
                    if chunk is None:
                        yield _KEEP_ALIVE, ""
                        continue
                    for event in splitter.feed(chunk):
                        shown, word = await self._event(call, plain(event))
                        if word and answered:
                            return  # a second answer is nobody's
                        answered = answered or bool(word)
                        yield self._event_ids.leave(shown, call.caller, session), word
            if not answered and not _is_standing(call):
                # A stream may end early and be resumed (older era); nothing is made up here.
                yield b"", "unanswered"
        except EventTooLarge:
            yield self._last_word(call, self._too_long(call))
        except GatewayError as error:
            yield self._last_word(call, error)

    async def _event(self, call: Call, event: bytes) -> tuple[bytes, str]:
        data = self._data(call, event)
        if not data:
            return event, ""
        reading = results.read(data, call.message)
        if reading.method is not None:
            return self._servers_own(call, event, reading, data), ""
        if not reading.answers():
            raise UpstreamFailed("The server sent something that is no message.", sent=True)
        if call.message.form != "request":
            # A resumed stream may bring the answer to an earlier request; only lists are cut.
            listing = listings.held_in(data)
            if listing is None and self._decider.obliges(call):
                # Nobody here remembers what that request's answer has to be rid of.
                said = refusals.answer(_RESUMED, era=call.revision.era, message_id=reading.id)
                return with_data(event, raw_body(said)), ""
            if listing is None:
                greeting = await self._sightings.greeted(call, data)
                return event if greeting is data else with_data(event, greeting), ""
            return with_data(event, await self._listed(call, data, listing)), ""
        body, word = await self._answered(call, data, reading)
        return event if body is data else with_data(event, body), word

    def _servers_own(
        self, call: Call, event: bytes, reading: results.Reading, data: bytes
    ) -> bytes:
        """Return what becomes of a server's own request or notification."""
        if reading.id is not None:
            if call.revision.era == MODERN:
                # Asked so, it would pass by the check of what the client said it can do.
                raise UpstreamFailed("The server asks in a way this revision lacks.", sent=True)
            self._requests.ask(call, reading.id, data)
        if reading.method in _CHANGES:
            self._changed(call)
        return b"" if quiet(call, reading.method or "") else event

    def _data(self, call: Call, event: bytes) -> bytes | None:
        """Return what an event carries, as a list is read where it is one."""
        data = data_of(event)
        if data is not None and len(data) > self._most_bytes:
            raise self._too_long(call)
        return legible(data) if data and call.row.listing is not None else data

    async def _chunks(self, call: Call, reply: Reply) -> AsyncGenerator[bytes | None]:
        """Yield chunks as they come, None when it is time for a keep-alive.

        Raises:
            Denied: As soon as the caller may no longer have this stream.
        """
        alarm, clock = _Alarm(), asyncio.get_running_loop().time
        until = clock() + (longest_seconds(call.decision) or math.inf)
        due = min(clock() + self._keep_alive_seconds, until)
        host, session = call.caller.host, call.caller.session
        self._sessions.watch(host, session, alarm.ring)
        standing = _is_standing(call)
        if standing:
            self._standing.add(alarm.ring)
        coming: asyncio.Future[bytes] | None = None
        try:
            while True:
                if coming is None:
                    coming = asyncio.ensure_future(_next(reply))
                waiting_for: set[asyncio.Future[Any]] = {coming, alarm.rung}
                await asyncio.wait(
                    waiting_for,
                    timeout=min(self._keep_alive_seconds, max(0.0, until - clock())),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if standing and self._stopping:
                    return
                # By the clock too: what runs out rings nothing, and a busy stream is never silent.
                if alarm.heard() or not coming.done() or clock() >= due:
                    await self._check_still(call, ended=clock() >= until)
                    due = min(clock() + self._keep_alive_seconds, until)
                if not coming.done():
                    yield None
                    continue
                chunk, coming = coming.result(), None
                if not chunk:
                    return
                yield chunk
        finally:
            self._sessions.unwatch(host, session, alarm.ring)
            self._standing.discard(alarm.ring)
            for waiting in (alarm.rung, coming):
                if waiting is not None and not waiting.done():
                    waiting.cancel()
                    with contextlib.suppress(asyncio.CancelledError, GatewayError):
                        await waiting

    async def _check_still(self, call: Call, *, ended: bool) -> None:
        """Decide a stream again, with everything it is about.

        Args:
            call: What the stream answers.
            ended: Whether it has lasted as long as its decision allows.

        Raises:
            GatewayError: If the caller may no longer have it.
        """
        if ended:
            raise Refused(Code.FORBIDDEN, _TOO_LONG)
        decision = await self._decider.still(call)
        refuse(decision)
        session = await self._sessions.get(call.caller.host, call.caller.session)
        if session is not None:
            now = replace(call, session=session)
            refuse(await subscriptions.decide(self._decider, now, decision))

    def _too_long(self, call: Call) -> UpstreamFailed:
        what = "The call was carried out" if call.row.recorded else "The server did its part"
        return UpstreamFailed(
            f"{call.server.name}'s answer is longer than {self._most_bytes} bytes, the most that "
            f"is passed on here. {what}, so do not repeat it to get the answer: ask for less at a "
            "time, or ask an admin to raise server.limits.answer_bytes.",
            sent=True,
        )

    def _last_word(self, call: Call, error: GatewayError) -> tuple[bytes, str]:
        """Say in the stream why it ends, where a request waits for an answer."""
        word = "cut" if not isinstance(error, UpstreamFailed) else "upstream_failed"
        if _is_standing(call):
            return b"", word
        if isinstance(error, UpstreamFailed):
            error = named(call, error)
        said = refusals.answer(error, era=call.revision.era, message_id=call.message.id)
        return message_event(raw_body(said)), word

    def _headers(self, headers: Pairs, call: Call, reply: Reply) -> Pairs:
        """Return an answer's headers, with the transport session where one may begin."""
        if call.message.method != "initialize":
            return headers
        given = _transport_session(call, reply)
        if given is None:
            return headers
        sealed = self._transports.seal(given, call.caller)
        return (*headers, (b"mcp-session-id", sealed.encode("ascii")))


class _Alarm:
    """Rings for a stream when something about its session has changed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.rung: asyncio.Future[Any] = asyncio.ensure_future(self._event.wait())

    def ring(self) -> None:
        self._event.set()

    def heard(self) -> bool:
        """Say whether it rang, and set it again: what changes from now on rings once more."""
        if not self._event.is_set():
            return False
        self._event.clear()
        self.rung = asyncio.ensure_future(self._event.wait())
        return True


@functools.lru_cache(maxsize=256)  # servers send one of a handful of values, always
def _media(content_type: bytes) -> bytes:
    return media_of(content_type.decode("latin-1")).type.encode("latin-1")


def _reading(call: Call, status: int, media: bytes, raw: bytes) -> results.Reading | None:
    """Read a whole answer; None where nobody expects one and the server took the message.

    Raises:
        GatewayError: If it is nothing a caller could use.
    """
    if call.message.form != "request" and status in {200, 202, 204}:
        return None
    if status not in {200, 400, 404} or media != b"application/json":
        raise _unusable(call, status)
    reading = results.read(raw, call.message)
    if status != 200 and reading.error is None:
        raise _unusable(call, status)
    if not reading.answers():
        raise UpstreamFailed("The server's answer is no answer.", sent=True)
    return reading


def _passes(call: Call, reading: results.Reading) -> bool:
    """Whether an answer passes byte for byte, since nothing asks to have it changed or looked at.

    Says no when in doubt: `Returns._judged` looks closer.
    """
    if call.row.listing is not None or call.message.method in GREETINGS:
        return False
    return not call.row.pauses or (
        call.decision is not None and not call.decision.obligations and not reading.asks
    )


def _is_standing(call: Call) -> bool:
    """Whether a stream waits for whatever comes, and not for the answer to a request."""
    return call.message.form != "request" or call.message.method == "subscriptions/listen"


def _transport_session(call: Call, reply: Reply) -> str | None:
    """Return the server's own transport session, also where it begins with this very reply."""
    if call.message.method != "initialize":
        return call.upstream_session
    given = reply.header(b"mcp-session-id")
    return None if given is None else given.decode("latin-1")


async def _next(reply: Reply) -> bytes:
    """Return the next chunk, or nothing at the end."""
    try:
        return await reply.__anext__()
    except StopAsyncIteration:
        return b""


def _unusable(call: Call, status: int) -> GatewayError:
    """Say why a reply cannot be passed on. An upstream's own 401 is never a caller's."""
    if status == 404 and call.upstream_session is not None:
        return Refused(Code.NOT_FOUND, "The server no longer knows this transport session.")
    if status == 405 and call.exchange.verb != "POST":
        return Refused(Code.METHOD_NOT_ALLOWED, "The server offers no stream here.")
    if status in {401, 403}:
        return UpstreamFailed(
            f"{call.server.name} wants credentials the gateway does not hold. Ask an admin.",
            sent=True,
        )
    return UpstreamFailed(f"{call.server.name} answered with HTTP {status}.", sent=True)
