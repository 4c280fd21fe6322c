"""A request with its arguments: what a server decodes is what was given, where it was given."""

from __future__ import annotations

import json
import unicodedata
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from safeconduct.core.canonical import fingerprint
from safeconduct.core.http_request import HttpRequest
from safeconduct.core.model import Level
from safeconduct.upstreams import HttpApi, HttpTool, declare, pin
from safeconduct.upstreams.descriptions import guess_of
from safeconduct.upstreams.http_tools import Unsendable, kept, written

ISSUE = HttpRequest(method="GET", path="/issues/{id}/x", required=("id",))
SEARCH = HttpRequest(method="GET", path="/s", query=("q", "r"), joined=("r",), required=("q",))
MAKE = HttpRequest(method="POST", path="/i", body=("a", "b"), bodied=True)
SCHEMA = {"type": "object", "properties": {"id": {}}, "required": ["id"]}

texts = st.text(alphabet=st.characters(codec="utf-8"), max_size=40)
nasty = st.text(alphabet="./\\%2eEfF5cC?#&=;+ aé", max_size=12)
scalars = st.one_of(
    texts, st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
)


def spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def climbs(text: str) -> bool:
    """The slow way: decode as often as it changes anything, and look for dots between slashes."""
    while True:
        plain = unicodedata.normalize("NFKC", text)
        if ";" in plain or any(each in {".", ".."} for each in plain.replace("\\", "/").split("/")):
            return True
        if unquote(text) == text:
            return False
        text = unquote(text)


@given(st.one_of(texts, nasty))
@example("a/b")
@example("?x=1")
@example("#f")
@example("%41")
@example("a...b")
def test_a_path_argument_arrives_whole_in_its_own_segment(value: str) -> None:
    assume(value and not climbs(value) and value.isprintable())

    try:
        below, body = written(ISSUE, {"id": value})
    except Unsendable:  # only what is encoded over and over is refused beyond the rules above
        assert "%25" in value.replace("%35", "5").replace("%32", "2")
        return

    first, second, third, last = below.split(b"/")
    assert (first, second, last, body) == (b"", b"issues", b"x", None)
    assert unquote(third.decode("ascii"), errors="strict") == value
    assert not {*b"?#;\\ &+"} & {*third}


@given(st.one_of(texts, nasty))
@example("../admin")
@example("..")
@example(".")
@example("")
@example("%2e%2e")
@example("%252E%252e%252fadmin")
@example("a/../b")
@example("..\\admin")
@example("..%5cadmin")
@example("a\x00b")
@example("..;")
@example("..;x=1")
@example("a/..;/b")
@example("a;role=admin")
@example("a%3brole=admin")
@example("%253b")
@example("..%3B%2Fadmin")
@example("\uff0e\uff0e")
@example("\u2025")
@example("a\uff0f.\uff0fb")
@example("a\uff1bb")
def test_a_path_argument_that_could_leave_its_segment_is_never_written(value: str) -> None:
    assume(not value or climbs(value) or not value.isprintable())

    with pytest.raises(Unsendable) as refused:
        written(ISSUE, {"id": value})

    assert value not in str(refused.value) or len(value) < 4


@given(st.dictionaries(st.sampled_from(["q", "r"]), st.one_of(scalars, st.lists(scalars))))
def test_a_query_argument_arrives_whole_under_its_own_name(given_: dict[str, Any]) -> None:
    given_ |= {"q": given_.get("q", "x")}

    below, _ = written(SEARCH, given_)

    path, _, query = below.decode("ascii").partition("?")
    assert path == "/s"
    items = {name: each if isinstance(each, list) else [each] for name, each in given_.items()}
    expected = [("q", spelled(each)) for each in items["q"]]
    pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    assert [pair for pair in pairs if pair[0] == "q"] == expected
    # Commas of the values are encoded, those between them are not.
    raw = next((each[2:] for each in query.split("&") if each.startswith("r=")), None)
    parts = None if raw is None else [unquote(each) for each in raw.split(",")]
    assert parts == ([spelled(each) for each in items.get("r", [])] or None)
    assert "+" not in query


@given(st.dictionaries(st.sampled_from(["a", "b"]), st.recursive(st.none() | scalars, st.lists)))
def test_a_body_holds_exactly_the_arguments_that_are_its(given_: dict[str, Any]) -> None:
    below, body = written(MAKE, given_)

    assert below == b"/i"
    assert body is not None
    assert json.loads(body) == given_


def test_an_optional_body_is_left_out_with_its_arguments() -> None:
    request = HttpRequest(method="POST", path="/i", body=("a",))

    assert written(request, {}).body is None
    assert written(request, {"a": None}).body == b'{"a":null}'


def test_a_body_may_be_any_json() -> None:
    request = HttpRequest(method="POST", path="/i", whole="body")

    assert written(request, {"body": [1, {"x": "é"}]}).body == '[1,{"x":"é"}]'.encode()
    assert written(request, {"body": None}).body == b"null"
    assert written(request, {}).body is None


@pytest.mark.parametrize(
    ("request_", "arguments", "said"),
    [
        (ISSUE, {}, "'id' is missing"),
        (ISSUE, {"id": None}, "'id' is neither text"),
        (ISSUE, {"id": ["a"]}, "'id' is neither text"),
        (ISSUE, {"id": {"a": 1}}, "'id' is neither text"),
        (ISSUE, {"id": "a", "ID": "b"}, "no argument 'ID'"),
        (ISSUE, {"id": "a" * 9000}, "too long"),
        (SEARCH, {"r": "x"}, "'q' is missing"),
        (SEARCH, {"q": None}, "'q' is missing"),
        (SEARCH, {"q": [["a"]]}, "'q' is neither text"),
        (SEARCH, {"q": {"a": 1}}, "'q' is neither text"),
        (SEARCH, {"q": ["a"] * 201}, "more than 200 items"),
        (MAKE, {"c": 1}, "no argument 'c'"),
        (HttpRequest(method="POST", path="/i", body=("a",), required=("a",)), {}, "'a' is missing"),
    ],
)
def test_arguments_that_do_not_fit_are_not_sent(
    request_: HttpRequest, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(Unsendable, match=said):
        written(request_, arguments)


def test_arguments_beside_each_other_make_no_dots() -> None:
    pair = HttpRequest(method="GET", path="/{a}{b}/x", required=("a", "b"))
    dotted = HttpRequest(method="GET", path="/.{a}", required=("a",))

    assert written(pair, {"a": "1", "b": "2"}).below == b"/12/x"
    with pytest.raises(Unsendable):
        written(pair, {"a": "%", "b": "2e"})
    with pytest.raises(Unsendable):
        written(dotted, {"a": "%2e"})
    assert written(dotted, {"a": "well-known"}).below == b"/.well-known"
    declared = HttpRequest(method="GET", path="/.{a};v={b}", required=("a", "b"))
    assert written(declared, {"a": "well-known", "b": "2"}).below == b"/.well-known;v=2"
    with pytest.raises(Unsendable):
        written(declared, {"a": "%2e", "b": "2"})


def test_what_is_optional_and_nothing_is_left_out_of_the_query() -> None:
    assert written(SEARCH, {"q": "x", "r": None}).below == b"/s?q=x"
    assert written(SEARCH, {"q": [], "r": []}).below == b"/s"


@pytest.mark.requirement("K-12")
@pytest.mark.parametrize(
    ("method", "name", "level"),
    [
        ("GET", "get_issue", Level.LOW),
        ("GET", "delete_issue", Level.HIGH),
        ("GET", "frobnicate", Level.MEDIUM),
        ("POST", "get_issue", Level.MEDIUM),
        ("PATCH", "get_issue", Level.MEDIUM),
        ("PUT", "get_issue", Level.MEDIUM),
        ("DELETE", "get_issue", Level.HIGH),
    ],
)
def test_the_method_raises_a_level_and_never_lowers_it(
    method: str, name: str, level: Level
) -> None:
    tool = declare(name, HttpRequest(method=method, path="/x"), {"type": "object"})

    assert guess_of(name, tool.definition, is_http=True).level is level


def made(**more: Any) -> HttpTool:
    request = HttpRequest(**{"method": "GET", "path": "/i/{id}", "required": ("id",)} | more)
    return declare("get_issue", request, SCHEMA, title="One", about="About it.")


def test_another_request_is_another_tool() -> None:
    same, other = made(), made(path="/admin/{id}")

    assert pin(made().definition) == pin(same.definition)
    assert pin(made().definition) != pin(other.definition)
    assert {**made().definition, "_meta": 0} == {**other.definition, "_meta": 0}


def test_what_is_kept_comes_back_and_its_request_is_not_shown() -> None:
    (stored,) = HttpApi(tools={"get_issue": made()}).definitions()

    assert kept(json.loads(json.dumps(stored))) == made()
    assert "/i/{id}" not in json.dumps(made().definition)
    assert kept({"name": "x"}) is None


FORM = HttpRequest(
    method="POST",
    path="/m",
    body=("to", "tags", "n"),
    bodied=True,
    media="application/x-www-form-urlencoded",
    required=("to",),
)


def test_a_form_is_written_field_by_field() -> None:
    """WHATWG URL, application/x-www-form-urlencoded; no value makes a field of another."""
    arguments = {"to": "a&b=c+d é", "tags": ["x", "y"], "n": 1.5}

    body = written(FORM, arguments).body

    assert body is not None
    assert parse_qsl(body.decode()) == [
        ("to", "a&b=c+d é"), ("tags", "x"), ("tags", "y"), ("n", "1.5")
    ]  # fmt: skip
    with pytest.raises(Unsendable, match="neither text, number"):
        written(FORM, {"to": {"a": 1}})
    with pytest.raises(Unsendable, match="missing"):
        written(FORM, {"to": None})


def test_a_text_is_sent_as_it_is() -> None:
    request = HttpRequest(method="POST", path="/n", whole="body", media="text/plain")

    assert written(request, {"body": "half é"}).body == "half é".encode()
    assert written(request, {}).body is None
    with pytest.raises(Unsendable, match="is no text"):
        written(request, {"body": 7})


def test_another_kind_of_body_is_another_tool_and_json_is_the_one_it_was() -> None:
    """A tool that was pinned before there were other kinds stays the one that was reviewed."""
    json_tool = declare("m", MAKE, SCHEMA)
    form = declare("m", HttpRequest(method="POST", path="/i", body=("a", "b"), bodied=True,
                                    media="application/x-www-form-urlencoded"), SCHEMA)  # fmt: skip

    assert pin(json_tool.definition) != pin(form.definition)
    spelled = {"method": "POST", "path": "/i", "query": [], "joined": [], "body": ["a", "b"],
               "whole": "", "bodied": True, "required": []}  # fmt: skip
    assert json_tool.definition["_meta"] == {"safeconduct/request": fingerprint(spelled)}
