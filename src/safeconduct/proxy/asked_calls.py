"""What of a message is asked about when it needs a yes, and what of it goes on with one.

The protocol's own members of `_meta` differ from try to try (progress, traces), so nobody is asked
about them and they go on as they come; so do the client's name, version, title and known
capabilities, which are objects that anybody may add to. Whatever else stands in `_meta` or in those
is sealed when the call is asked about: only that goes to the server, as it was then. Members that
JSON-RPC does not know go nowhere. What is sent is what was approved.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec.structs import replace

from safeconduct.core.canonical import canonical_bytes
from safeconduct.core.sealed_calls import AskedCall
from safeconduct.proxy.eras import META_CAPABILITIES, META_CLIENT, META_VERSION
from safeconduct.proxy.messages import ENVELOPE, JSON, Message

_LOG_LEVEL = "io.modelcontextprotocol/logLevel"
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_STATE = re.compile(r"[\x20-\x7e]{0,512}")  # W3C Trace Context section 3.3
_LONGEST = 256
_CLIENT = frozenset({"name", "title", "version"})
# Of ClientCapabilities (MCP 2026-07-28, schema), with what each may hold.
_CAPABILITIES = {
    "roots": frozenset({"listChanged"}),
    "sampling": frozenset({"context", "tools"}),
    "elicitation": frozenset({"form", "url"}),
}


def asked_call(message: Message) -> AskedCall:
    """Return what an operator is asked about."""
    params = {name: value for name, value in message.params.items() if name != "_meta"}
    return AskedCall(params=params, meta=_parted(message.meta)[1])


def as_approved(message: Message, asked: AskedCall | None) -> Message:
    """Return a message with nothing but the protocol's own members and what was asked about.

    Args:
        message: As it came now.
        asked: What was sealed when it was asked about; None if nothing was kept.
    """
    meta = _joined(_parted(message.meta)[0], {} if asked is None else asked.meta)
    whole: dict[str, Any] = msgspec.json.decode(message.raw, type=dict[str, msgspec.Raw])
    # As they are spelled: `1` and `true` are equal to Python, and not to a server.
    same = canonical_bytes(message.params.get("_meta", {})) == canonical_bytes(meta)
    return message if same and ENVELOPE.issuperset(whole) else _with_meta(message, whole, meta)


def _with_meta(message: Message, whole: dict[str, Any], meta: JSON) -> Message:
    params = {name: value for name, value in message.params.items() if name != "_meta"}
    known = {name: value for name, value in whole.items() if name in ENVELOPE}
    said: dict[str, Any] = msgspec.json.decode(
        whole.get("params", b"{}"), type=dict[str, msgspec.Raw]
    )
    said.pop("_meta", None)
    if meta:
        said["_meta"] = params["_meta"] = meta
    raw = msgspec.json.encode({**known, "params": said})
    return replace(message, params=params, meta=meta, raw=raw)


def _parted(meta: JSON) -> tuple[JSON, JSON]:
    """Return the protocol's own part of `_meta`, and the rest."""
    own: JSON = {}
    free: JSON = {}
    for name, value in meta.items():
        if name in {META_CLIENT, META_CAPABILITIES} and isinstance(value, dict):
            fits = _is_of_client if name == META_CLIENT else _is_capability
            own[name] = {each: it for each, it in value.items() if fits(each, it)}
            rest = {each: it for each, it in value.items() if each not in own[name]}
            free |= {name: rest} if rest else {}
        else:
            (own if _is_own(name, value) else free)[name] = value
    return own, free


def _joined(own: JSON, free: JSON) -> JSON:
    both = {
        name: free[name] | value
        for name, value in own.items()
        if isinstance(value, dict) and isinstance(free.get(name), dict)
    }
    return free | own | both


def _is_of_client(name: str, value: object) -> bool:
    return name in _CLIENT and isinstance(value, str) and len(value) <= _LONGEST


def _is_capability(name: str, value: object) -> bool:
    """Say whether a member says what a client can do, and nothing more."""
    return (
        name in _CAPABILITIES
        and isinstance(value, dict)
        and _CAPABILITIES[name].issuperset(value)
        and all(each is True or each is False or each == {} for each in value.values())
    )


def _is_own(name: str, value: object) -> bool:
    """Say whether a member of `_meta` is the protocol's own, in its form."""
    match name:
        case "progressToken":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return whole or (isinstance(value, str) and len(value) <= _LONGEST)
        case "traceparent":
            return isinstance(value, str) and _TRACE_PARENT.fullmatch(value) is not None
        case "tracestate":
            return isinstance(value, str) and _TRACE_STATE.fullmatch(value) is not None
        case _:
            known = name in {META_VERSION, _LOG_LEVEL}
            return known and isinstance(value, str) and len(value) <= _LONGEST
