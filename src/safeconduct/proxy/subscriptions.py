"""What a message asks to hear about deeper inside: each item is decided like a use of it.

A standing stream names resources (`subscriptions/listen`), a completion the prompt or resource
it is for (`completion/complete`). A message is for all it names or for none; the refusal names
the first item the caller may not have.
"""

from __future__ import annotations

from typing import NamedTuple, TypeGuard

from msgspec.structs import replace

from safeconduct.core.canonical import disguised
from safeconduct.core.decision import Decision
from safeconduct.core.errors import Code, Refused
from safeconduct.proxy.calls import Call
from safeconduct.proxy.deciding import Decider

ASKING = frozenset({"subscriptions/listen", "completion/complete"})
_MOST, _LONGEST = 100, 2048


class Item(NamedTuple):
    """Something of the server, and the method that would use it."""

    kind: str
    name: str
    action: str


# How a completion refers to what it is for: the member that names it, and what it is.
_REFERENCES = {
    "ref/prompt": ("name", "prompt", "prompts/get"),
    "ref/resource": ("uri", "resource", "resources/read"),
}


def wanted(call: Call) -> tuple[Item, ...]:
    """Return what a call wants to be told about.

    Raises:
        Refused: INVALID_PARAMS if it cannot be read, or is too much.
    """
    match call.message.method:
        case "subscriptions/listen":
            uris = _subscribed(call)
            return tuple(Item("resource", uri, "resources/subscribe") for uri in uris)
        case "completion/complete":
            return (_completed(call),)
        case _:
            return ()


def _completed(call: Call) -> Item:
    said = call.message.params.get("ref")
    ref = said if isinstance(said, dict) else {}
    member, kind, action = _REFERENCES.get(str(ref.get("type")), ("", "", ""))
    name = ref.get(member)
    if not kind or not _is_name(name) or disguised(ref, frozenset({"type", "name", "uri"})):
        raise Refused(Code.INVALID_PARAMS, "The parameter 'ref' names no prompt and no resource.")
    return Item(kind, name, action)


def _subscribed(call: Call) -> list[str]:
    asked = call.message.params.get("notifications")
    uris = asked.get("resourceSubscriptions") if isinstance(asked, dict) else None
    if uris is None:
        return []
    if not isinstance(uris, list) or not all(_is_name(uri) for uri in uris):
        raise Refused(Code.INVALID_PARAMS, "resourceSubscriptions is not a list of URIs.")
    if len(uris) > _MOST:
        raise Refused(
            Code.INVALID_PARAMS, f"One stream can be about {_MOST} resources; open another."
        )
    return uris


async def decide(decider: Decider, call: Call, decision: Decision) -> Decision:
    """Return a call's decision, or that of the first item it may not be told about.

    Args:
        decider: Asks for each item.
        call: What came in.
        decision: About the call itself.

    Raises:
        Refused: INVALID_PARAMS if the items cannot be read.
    """
    if call.message.method not in ASKING or not decision.allow:
        return decision
    for kind, name, action in wanted(call):
        each = await decider.decide(call, kind, name, action)
        if not each.allow:
            return replace(each, message=f"{name}: {each.message}")
    return decision


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST
