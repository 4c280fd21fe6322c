"""Holds calls that need an approval: finds a yes, or asks for one and waits to hear.

A yes lets nothing through by itself: with it used up, the call is decided again, and only what
that says counts (`Obligations.enter`). A client that gives up waiting leaves its request open:
who makes the very same call again finds what has become of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from safeconduct.approvals import Approval, ApprovalQueue
from safeconduct.audit import redacted_shape
from safeconduct.core.canonical import fingerprint
from safeconduct.core.clock import Clock
from safeconduct.core.decision import Decision, RequireApproval
from safeconduct.core.errors import Code
from safeconduct.core.ids import Series
from safeconduct.core.model import Intent
from safeconduct.core.sealed_calls import MOST_BYTES, SealedCalls, TooLargeToShow
from safeconduct.proxy.asked_calls import as_approved, asked_call
from safeconduct.proxy.calls import Call
from safeconduct.proxy.gate import Gate, Unauthenticated
from safeconduct.proxy.notices import Notices
from safeconduct.proxy.open_requests import OpenRequests
from safeconduct.proxy.refusals import Denied
from safeconduct.sessions import Sessions
from safeconduct.telemetry import Metrics
from safeconduct.upstreams import Catalogue

_TOLD_SECONDS = 300.0
_UNTOLD_SECONDS = 50.0  # many clients that hear nothing give up after a minute


class _Wait:
    """One call that waits, and whether its client has cancelled it."""

    def __init__(self, news: asyncio.Event) -> None:
        self.news = news
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        self.news.set()


class HeldCalls:
    """Implements `Approvals` on the queue that operators decide."""

    def __init__(
        self,
        queue: ApprovalQueue,
        *,
        gate: Gate,
        sessions: Sessions,
        catalogue: Catalogue,
        notices: Notices,
        requests: OpenRequests,
        metrics: Metrics,
        clock: Clock,
        sealed: SealedCalls,
        told_seconds: float = _TOLD_SECONDS,
        untold_seconds: float = _UNTOLD_SECONDS,
    ) -> None:
        """Take the collaborators.

        Args:
            queue: Where requests stand.
            gate: Says whether the caller would still be let in.
            sessions: Say when one ends that a held call is of.
            catalogue: Says when a tool is no longer what was asked for.
            notices: Tell a client why it waits.
            requests: Say when a client cancels its call.
            metrics: Show how many calls are held.
            clock: Says when a request's window closes.
            sealed: Keeps what a call says until it is decided about.
            told_seconds: How long a call is held whose client hears that it waits.
            untold_seconds: How long any other is.
        """
        self._queue = queue
        self._gate = gate
        self._sessions = sessions
        self._catalogue = catalogue
        self._notices = notices
        self._requests = requests
        self._metrics = metrics
        self._clock = clock
        self._sealed = sealed
        self._told_seconds = told_seconds
        self._untold_seconds = untold_seconds
        self._next_id = Series("apr")
        self._held: set[asyncio.Event] = set()
        self._stopping = False

    def stop(self) -> None:
        """Send those who wait away; their requests stay open. For a graceful stop."""
        self._stopping = True
        for news in tuple(self._held):
            news.set()

    async def wait(self, call: Call, decision: Decision, obligation: RequireApproval) -> Approval:
        """Return a yes to this very call, used up by it.

        Raises:
            Denied: APPROVAL, if it was refused or nobody answered while we can wait, or if it is
                too large to be shown to anybody.
            Refused: THROTTLED, if too many wait already.
            Unauthenticated: If the session or the token has ended meanwhile.
        """
        while True:  # until a yes is ours: another call of the same kind may be quicker
            approval = await self._queue.ask(self._wanted(call, decision, obligation))
            if approval.state == "pending":
                with self._holding(call, approval) as wait:
                    approval = await self._decided(call, approval, wait)
                    if wait.cancelled and approval.state == "pending":
                        raise _cancelled(call, decision, approval)
            if approval.state == "used":
                continue
            if approval.state != "approved":
                raise _denied(call, decision, approval)
            await self._gate.admit(call.exchange)  # who has to sign in again finds it unused
            if self._requests.is_cancelled(call):  # likewise
                raise _cancelled(call, decision, approval)
            if await self._queue.use(approval):
                return approval

    def as_approved(self, call: Call, approval: Approval) -> Call:
        """Return a call as it was asked about: with no other `_meta` than was sealed then."""
        asked = self._sealed.open(approval.host, approval.id, approval.sealed)
        return replace(call, message=as_approved(call.message, asked))

    def _wanted(self, call: Call, decision: Decision, obligation: RequireApproval) -> Approval:
        now, message, caller = self._clock.now(), call.message, call.caller
        name, intent = self._next_id(), message.intent or Intent()
        return Approval(
            host=caller.host,
            id=name,
            subject=caller.subject,
            client=caller.client,
            session=caller.session,
            server=call.server.key,
            method=message.method,
            name=message.name,
            level=decision.required_level,
            role=obligation.role,
            arguments=redacted_shape(message.arguments or {}),
            fingerprint=_fingerprint(call),
            decision_id=decision.id,
            asked_at=now,
            expires_at=now + timedelta(seconds=obligation.within_seconds),
            purpose=None if intent.purpose is UNSET else intent.purpose,
            workflow=None if intent.workflow is UNSET else intent.workflow,
            sealed=self._seal(call, decision, name),
        )

    def _seal(self, call: Call, decision: Decision, approval: str) -> str:
        try:
            return self._sealed.seal(call.caller.host, approval, asked_call(call.message))
        except TooLargeToShow as error:
            what = call.message.name or call.server.name
            said = (
                f"{what} needs the approval of an operator, who is shown the whole call, and this "
                f"one has {error.size} bytes; the most that can be shown is {MOST_BYTES}. Nobody "
                "was asked and nothing was done. Make it in smaller parts."
            )
            refusal = replace(decision, allow=False, reason="approval.too_large", message=said)
            raise Denied(Code.APPROVAL, refusal) from error

    @contextmanager
    def _holding(self, call: Call, approval: Approval) -> Iterator[_Wait]:
        """Hold an event that is set when anything changes that the call waits for."""
        host, session = call.caller.host, call.caller.session
        with (
            self._queue.news(approval.host, approval.id) as news,
            self._requests.waiting(call, (wait := _Wait(news)).cancel),
            self._catalogue.watching(host, call.server.key, news.set),
        ):
            self._sessions.watch(host, session, news.set)
            self._held.add(news)
            self._metrics.held += 1
            self._notices.begin(call, approval)
            try:
                yield wait
            finally:
                self._metrics.held -= 1
                self._held.discard(news)
                self._sessions.unwatch(host, session, news.set)

    async def _decided(self, call: Call, approval: Approval, wait: _Wait) -> Approval:
        """Return a request once it is decided, or as it stands when we can wait no longer."""
        while True:
            wait.news.clear()  # before looking, so that nothing falls in between
            approval = await self._queue.get(approval.host, approval.id) or approval
            if approval.state != "pending" or self._stopping or wait.cancelled:
                return approval
            await self._check_session(call, approval)
            await self._check_offer(call, approval)
            seconds = self._patience(call)
            left = (approval.expires_at - self._clock.now()).total_seconds()
            if left <= 0:
                await self._queue.expire(approval)
                continue
            if seconds <= 0:
                return approval
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(seconds, left)):
                    await wait.news.wait()

    def _patience(self, call: Call) -> float:
        """Return how many seconds a call may still be held."""
        most = self._told_seconds if self._notices.reach(call) else self._untold_seconds
        return call.exchange.began + most - time.perf_counter()

    async def _check_offer(self, call: Call, approval: Approval) -> None:
        """End the wait for a tool that is no longer what was asked for.

        Raises:
            Denied: TOOL_CHANGED.
        """
        now = await self._catalogue.get(call.caller.host, call.server.key)
        kind, name = call.row.kind, call.message.name
        if now is None or call.decision is None or now.offers_as(call.server, kind, name):
            return
        if approval.session == call.caller.session:
            await self._queue.cancel(approval, because="tool.changed")
        said = (
            f"{name} was changed by the server {call.server.name} while this call waited for its "
            f"approval. Nothing was done; request {approval.id} is over. Ask an admin of this host "
            "to review the change, then make the call again."
        )
        decision = replace(call.decision, allow=False, reason="tool.changed", message=said)
        raise Denied(Code.TOOL_CHANGED, decision)

    async def _check_session(self, call: Call, approval: Approval) -> None:
        host, session = call.caller.host, call.caller.session
        found = await self._sessions.get(host, session)
        if found is None or not found.live_at(self._clock.seconds()):
            if approval.session == session:  # another session of the agent may wait for it too
                await self._queue.cancel(approval, because="session.ended")
            raise Unauthenticated("The session has ended; sign in again.", presented=True)


def _fingerprint(call: Call) -> str:
    """Digest all that a call asks for: of `_meta`, which differs on each try, only the intent."""
    params = {name: value for name, value in call.message.params.items() if name != "_meta"}
    asked = {"method": call.message.method, "params": params}
    if call.message.intent is not None:
        asked["intent"] = msgspec.to_builtins(call.message.intent)
    about = call.server.offer(call.row.kind, call.message.name)
    if about is not None and call.row.kind in {"tool", "prompt"}:
        asked["pins"] = sorted(about.pins)  # a yes is to what the tool said that it is
    return fingerprint(asked)


def _denied(call: Call, decision: Decision, approval: Approval) -> Denied:
    """Say what has become of a request, and what to do, to a reader who sees nothing else."""
    reason, said = _told(call.message.name or call.server.name, approval)
    return Denied(Code.APPROVAL, replace(decision, allow=False, reason=reason, message=said))


def _cancelled(call: Call, decision: Decision, approval: Approval) -> Denied:
    what = call.message.name or call.server.name
    said = (
        f"{what} was cancelled by its client while it waited for an approval. Nothing was done; "
        f"request {approval.id} stays open until {approval.expires_at:%H:%M:%S} UTC, for who "
        "makes exactly the same call again."
    )
    reason = "approval.cancelled"
    return Denied(Code.APPROVAL, replace(decision, allow=False, reason=reason, message=said))


def _told(what: str, approval: Approval) -> tuple[str, str]:
    name = approval.id
    needs = f"{what} needs the approval of an operator ({approval.role})"
    match approval.state:
        case "refused":
            why = f": {approval.reason!r}" if approval.reason else ""
            said = (
                f"{what} was refused by an operator{why}. Nothing was done; request {name}. Do "
                "not repeat the call. Whoever believes this is an error contacts an admin."
            )
            return "approval.refused", said
        case "pending":
            said = (
                f"{needs}, and nobody has decided yet. Nothing was done. Request {name} stays open "
                f"until {approval.expires_at:%H:%M:%S} UTC: make exactly the same call again once "
                "it is approved."
            )
            return "approval.pending", said
        case _:
            said = (
                f"{needs}, and nobody gave it in time. Nothing was done; request {name} is over. "
                "Ask for somebody who can approve, then make the same call again: that asks anew."
            )
            return "approval.timed_out", said
