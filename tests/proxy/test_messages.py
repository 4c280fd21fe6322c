"""One strict reading of a message, and what the later steps are told about it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Intent
from safeconduct.proxy.messages import (
    LEGACY,
    META_INTENT,
    METHODS,
    MODERN,
    NOTIFICATIONS,
    BadParams,
    Era,
    disguised,
    read,
    standing,
)

pytestmark = pytest.mark.requirement("SEC-62", "SEC-63")

_LONG = "x" * 2049
_KNOWN = frozenset({"name", "Kind", "_meta", "straße"})


def _call(**changes: object) -> dict[str, Any]:
    """Return a well-formed tools/call; a change to None leaves a member out."""
    params = {"name": "search", "arguments": {"q": "x"}, "_meta": {"a": 1}}
    whole = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params, **changes}
    return {name: member for name, member in whole.items() if member is not None}


def _refusal(value: object, era: Era | None = MODERN) -> Refused:
    with pytest.raises(Refused) as caught:
        read(json.dumps(value).encode(), era)
    return caught.value


def test_a_call_is_told_by_its_parts() -> None:
    raw = json.dumps(_call()).encode()

    message = read(raw, MODERN)

    assert (message.form, message.id, message.method) == ("request", 7, "tools/call")
    assert message.params == _call()["params"]
    assert message.meta == {"a": 1}
    assert message.arguments == {"q": "x"}
    assert message.name == "search"
    assert message.row is METHODS["tools/call"]
    assert message.raw is raw


@pytest.mark.parametrize("said", [[], "x", 1, True, None])
def test_a_meta_that_is_no_object_is_empty(said: object) -> None:
    message = read(json.dumps(_call(params={"name": "search", "_meta": said})).encode(), MODERN)

    assert message.meta == {}


@pytest.mark.parametrize("params", [{}, {"arguments": None}])
def test_a_call_without_arguments_has_none(params: dict[str, object]) -> None:
    message = read(json.dumps(_call(params={"name": "search", **params})).encode(), MODERN)

    assert message.arguments is None


@pytest.mark.parametrize("arguments", [[], "x", 0, {"a": 1}])
def test_what_else_has_arguments_has_them_as_an_object_or_not_at_all(arguments: object) -> None:
    params = {"name": "n", "arguments": arguments}

    message = read(json.dumps(_call(method="prompts/get", params=params)).encode(), MODERN)

    assert message.arguments == (arguments if isinstance(arguments, dict) else None)


def test_what_has_no_parameters_shares_none_with_others() -> None:
    one, other = (read(json.dumps(_call(method="ping", params=None)).encode()) for _ in "ab")

    assert one.meta == one.params == {}
    assert one.meta is not other.meta
    assert one.params is not other.params


@pytest.mark.parametrize("method", [*METHODS, "x", "Tools/call", "notifications/cancelled"])
@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_a_request_has_the_row_its_era_knows(method: str, era: Era) -> None:
    params = {"name": "n", "uri": "u"}

    message = read(json.dumps(_call(method=method, params=params)).encode(), era)

    row = METHODS.get(method)
    if row is None or era not in row.eras:
        assert message.row is None
        assert message.name == ""
    else:
        assert message.row is row
        assert message.name == (params[row.names] if row.names else "")


@pytest.mark.parametrize("method", [*NOTIFICATIONS, "x", "tools/call"])
@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_a_notification_is_known_in_its_era_alone(method: str, era: Era) -> None:
    message = read(json.dumps(_call(method=method, id=None)).encode(), era)

    row = NOTIFICATIONS.get(method)
    assert (message.row is not None) == (row is not None and era in row.eras)
    assert (message.form, message.id, message.name) == ("notification", None, "")


def test_an_answer_and_a_standing_stream_are_of_the_older_era() -> None:
    answered = read(b'{"jsonrpc":"2.0","id":"a","result":{}}', LEGACY)
    stream = standing("stream/open")

    assert (answered.form, answered.id, answered.method) == ("response", None, "")
    assert (stream.form, stream.id, stream.method) == ("notification", None, "stream/open")
    for message in (answered, stream):
        assert message.row is not None
        assert (message.row.eras, message.row.kind, message.row.names) == ((LEGACY,), "server", "")
        assert not message.row.recorded


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([_call()], "Batches are not accepted; send one message at a time."),
        ([], "Batches are not accepted; send one message at a time."),
        ("x", "The body is not a JSON-RPC 2.0 message."),
        (None, "The body is not a JSON-RPC 2.0 message."),
        (_call(jsonrpc=2.0), "The body is not a JSON-RPC 2.0 message."),
        (_call(jsonrpc=None), "The body is not a JSON-RPC 2.0 message."),
        (_call(ID=1), "A member of the message is not spelled as JSON-RPC spells it."),
        (_call(method=""), "The method is not a text."),
        (_call(method=1), "The method is not a text."),
        (_call(method=_LONG), "The method is not a text."),
        (_call(result={}), "The message is a request and a response at once."),
        (_call(error={}), "The message is a request and a response at once."),
        (_call(params=[]), "The parameters are not an object."),
        (_call(params={"Name": "x"}), "A parameter is not spelled as MCP spells it."),
        (
            _call(params={"name": "x", "notifications": {"resourcesubscriptions": []}}),
            "A parameter is not spelled as MCP spells it.",
        ),
        (_call(method=None), "The message is neither a request nor a response."),
        (
            _call(method=None, result={}, error={}),
            "The message is neither a request nor a response.",
        ),
        (_call(id=True), "The message's id is neither a text nor a whole number."),
        (_call(id=False), "The message's id is neither a text nor a whole number."),
        (_call(id=1.0), "The message's id is neither a text nor a whole number."),
        (_call(id=[]), "The message's id is neither a text nor a whole number."),
        ({**_call(), "id": None}, "The message's id is neither a text nor a whole number."),
        (_call(id=_LONG), "The message's id is too long."),
    ],
)
def test_what_is_not_one_message_is_refused(value: object, why: str) -> None:
    refused = _refusal(value)

    assert (refused.code, refused.public) == (Code.INVALID_MESSAGE, why)


@pytest.mark.parametrize(
    "value",
    [
        _call(id=0),
        _call(id=-(10**300)),
        _call(id=""),
        _call(id=_LONG[1:]),
        _call(extra=1),
        _call(params={"name": _LONG[1:], "task": {}, "notifications": {"x": 1}}),
        _call(params={"name": "x", "notifications": ["Name"]}),
        _call(params={"name": "x", "arguments": {"Name": 1}}),
    ],
)
def test_the_nearest_message_is_read(value: dict[str, Any]) -> None:
    message = read(json.dumps(value).encode(), MODERN)

    assert message.id == value["id"]
    assert message.name == value["params"]["name"]


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.names])
@pytest.mark.parametrize("name", [None, "", 1, ["x"], _LONG])
def test_what_names_nothing_is_refused_under_its_id(method: str, name: object) -> None:
    names = METHODS[method].names
    params = {} if name is None else {names: name}

    refused = _refusal(_call(method=method, params=params), LEGACY)

    assert isinstance(refused, BadParams)
    assert refused.message_id == 7
    assert refused.code is Code.INVALID_PARAMS
    assert refused.public == f"The parameter {names!r} is missing or no text."


@pytest.mark.parametrize("arguments", [[], "", 0, False])
def test_arguments_that_are_no_object_are_refused_under_the_calls_id(arguments: object) -> None:
    refused = _refusal(_call(params={"name": "x", "arguments": arguments}))

    assert isinstance(refused, BadParams)
    assert refused.message_id == 7
    assert refused.public == "The parameter 'arguments' is not an object."


@given(
    st.dictionaries(
        st.sampled_from(["name", "NAME", "kind", "Kind", "_META", "strasse", "STRASSE", "straße"])
        | st.text(max_size=3),
        st.none(),
    )
)
@example({"\u017f": None, "\u212aind": None})
def test_a_disguise_is_a_known_name_but_for_its_case(members: dict[str, None]) -> None:
    folded = [name.casefold() for name in _KNOWN]

    assert disguised(members, _KNOWN) == any(
        name not in _KNOWN and name.casefold() in folded for name in members
    )


def _declaring(said: object, **changes: object) -> dict[str, Any]:
    return _call(params={"name": "search", "_meta": {META_INTENT: said}}, **changes)


@pytest.mark.requirement("Z-45")
@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_an_intent_is_read_where_one_is_declared(era: Era) -> None:
    raw = json.dumps(_declaring({"purpose": "triage", "workflow": "w"})).encode()

    message = read(raw, era)

    assert message.intent == Intent(purpose="triage", workflow="w")
    assert message.raw is raw
    assert message.meta == {META_INTENT: {"purpose": "triage", "workflow": "w"}}
    for undeclared in (_declaring({}), _call()):
        assert read(json.dumps(undeclared).encode(), era).intent is None


@pytest.mark.requirement("Z-45")
@pytest.mark.parametrize("method", ["tools/call", "tools/list", "subscriptions/listen", "x/y"])
@pytest.mark.parametrize(
    "said", [None, "triage", [], {"purpose": ""}, {"purpose": 1}, {"purpose": "p", "goal": "g"}]
)
def test_what_is_no_intent_is_refused_under_the_messages_id(said: object, method: str) -> None:
    refused = _refusal(_declaring(said, method=method))

    assert isinstance(refused, BadParams)
    assert (refused.code, refused.message_id) == (Code.INVALID_PARAMS, 7)
    assert META_INTENT in refused.public


@pytest.mark.requirement("Z-45")
def test_a_notification_with_what_is_no_intent_is_refused_too() -> None:
    refused = _refusal(_declaring("triage", method="notifications/cancelled", id=None))

    assert (refused.code, isinstance(refused, BadParams)) == (Code.INVALID_PARAMS, False)
