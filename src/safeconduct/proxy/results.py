"""Step 8, for single answers: what became of a call, and the state it asks to be kept.

An answer goes out byte for byte as it came, with one exception: a `requestState` is wrapped
in our own encryption, bound to the person, client, server, method, name and arguments, so
that it can only come back with the call it belongs to (MCP 2026-07-28, multi round-trip).
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeconduct.core.canonical import fingerprint
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Caller, HostId
from safeconduct.core.secrets import Sealer, SealError
from safeconduct.egress import UpstreamFailed
from safeconduct.proxy.eras import META_CAPABILITIES
from safeconduct.proxy.messages import JSON, Message

_STATE_SECONDS = 600
_STATE_BYTES = 64 * 1024
_ASKS = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}


class _Result(msgspec.Struct):
    isError: bool | None = None  # noqa: N815  the wire's name
    resultType: str | None = None  # noqa: N815  the wire's name
    requestState: str | None = None  # noqa: N815  the wire's name
    inputRequests: dict[str, JSON] | None = None  # noqa: N815  the wire's name


class _Error(msgspec.Struct):
    code: int


class Reading(msgspec.Struct):
    """As much of a server's message as the road needs to know."""

    jsonrpc: str
    id: str | int | None = None
    method: str | None = None
    result: _Result | None = None
    error: _Error | None = None

    def answers(self) -> bool:
        """Whether this is the answer to a request, and not a message of the server's own."""
        return self.method is None and (self.result is not None or self.error is not None)

    @property
    def asks(self) -> bool:
        """Whether the call is not over: the server wants an answer, or its state back."""
        result = self.result
        return result is not None and (
            bool(result.inputRequests) or result.requestState is not None
        )

    @property
    def outcome(self) -> str:
        """One word for the record."""
        if self.error is not None:
            return "rpc_error"
        if self.result is not None and self.result.isError:
            return "tool_error"
        if self.result is not None and self.result.resultType == "input_required":
            return "input_required"
        return "ok"


_READER = msgspec.json.Decoder(Reading)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
# The second is for names that are not UTF-8, the last for what is nested without end.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read(raw: bytes, message: Message) -> Reading:
    """Read a server's message.

    Raises:
        UpstreamFailed: If it is not JSON-RPC, or answers another request.
    """
    try:
        reading = _READER.decode(raw)
    except UNREADABLE as error:
        raise UpstreamFailed("The server's answer is not JSON-RPC.", sent=True) from error
    if reading.jsonrpc != "2.0":
        raise UpstreamFailed("The server's answer is not JSON-RPC 2.0.", sent=True)
    if reading.method is not None and (reading.result is not None or reading.error is not None):
        raise UpstreamFailed("The server's message is two at once.", sent=True)
    if reading.result is not None and reading.error is not None:
        raise UpstreamFailed("The server's answer is two at once.", sent=True)
    asked = message.form == "request"  # a stream may also bring answers to earlier requests
    if asked and reading.result is not None and reading.id != message.id:
        raise UpstreamFailed("The server answered another request.", sent=True)
    return reading


def members(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """Return an object's members, each as it is spelled.

    Raises:
        UpstreamFailed: If it is no object.
    """
    try:
        return _MEMBERS.decode(raw)
    except UNREADABLE as error:
        raise UpstreamFailed("The server's answer is not JSON-RPC.", sent=True) from error


class RequestStates:
    """Wraps the state a server wants back, and unwraps it for the call it belongs to."""

    def __init__(self, root_key: bytes, *, clock: Clock) -> None:
        self._root_key = root_key
        self._sealers: dict[HostId, Sealer] = {}
        self._clock = clock

    def leave(self, raw: bytes, reading: Reading, message: Message, caller: Caller) -> bytes:
        """Return the answer for the client; unchanged unless it carries state.

        Raises:
            UpstreamFailed: If the server asks for what the client did not say it can do.
        """
        result = reading.result
        if result is None:
            return raw
        _check_asks(result, message)
        if result.requestState is None:
            return raw
        whole = members(raw)
        asking = members(whole["result"])
        asking["requestState"] = self._wrap(result.requestState, message, caller)
        return msgspec.json.encode({**whole, "result": asking})

    def enter(self, message: Message, caller: Caller) -> bytes:
        """Return the bytes for the upstream: as they came, or with its own state put back.

        Raises:
            Refused: INVALID_PARAMS if the state was changed, is too old or belongs to
                another call.
        """
        wrapped = message.params.get("requestState")
        if wrapped is None:
            return message.raw
        state = self._unwrap(wrapped, message, caller)
        whole: dict[str, Any] = msgspec.json.decode(message.raw, type=dict[str, msgspec.Raw])
        params: dict[str, Any] = msgspec.json.decode(whole["params"], type=dict[str, msgspec.Raw])
        params["requestState"] = state
        return msgspec.json.encode({**whole, "params": params})

    def _wrap(self, state: str, message: Message, caller: Caller) -> str:
        if len(state) > _STATE_BYTES:
            raise UpstreamFailed("The server's state is too large to be kept.", sent=True)
        until = int(self._clock.seconds()) + _STATE_SECONDS
        return self._sealer(caller.host).seal(
            f"{until} {state}".encode(), bound_to=_bound(message, caller)
        )

    def _unwrap(self, wrapped: object, message: Message, caller: Caller) -> str:
        refusal = Refused(
            Code.INVALID_PARAMS, "The requestState is not valid for this call or has expired."
        )
        if not isinstance(wrapped, str) or len(wrapped) > 2 * _STATE_BYTES:
            raise refusal
        try:
            plain = self._sealer(caller.host).open(wrapped, bound_to=_bound(message, caller))
        except SealError as error:
            raise refusal from error
        until, _, state = plain.decode().partition(" ")
        if int(until) <= self._clock.seconds():
            raise refusal
        return state

    def _sealer(self, host: HostId) -> Sealer:
        sealer = self._sealers.get(host)
        if sealer is None:
            sealer = Sealer(self._root_key, purpose=f"request-state {host}")
            self._sealers[host] = sealer
        return sealer


def _bound(message: Message, caller: Caller) -> bytes:
    who = f"{caller.host}\0{caller.subject}\0{caller.client}\0{caller.server}"
    what = f"{message.method}\0{message.name}\0{fingerprint(message.params.get('arguments'))}"
    return f"{who}\0{what}".encode()


def _check_asks(result: _Result, message: Message) -> None:
    if not result.inputRequests:
        return
    declared = message.meta.get(META_CAPABILITIES)
    can = declared if isinstance(declared, dict) else {}
    for ask in result.inputRequests.values():
        needed = _ASKS.get(str(ask.get("method")))
        if needed is None or needed not in can:
            raise UpstreamFailed(
                "The server asks for something this client did not say it can do.", sent=True
            )
