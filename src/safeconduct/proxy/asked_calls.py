"""What of a message is asked about when it needs a yes, and what of `_meta` goes on with one.

The protocol's own members of `_meta` differ from try to try (progress, traces), so nobody is asked
about them and they go on as they come. All others are sealed when the call is asked about: only
those go to the server, as they were then. What is sent is what was approved.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec.structs import replace

from safeconduct.core.sealed_calls import AskedCall
from safeconduct.proxy.eras import META_CAPABILITIES, META_CLIENT, META_VERSION
from safeconduct.proxy.messages import JSON, Message

_LOG_LEVEL = "io.modelcontextprotocol/logLevel"
_OWN = frozenset({META_VERSION, META_CLIENT, META_CAPABILITIES, _LOG_LEVEL})
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_STATE = re.compile(r"[\x20-\x7e]{0,512}")  # W3C Trace Context section 3.3
_LONGEST_TOKEN = 256


def asked_call(message: Message) -> AskedCall:
    """Return what an operator is asked about."""
    params = {name: value for name, value in message.params.items() if name != "_meta"}
    meta = {name: value for name, value in message.meta.items() if not _is_own(name, value)}
    return AskedCall(params=params, meta=meta)


def as_approved(message: Message, asked: AskedCall | None) -> Message:
    """Return a message with no other `_meta` than the protocol's own and what was asked about.

    Args:
        message: As it came now.
        asked: What was sealed when it was asked about; None if nothing was kept.
    """
    own = {name: value for name, value in message.meta.items() if _is_own(name, value)}
    meta = own | ({} if asked is None else asked.meta)
    given = message.params.get("_meta", {})
    return message if given == meta else _with_meta(message, meta)


def _with_meta(message: Message, meta: JSON) -> Message:
    params = {name: value for name, value in message.params.items() if name != "_meta"}
    whole: dict[str, Any] = msgspec.json.decode(message.raw, type=dict[str, msgspec.Raw])
    said: dict[str, Any] = msgspec.json.decode(whole["params"], type=dict[str, msgspec.Raw])
    said.pop("_meta", None)
    if meta:
        said["_meta"] = params["_meta"] = meta
    raw = msgspec.json.encode({**whole, "params": said})
    return replace(message, params=params, meta=meta, raw=raw)


def _is_own(name: str, value: object) -> bool:
    """Say whether a member of `_meta` is the protocol's own, in its form."""
    match name:
        case "progressToken":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return whole or (isinstance(value, str) and len(value) <= _LONGEST_TOKEN)
        case "traceparent":
            return isinstance(value, str) and _TRACE_PARENT.fullmatch(value) is not None
        case "tracestate":
            return isinstance(value, str) and _TRACE_STATE.fullmatch(value) is not None
        case _:
            return name in _OWN
