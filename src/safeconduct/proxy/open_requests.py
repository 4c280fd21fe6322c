"""Which requests are open, so that messages about other requests are passed on for those alone.

A client cancels what it asked, and answers or reports progress on what a server asked it on one
of its streams (MCP, utilities: cancellation, progress). A message about anything else is nobody's
and goes no further. Ids are told apart by direction and by type (`1` is not `"1"`), and by
session and transport session. What ended without an answer, as where the client's connection
broke, is remembered for ten minutes.

Kept in this process alone, as nothing is written for a call: the others are asked when a message
comes that is about nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import msgspec

from safeconduct.core.clock import Clock
from safeconduct.core.model import HostId, SessionId
from safeconduct.core.secrets import digest
from safeconduct.proxy.calls import Call
from safeconduct.proxy.messages import Message, MessageId

_KEPT_SECONDS = 600.0
_MOST_OF_SESSION = 512
_MOST_SESSIONS = 10_000
_SWEEP_SECONDS = 60.0
_MOST_QUESTIONS = 8  # of one session at a time

Kind = Literal["request", "answer", "progress"]
_KINDS: dict[str, Kind] = {
    "notifications/cancelled": "request",
    "notifications/progress": "progress",
}


# What names one open request: `request` for one of the client's, `answer` for one of the server's
# by its id, `progress` for one of the server's by its token; then the server's transport session.
# Ids of two types are never equal.
Key = tuple[Kind, str | None, MessageId]


class Others(Protocol):
    """The other processes of the installation."""

    async def know(self, question: str) -> bool:
        """Ask whether one of them says yes; a question is short and holds no secret."""


class Alone:
    """There are no others."""

    async def know(self, question: str) -> bool:
        return False


class _Asked(msgspec.Struct):
    """As much of a server's request as names its progress token."""

    params: dict[str, msgspec.Raw] = {}


_ASKED = msgspec.json.Decoder(_Asked)
_META = msgspec.json.Decoder(dict[str, msgspec.Raw])


class OpenRequests:
    """Remembers what is open in this process, and asks the others about what is not."""

    def __init__(self, clock: Clock, others: Others | None = None) -> None:
        self._clock = clock
        self._others = others or Alone()
        self._sessions: dict[tuple[HostId, SessionId], dict[Key, float]] = {}
        self._on_streams: dict[str, list[Key]] = {}
        self._questions: dict[tuple[HostId, SessionId], int] = {}
        self._sweep_at = 0.0
        self._waits: dict[tuple[HostId, SessionId, Key], Callable[[], None]] = {}
        self._cancelled: set[tuple[HostId, SessionId, Key]] = set()

    def begin(self, call: Call) -> None:
        """Note that a client's request is under way."""
        message_id = call.message.id
        if message_id is not None:
            self._open(call, ("request", call.upstream_session, message_id))

    def end(self, call: Call, *, answered: bool) -> None:
        """Note that nothing more comes of a message here, and whether it got what it was for."""
        message, key = call.message, None
        if message.id is not None:
            key = _key("request", call, message.id)
        elif answered and message.form == "response" and message.about is not None:
            key = _key("answer", call, message.about)
        if key is not None:
            self._close(call, key, keep=not answered)

    def ask(self, call: Call, message_id: MessageId, raw: bytes) -> None:
        """Note that a server asks the client something on the stream that answers a call."""
        keys = [_key("answer", call, message_id)]
        token = _token_of(raw)
        if token is not None:
            keys.append(_key("progress", call, token))
        for key in keys:
            self._open(call, key)
        on_stream = self._on_streams.setdefault(call.exchange.id, [])
        on_stream += keys
        del on_stream[:-_MOST_OF_SESSION]

    def end_stream(self, call: Call) -> None:
        """Note that a stream is over; what was asked on it can be answered for a while."""
        for key in self._on_streams.pop(call.exchange.id, ()):
            self._close(call, key, keep=True)

    @contextmanager
    def waiting(self, call: Call, cancelled: Callable[[], None]) -> Iterator[None]:
        """Have something called when a client cancels a request that waits here, or has already."""
        key = call.caller.host, call.caller.session, _key("request", call, call.message.id or 0)
        self._waits[key] = cancelled
        if key in self._cancelled:
            cancelled()
        try:
            yield
        finally:
            if self._waits.get(key) is cancelled:  # not another of the same id
                del self._waits[key]

    def is_cancelled(self, call: Call) -> bool:
        """Say whether its client has cancelled a request that is open here."""
        if not self._cancelled or call.message.id is None:
            return False
        key = _key("request", call, call.message.id)
        return (call.caller.host, call.caller.session, key) in self._cancelled

    async def concerns(self, call: Call) -> bool:
        """Whether a message is about nothing else, or about what is open for its sender."""
        kind = kind_of(call.message)
        if kind is None:
            return True
        about = call.message.about
        if about is None:
            return False
        key = _key(kind, call, about)
        caller = call.caller.host, call.caller.session
        if self._has(caller, key):
            return not self._cancel(caller, key)  # what waits here is nothing to its server yet
        if self._questions.get(caller, 0) >= _MOST_QUESTIONS:
            return False
        self._questions[caller] = self._questions.get(caller, 0) + 1
        try:
            return await self._others.know(_question(caller, key))
        finally:
            self._questions[caller] -= 1
            if not self._questions[caller]:
                del self._questions[caller]

    def knows(self, question: str) -> bool:
        """Answer another process's question."""
        try:
            host, session, _ = asked = msgspec.json.decode(question, type=tuple[str, str, str])
        except msgspec.DecodeError:
            return False
        caller = HostId(host), SessionId(session)
        for key in tuple(self._sessions.get(caller, ())):
            if _fingerprint(key) == asked[2] and self._has(caller, key):
                return not self._cancel(caller, key)
        return False

    def _cancel(self, caller: tuple[HostId, SessionId], key: Key) -> bool:
        """End the wait for a client's own request; a message about one is its cancellation.

        It is remembered while the request is open: it may be between two waits.

        Returns:
            Whether it waited.
        """
        if key[0] == "request" and self._sessions[caller][key] == math.inf:
            self._cancelled.add((*caller, key))
        cancelled = self._waits.get((*caller, key))
        if cancelled is not None:
            cancelled()
        return cancelled is not None

    def _has(self, caller: tuple[HostId, SessionId], key: Key) -> bool:
        until = self._sessions.get(caller, {}).get(key)
        return until is not None and until > self._clock.seconds()

    def _open(self, call: Call, key: Key) -> None:
        caller = call.caller.host, call.caller.session
        self._cancelled.discard((*caller, key))
        known = self._sessions.get(caller)
        if known is None:
            self._sweep()
            known = self._sessions[caller] = {}
        elif len(known) >= _MOST_OF_SESSION:
            del known[next(iter(known))]
        known[key] = math.inf

    def _close(self, call: Call, key: Key, *, keep: bool) -> None:
        caller = call.caller.host, call.caller.session
        self._cancelled.discard((*caller, key))
        known = self._sessions.get(caller)
        if known is None or known.pop(key, None) is None:
            return
        if keep:
            known[key] = self._clock.seconds() + _KEPT_SECONDS
        elif not known:
            del self._sessions[caller]

    def _sweep(self) -> None:
        """Forget what is over, now and then; and the oldest where there is too much."""
        now = self._clock.seconds()
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_SECONDS
            for caller, known in tuple(self._sessions.items()):
                for key in [key for key, until in known.items() if until <= now]:
                    del known[key]
                if not known:
                    del self._sessions[caller]
        if len(self._sessions) >= _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]


def kind_of(message: Message) -> Kind | None:
    """Say what kind of request a message is about; None where it is about none."""
    return "answer" if message.form == "response" else _KINDS.get(message.method)


def _key(kind: Kind, call: Call, message_id: MessageId) -> Key:
    return kind, call.upstream_session, message_id


def _token_of(raw: bytes) -> MessageId | None:
    try:
        meta = _ASKED.decode(raw).params.get("_meta")
        token = None if meta is None else _META.decode(meta).get("progressToken")
        return None if token is None else msgspec.json.decode(token, type=str | int)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _question(caller: tuple[HostId, SessionId], key: Key) -> str:
    return msgspec.json.encode((*caller, _fingerprint(key))).decode()


def _fingerprint(key: Key) -> str:
    kind, session, message_id = key
    return digest(f"{kind}\0{session}\0{type(message_id).__name__}\0{message_id}")
