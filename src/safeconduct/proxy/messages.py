"""MCP messages: one strict reading, and one table of what each method is aimed at.

A method that is not in the table is refused; so is anything that is not exactly one
JSON-RPC 2.0 message. Adding a method means adding a row.
"""

from __future__ import annotations

from typing import Any, Literal

from safeconduct.core.canonical import StrictJSONError, disguised, parse
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Intent, Value
from safeconduct.proxy.background import LARGE_BYTES

LEGACY: Literal["legacy"] = "legacy"
MODERN: Literal["modern"] = "modern"
Era = Literal["legacy", "modern"]

JSON = dict[str, Any]
MessageId = str | int
META_INTENT = "io.safeconduct/intent"
MAX_VALUES = 100_000
_SHORT_BYTES, _MANY_BRACKETS = 4 * 1024, 2000  # some 0.2 ms to read
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
        pinned_as: What the items are reviewed as; "" for what nobody reviews.
    """

    member: str
    name: str
    kind: str
    used_by: str
    pinned_as: str = ""


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
        listing=Listing(
            member="tools", name="name", kind="tool", used_by="tools/call", pinned_as="tool"
        )
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
            pinned_as="template",
        )
    ),
    "resources/read": Method(kind="resource", names="uri", recorded=True, pauses=True),
    "resources/subscribe": Method(kind="resource", names="uri", eras=(LEGACY,), recorded=True),
    "resources/unsubscribe": Method(kind="resource", names="uri", eras=(LEGACY,)),
    "prompts/list": Method(
        listing=Listing(
            member="prompts",
            name="name",
            kind="prompt",
            used_by="prompts/get",
            pinned_as="prompt",
        )
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
NOTIFICATIONS: dict[str, Method] = {
    "notifications/initialized": Method(eras=(LEGACY,)),
    "notifications/cancelled": Method(),
    "notifications/progress": Method(eras=(LEGACY,)),
    "notifications/roots/list_changed": Method(eras=(LEGACY,)),
}
_NAMED_BY = {
    "notifications/cancelled": "requestId",
    "notifications/progress": "progressToken",
}
_OLDER = Method(eras=(LEGACY,))  # for what is no method: answers, and asking for the stream


def _by_era(rows: dict[str, Method]) -> dict[Era | None, dict[str, Method]]:
    """Return the rows of each era; under None, all of them."""
    known: dict[Era | None, dict[str, Method]] = {None: rows}
    for era in (LEGACY, MODERN):
        known[era] = {name: row for name, row in rows.items() if era in row.eras}
    return known


_ASKED, _TOLD = _by_era(METHODS), _by_era(NOTIFICATIONS)


class Message(Value, frozen=True):
    """One message of a client.

    Attributes:
        form: `request`, `notification`, or `response` (an answer to the server's question).
        method: "" for a response.
        row: What the table says of it; None where it means nothing in its era.
        raw: The bytes as they came; these are judged and these are sent.
        id: The request's id; None for the other forms.
        name: What the method is aimed at, "" for the server itself.
        meta: The parameters' `_meta`, empty where there is none.
        arguments: The parameters' `arguments`, None where there are none.
        intent: What `_meta` declares under `META_INTENT`, None where nothing is.
        about: The id or token of the other request that a message is about, where it is.
    """

    form: Literal["request", "notification", "response"]
    method: str
    params: JSON
    row: Method | None
    raw: bytes
    id: MessageId | None = None
    name: str = ""
    meta: JSON = {}
    arguments: JSON | None = None
    intent: Intent | None = None
    about: MessageId | None = None


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
        value = parse(raw, max_values=MAX_VALUES)
    except StrictJSONError as error:
        raise Refused(Code.PARSE_ERROR, f"The body cannot be read: {error}.") from error
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0":
        if isinstance(value, list):
            raise _invalid("Batches are not accepted; send one message at a time")
        raise _invalid("The body is not a JSON-RPC 2.0 message")
    if disguised(value, ENVELOPE):
        raise _invalid("A member of the message is not spelled as JSON-RPC spells it")
    if "method" not in value:
        return _response(value, raw)
    return _call(value, raw, era)


def takes_long(raw: bytes) -> bool:
    """Tell whether a text is so large, or has so many values, that reading it is felt by others."""
    size = len(raw)
    if size <= _SHORT_BYTES:
        return False
    return size > LARGE_BYTES or raw.count(b"[") + raw.count(b"{") > _MANY_BRACKETS


def standing(method: str) -> Message:
    """Describe a GET or DELETE as a message: it asks for the stream, or ends the session."""
    return Message(form="notification", method=method, params={}, row=_OLDER, raw=b"")


def _call(value: JSON, raw: bytes, era: Era | None) -> Message:
    method = value["method"]
    if not isinstance(method, str) or not method or len(method) > _MAX_NAME:
        raise _invalid("The method is not a text")
    if "result" in value or "error" in value:
        raise _invalid("The message is a request and a response at once")
    params = value.get("params", {})
    if not isinstance(params, dict):
        raise _invalid("The parameters are not an object")
    if disguised(params, _JUDGED) or ("notifications" in params and _asks_in_disguise(params)):
        raise _invalid("A parameter is not spelled as MCP spells it")
    message_id, name, about = None, "", None
    if "id" not in value:
        row, about = _TOLD[era].get(method), _about(method, params)
    else:
        message_id = _message_id(value["id"])
        row = _ASKED[era].get(method)
        if row is not None and row.names:
            name = _aim(row, method, params, message_id)
    meta, arguments = params.get("_meta"), params.get("arguments")
    if not isinstance(meta, dict):
        meta = {}
    elif "__proto__" in meta:
        raise _invalid("A member of _meta is none of its own to every reader")
    return Message(
        form="notification" if message_id is None else "request",
        id=message_id,
        method=method,
        params=params,
        meta=meta,
        arguments=arguments if isinstance(arguments, dict) else None,
        intent=_intent(meta[META_INTENT], message_id) if META_INTENT in meta else None,
        name=name,
        row=row,
        raw=raw,
        about=about,
    )


def _about(method: str, params: JSON) -> MessageId | None:
    """Return what names the request that a notification is about; None for what names none."""
    named = params.get(_NAMED_BY.get(method, ""))
    fits = isinstance(named, int | str) and not isinstance(named, bool)
    return named if fits and len(str(named)) <= _MAX_NAME else None


def _asks_in_disguise(params: JSON) -> bool:
    """Look at what a standing stream is to be about, which is judged too."""
    asked = params["notifications"]
    return isinstance(asked, dict) and disguised(asked, _JUDGED)


def _response(value: JSON, raw: bytes) -> Message:
    if ("result" in value) == ("error" in value):
        raise _invalid("The message is neither a request nor a response")
    about = _message_id(value.get("id"))
    return Message(form="response", method="", params={}, row=_OLDER, raw=raw, about=about)


def _message_id(value: object) -> MessageId:
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # what was read at all is short enough
    if not isinstance(value, str):
        raise _invalid("The message's id is neither a text nor a whole number")
    if len(value) > _MAX_NAME:
        raise _invalid("The message's id is too long")
    return value


def _aim(row: Method, method: str, params: JSON, message_id: MessageId) -> str:
    """Return what a request is aimed at.

    Raises:
        BadParams: If it does not say so, or says more that cannot be meant.
    """
    name = params.get(row.names)
    if not isinstance(name, str) or not name or len(name) > _MAX_NAME:
        raise BadParams(f"The parameter {row.names!r} is missing or no text.", message_id)
    if method == "tools/call":
        arguments = params.get("arguments")
        if arguments is not None and not isinstance(arguments, dict):
            raise BadParams("The parameter 'arguments' is not an object.", message_id)
    return name


def _intent(said: object, message_id: MessageId | None) -> Intent | None:
    """Read what an agent declares.

    Raises:
        Refused: INVALID_PARAMS, under the message's id if it has one.
    """
    try:
        return Intent.parse(said)
    except ValueError as error:
        public = (
            f"The parameter _meta[{META_INTENT!r}] is no object with the texts 'purpose' (up to "
            "200 characters) and 'workflow' (up to 100), each printable and optional."
        )
        if message_id is None:
            raise Refused(Code.INVALID_PARAMS, public) from error
        raise BadParams(public, message_id) from error


def _invalid(sentence: str) -> Refused:
    return Refused(Code.INVALID_MESSAGE, f"{sentence}.")
