"""MCP messages: one strict reading, and one table of what each method is aimed at.

A method that is not in the table is refused; so is anything that is not exactly one
JSON-RPC 2.0 message. Adding a method means adding a row.
"""

from __future__ import annotations

from typing import Any, Literal

from safeconduct.core.canonical import StrictJSONError, parse
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Value

LEGACY: Literal["legacy"] = "legacy"
MODERN: Literal["modern"] = "modern"
Era = Literal["legacy", "modern"]

JSON = dict[str, Any]
MessageId = str | int
_MAX_NAME = 2048
ENVELOPE = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_JUDGED = frozenset(
    {
        "name",
        "uri",
        "arguments",
        "ref",
        "_meta",
        "inputResponses",
        "requestState",
        "notifications",
        "resourceSubscriptions",
        "protocolVersion",
    }
)


class Listing(Value, frozen=True):
    """The shape of a list result.

    Attributes:
        member: Holds the items.
        name: The member of an item that names it.
        kind: What the items are.
        used_by: The method that uses an item; who may not use it is not shown it.
    """

    member: str
    name: str
    kind: str
    used_by: str


class Method(Value, frozen=True):
    """One row of the table.

    Attributes:
        kind: What the method is aimed at: `tool`, `resource`, `prompt` or `server`.
        names: The parameter that names it, or "" where the server itself is meant.
        eras: Where the method exists.
        recorded: Whether each use is written down, and not only refusals.
        listing: Set where the result is a list that is shown only in part.
        pauses: Whether the result may ask the caller for input (`input_required`).
    """

    kind: str = "server"
    names: str = ""
    eras: tuple[Era, ...] = (LEGACY, MODERN)
    recorded: bool = False
    listing: Listing | None = None
    pauses: bool = False


METHODS: dict[str, Method] = {
    "initialize": Method(eras=(LEGACY,)),
    "ping": Method(eras=(LEGACY,)),
    "logging/setLevel": Method(eras=(LEGACY,)),
    "server/discover": Method(eras=(MODERN,)),
    "tools/list": Method(
        listing=Listing(member="tools", name="name", kind="tool", used_by="tools/call")
    ),
    "tools/call": Method(kind="tool", names="name", recorded=True, pauses=True),
    "resources/list": Method(
        listing=Listing(member="resources", name="uri", kind="resource", used_by="resources/read")
    ),
    "resources/templates/list": Method(
        listing=Listing(
            member="resourceTemplates",
            name="uriTemplate",
            kind="resource",
            used_by="resources/read",
        )
    ),
    "resources/read": Method(kind="resource", names="uri", recorded=True, pauses=True),
    "resources/subscribe": Method(kind="resource", names="uri", eras=(LEGACY,), recorded=True),
    "resources/unsubscribe": Method(kind="resource", names="uri", eras=(LEGACY,)),
    "prompts/list": Method(
        listing=Listing(member="prompts", name="name", kind="prompt", used_by="prompts/get")
    ),
    "prompts/get": Method(kind="prompt", names="name", recorded=True, pauses=True),
    "completion/complete": Method(),
    "subscriptions/listen": Method(eras=(MODERN,), recorded=True),
}


def methods_of() -> dict[str, tuple[str, ...]]:
    """Return the methods there are, by the kind of thing they are aimed at."""
    kinds = dict.fromkeys(row.kind for row in METHODS.values())
    return {
        kind: tuple(name for name, row in METHODS.items() if row.kind == kind) for kind in kinds
    }


# What a client may tell a server. Anything else is accepted and goes nowhere.
NOTIFICATIONS: dict[str, tuple[Era, ...]] = {
    "notifications/initialized": (LEGACY,),
    "notifications/cancelled": (LEGACY, MODERN),
    "notifications/progress": (LEGACY,),
    "notifications/roots/list_changed": (LEGACY,),
}


class Message(Value, frozen=True):
    """One message of a client.

    Attributes:
        form: `request`, `notification`, or `response` (an answer to the server's question).
        id: The request's id; None for the other forms.
        method: "" for a response.
        name: What the method is aimed at, "" for the server itself.
        raw: The bytes as they came; these are judged and these are sent.
    """

    form: Literal["request", "notification", "response"]
    id: MessageId | None
    method: str
    params: JSON
    name: str
    raw: bytes

    @property
    def meta(self) -> JSON:
        meta = self.params.get("_meta")
        return meta if isinstance(meta, dict) else {}

    @property
    def arguments(self) -> JSON | None:
        arguments = self.params.get("arguments")
        return arguments if isinstance(arguments, dict) else None


class BadParams(Refused):
    """A request that can be answered under its id, but not carried out."""

    def __init__(self, public: str, message_id: MessageId) -> None:
        super().__init__(Code.INVALID_PARAMS, public)
        self.message_id = message_id


def read(raw: bytes, era: Era | None = None) -> Message:
    """Read a client's message (JSON-RPC 2.0 sections 4 and 5; MCP: no batches).

    Args:
        raw: The body.
        era: Where the method must exist for its parameters to mean anything; None for any.

    Raises:
        Refused: With the reason, if it is not exactly one message.
    """
    try:
        value = parse(raw)
    except StrictJSONError as error:
        raise Refused(Code.PARSE_ERROR, f"The body cannot be read: {error}.") from error
    if isinstance(value, list):
        raise _invalid("Batches are not accepted; send one message at a time")
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        raise _invalid("The body is not a JSON-RPC 2.0 message")
    if disguised(value, ENVELOPE):
        raise _invalid("A member of the message is not spelled as JSON-RPC spells it")
    if "method" not in value:
        return _response(value, raw)
    return _call(value, raw, era)


def disguised(members: JSON, known: frozenset[str]) -> bool:
    """Say whether a member is a known one but for its case.

    We would not look at it; readers that ignore case, as Go's encoding/json does, would take
    it for the known one, and even prefer it.
    """
    strange = members.keys() - known
    if not strange:
        return False
    folded = {name.casefold() for name in known}
    return any(name.casefold() in folded for name in strange)


def _call(value: JSON, raw: bytes, era: Era | None) -> Message:
    method = value["method"]
    if not isinstance(method, str) or not method or len(method) > _MAX_NAME:
        raise _invalid("The method is not a text")
    if "result" in value or "error" in value:
        raise _invalid("The message is a request and a response at once")
    params = value.get("params", {})
    if not isinstance(params, dict):
        raise _invalid("The parameters are not an object")
    if disguised(params, _JUDGED) or disguised(_asked_for(params), _JUDGED):
        raise _invalid("A parameter is not spelled as MCP spells it")
    if "id" not in value:
        return Message(form="notification", id=None, method=method, params=params, name="", raw=raw)
    message_id = _message_id(value["id"])
    fault = _fault(method, params, era)
    if fault:
        raise BadParams(fault, message_id)
    names = _names(method, era)
    return Message(
        form="request",
        id=message_id,
        method=method,
        params=params,
        name=params[names] if names else "",
        raw=raw,
    )


def _asked_for(params: JSON) -> JSON:
    """Return what a standing stream is to be about, which is judged too."""
    asked = params.get("notifications")
    return asked if isinstance(asked, dict) else {}


def _response(value: JSON, raw: bytes) -> Message:
    if ("result" in value) == ("error" in value):
        raise _invalid("The message is neither a request nor a response")
    _message_id(value.get("id"))
    return Message(form="response", id=None, method="", params={}, name="", raw=raw)


def _message_id(value: object) -> MessageId:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _invalid("The message's id is neither a text nor a whole number")
    if len(str(value)) > _MAX_NAME:
        raise _invalid("The message's id is too long")
    return value


def _names(method: str, era: Era | None) -> str:
    """Return the parameter that names what a method is aimed at, or "" if there is none."""
    row = METHODS.get(method)
    return "" if row is None or (era is not None and era not in row.eras) else row.names


def _fault(method: str, params: JSON, era: Era | None) -> str:
    """Say what is wrong with the parameters, or nothing."""
    names = _names(method, era)
    if not names:
        return ""
    name = params.get(names)
    if not isinstance(name, str) or not name or len(name) > _MAX_NAME:
        return f"The parameter {names!r} is missing or no text."
    if method == "tools/call" and not isinstance(params.get("arguments", {}), dict | None):
        return "The parameter 'arguments' is not an object."
    return ""


def _invalid(sentence: str) -> Refused:
    return Refused(Code.INVALID_MESSAGE, f"{sentence}.")
