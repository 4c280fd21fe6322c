"""The road of a call. Read this first.

Every message takes these steps, each once, in this order. There is no other way to an
upstream, and nothing is decided anywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from safeconduct.core.decision import Decision
from safeconduct.core.errors import RETRY_SECONDS, Code, GatewayError, Refused
from safeconduct.core.model import Level
from safeconduct.egress import Reply, UpstreamFailed
from safeconduct.oauth import granted
from safeconduct.proxy import refusals, subscriptions
from safeconduct.proxy.background import Background
from safeconduct.proxy.calls import Call, Progress, mirrored_by, parse
from safeconduct.proxy.deciding import Decider, refuse
from safeconduct.proxy.eras import encoded, mirrored
from safeconduct.proxy.event_ids import EventIds
from safeconduct.proxy.exchange import Answer, Exchange
from safeconduct.proxy.flights import Flights
from safeconduct.proxy.gate import Admitted, Gate, challenge
from safeconduct.proxy.messages import MODERN, takes_long
from safeconduct.proxy.notices import Notices
from safeconduct.proxy.obligations import Obligations
from safeconduct.proxy.open_requests import OpenRequests
from safeconduct.proxy.plain_apis import PlainApis
from safeconduct.proxy.records import Records
from safeconduct.proxy.refusals import Denied
from safeconduct.proxy.results import RequestStates
from safeconduct.proxy.returns import Returns
from safeconduct.proxy.transport_sessions import TransportSessions
from safeconduct.proxy.unanswered import named
from safeconduct.telemetry import Metrics
from safeconduct.upstreams import Forwarder

_CANCELLED = "The call was cancelled by its client before it was sent. Nothing was done."
_ACCEPTED = Answer(202, ())


class Pipeline:
    """Takes an exchange along the road and returns what goes back."""

    def __init__(
        self,
        *,
        gate: Gate,
        requests: OpenRequests,
        metrics: Metrics,
        transports: TransportSessions,
        event_ids: EventIds,
        decider: Decider,
        records: Records,
        flights: Flights,
        obligations: Obligations,
        states: RequestStates,
        forwarder: Forwarder,
        apis: PlainApis,
        returns: Returns,
        notices: Notices,
        background: Background,
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        """Take the collaborators.

        Args:
            catch_up: Returns when this process knows of every change, as at the door.
        """
        self._gate = gate
        self._requests = requests
        self._metrics = metrics
        self._transports = transports
        self._event_ids = event_ids
        self._decider = decider
        self._records = records
        self._flights = flights
        self._obligations = obligations
        self._states = states
        self._forwarder = forwarder
        self._apis = apis
        self._returns = returns
        self._notices = notices
        self._background = background
        self._catch_up = catch_up

    async def handle(self, exchange: Exchange) -> Answer:
        """Answer one exchange; what the gateway refuses is an answer too."""
        progress = Progress()
        try:
            admitted = await self._gate.admit(exchange)  # 1 authenticate
            call = await self._parse(exchange, admitted, progress)  # 2 parse
            if call is None:
                return _ACCEPTED
            if call.message.form != "request" and not await self._requests.concerns(call):
                self._metrics.drop(call.message.method or "answer")
                return _ACCEPTED
            decision = await self._decider.decide(call)  # 3 describe, 4 decide
            if call.message.method in subscriptions.ASKING:
                decision = await subscriptions.decide(self._decider, call, decision)
            record = await self._records.intent(call, decision)  # durable before anything happens
            refuse(decision)  # 5 refuse
            call = replace(call, decision=decision)
            if decision.obligations:
                return await self._notices.beside(call, self._carry(call, decision, record))
            return await self._carry(call, decision, record)
        except GatewayError as error:
            return _refusal(error, exchange, progress)

    async def _parse(
        self, exchange: Exchange, admitted: Admitted, progress: Progress
    ) -> Call | None:
        """Read a message; one that takes a while beside the loop, so that it holds up nobody.

        Meanwhile a session may have ended, so after that its sender is let in once more.
        """
        about = (exchange, admitted, self._transports, self._event_ids, progress)
        if not takes_long(exchange.body):
            return parse(*about)
        owner = (admitted.caller.host, admitted.caller.subject)
        self._background.check_room(owner)
        call = await self._background.run(owner, parse, *about)
        await self._catch_up()
        admitted = await self._gate.admit(exchange)
        return None if call is None else call.renewed(admitted)

    async def turn_away(self, exchange: Exchange) -> Answer | None:
        """Return the refusal of step 1, or None for who may send the rest of a large message."""
        try:
            await self._gate.admit(exchange)
        except GatewayError as error:
            return _refusal(error, exchange, Progress())
        return None

    async def _carry(self, call: Call, decision: Decision, record: str) -> Answer:
        try:
            # Until a call is sent its server has nothing that could be cancelled or answered.
            flight, ended, answered = self._flights.begin(call), True, True
            self._requests.begin(call)
            try:
                now = call
                if decision.obligations:
                    now = await self._obligations.enter(call, decision)  # 6 obligations in
                    if self._requests.is_cancelled(call):
                        raise Refused(Code.FORBIDDEN, _CANCELLED)
                body = self._states.enter(now.message, now.caller)
                held = self._flights.shares.take(now)
                answered = False
                try:
                    reply = await self._forward(now, body)  # 7 forward
                    answer = await self._returns.answer(now, reply, record)  # 8 obligations out
                finally:
                    self._flights.shares.give_back(held)
                ended = answered = isinstance(answer.body, bytes)
                return answer
            finally:
                self._flights.end(flight)  # a stream goes on counting by itself
                if ended:
                    self._requests.end(call, answered=answered)
        except UpstreamFailed as error:
            self._records.outcome(call, record, error.code.value)
            self._returns.failed(call)
            raise named(call, error) from error
        except GatewayError as error:
            self._records.outcome(call, record, error.code.value)
            raise
        except asyncio.CancelledError:  # the client hung up; that must not erase the record
            self._records.outcome(call, record, "cancelled")
            raise
        except Exception:  # a bug of ours; that must not either
            self._records.outcome(call, record, Code.INTERNAL.value)
            raise

    def _forward(self, call: Call, body: bytes) -> Coroutine[Any, Any, Reply]:
        if call.server.api is not None:
            return self._apis.answer(call)
        url, message, headers = call.server.url, call.message, call.exchange.headers
        version, session = headers.text(b"mcp-protocol-version"), call.upstream_session
        if call.exchange.verb == "GET":
            after = call.resumes_after
            return self._forwarder.stream(url, version=version, session=session, after=after)
        if call.exchange.verb == "DELETE":
            return self._forwarder.end(url, version=version, session=session)
        if call.revision.era != MODERN:
            return self._forwarder.message(url, body, version=version, session=session)
        return self._forwarder.message(  # what a modern upstream routes by, from the judged body
            url,
            body,
            version=version,
            session=session,
            method=encoded(message.method),
            name=encoded(message.name) if message.name else b"",
            params=mirrored(mirrored_by(call.server, message), message) if headers.params else (),
            standing=message.method == "subscriptions/listen",
        )


def _refusal(error: GatewayError, exchange: Exchange, progress: Progress) -> Answer:
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if error.code is Code.UNAUTHENTICATED:
        headers = ((b"www-authenticate", challenge(error, exchange)),)
    elif error.code is Code.INSUFFICIENT_LEVEL and isinstance(error, Denied):
        level = error.decision.required_level
        scope = " ".join(granted(level or Level.LOW))
        headers = ((b"www-authenticate", challenge(error, exchange, scope=scope)),)
    elif error.code is Code.METHOD_NOT_ALLOWED:
        headers = ((b"allow", b"POST"),)
    elif error.code is Code.UNAVAILABLE and not getattr(error, "retry_seconds", 0):
        headers = ((b"retry-after", b"%d" % RETRY_SECONDS),)
    return refusals.answer(error, era=progress.era, message_id=progress.message_id, headers=headers)
