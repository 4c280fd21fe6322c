"""What a standing stream asks to hear about: each resource is decided like a subscription to it.

A stream that names resources is for all of them or for none; the refusal names the first one
the caller may not have (MCP 2026-07-28, `subscriptions/listen`).
"""

from __future__ import annotations

from msgspec.structs import replace

from safeconduct.core.decision import Decision
from safeconduct.core.errors import Code, Refused
from safeconduct.proxy.calls import Call
from safeconduct.proxy.deciding import Decider

_LISTEN, _ACTION = "subscriptions/listen", "resources/subscribe"
_MOST, _LONGEST = 100, 2048


def wanted(call: Call) -> tuple[str, ...]:
    """Return the resources a call wants to be told about.

    Raises:
        Refused: INVALID_PARAMS if they cannot be read, or are too many.
    """
    if call.message.method != _LISTEN:
        return ()
    asked = call.message.params.get("notifications")
    uris = asked.get("resourceSubscriptions") if isinstance(asked, dict) else None
    if uris is None:
        return ()
    if not isinstance(uris, list) or not all(_is_uri(uri) for uri in uris):
        raise Refused(Code.INVALID_PARAMS, "resourceSubscriptions is not a list of URIs.")
    if len(uris) > _MOST:
        raise Refused(
            Code.INVALID_PARAMS, f"One stream can be about {_MOST} resources; open another."
        )
    return tuple(uris)


async def decide(decider: Decider, call: Call, decision: Decision) -> Decision:
    """Return a call's decision, or that of the first resource it may not be told about.

    Args:
        decider: Asks for each resource.
        call: What came in.
        decision: About the call itself.

    Raises:
        Refused: INVALID_PARAMS if the resources cannot be read.
    """
    if call.message.method != _LISTEN or not decision.allow:
        return decision
    for uri in wanted(call):
        each = await decider.decide(call, "resource", uri, _ACTION)
        if not each.allow:
            return replace(each, message=f"{uri}: {each.message}")
    return decision


def _is_uri(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST
