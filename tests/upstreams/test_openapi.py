"""OpenAPI documents: operations become tools, and what cannot be one says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeconduct.core.http_request import HttpRequest
from safeconduct.upstreams import BadOperation, HttpTool, Operation, list_operations
from safeconduct.upstreams.http_tools import written

TEXT = {"type": "string"}
OK = {"200": {"description": "ok"}}


def operations(root: Any) -> list[Operation]:
    """Return all operations of a document, or refuse it for the first that is none."""
    found = list_operations(root)
    for refusal in found.refused:
        raise BadOperation(refusal.reason)
    return found.found


def document(paths: Any, **more: Any) -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths} | more


def parameter(name: str, place: str = "query", **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": TEXT} | more


def _needed(name: str, **more: Any) -> dict[str, Any]:
    return parameter(name, required=True, **more)


def one(said: dict[str, Any], *, method: str = "get", path: str = "/a", **more: Any) -> HttpTool:
    (operation,) = operations(document({path: {method: said}}, **more))
    return operation.read().tool


def bodied(schema: Any, *, required: bool = True, kind: str = "application/json") -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {kind: {"schema": schema}}}}


ISSUES = document(
    {
        "/repos/{owner}/issues/{number}": {
            "parameters": [
                {"$ref": "#/components/parameters/owner"},
                parameter("number", "path", required=True, schema={"type": "integer"}),
            ],
            "get": {
                "operationId": "issues/get",
                "summary": "Get an issue",
                "description": "All of it.",
                "parameters": [
                    parameter("fields", schema={"type": "array", "items": TEXT}, explode=False),
                    parameter("X-Trace", "header"),
                    parameter("session", "cookie"),
                    parameter("Authorization", "header", required=True),
                ],
                "responses": OK,
            },
            "patch": {
                **bodied({"$ref": "#/components/schemas/Issue"}),
                "operationId": "issues/update",
                "responses": OK,
            },
            "head": {"operationId": "issues/head", "responses": OK},
        }
    },
    components={
        "parameters": {"owner": parameter("owner", "path", required=True, description="Who.")},
        "schemas": {
            "Issue": {
                "type": "object",
                "required": ["title", "id"],
                "properties": {
                    "id": {"type": "integer", "readOnly": True},
                    "title": TEXT,
                    "parent": {"$ref": "#/components/schemas/Issue"},
                },
            }
        },
    },
)


def test_operations_become_tools() -> None:
    get, update = (operation.read().tool for operation in operations(ISSUES))

    assert get.name == "issues_get"
    assert get.definition["description"] == "Get an issue\n\nAll of it."
    assert get.request == HttpRequest(
        method="GET",
        path="/repos/{owner}/issues/{number}",
        query=("fields",),
        joined=("fields",),
        required=("owner", "number"),
    )
    properties = get.definition["inputSchema"]["properties"]
    assert properties["owner"] == {"type": "string", "description": "Who."}
    assert set(properties) == {"owner", "number", "fields"}
    assert get.definition["annotations"] == {"readOnlyHint": True}
    assert update.request.body == ("title", "parent")
    assert update.request.required == ("owner", "number", "title")


def test_a_schema_that_contains_itself_is_cut() -> None:
    update = operations(ISSUES)[1].read().tool

    assert update.definition["inputSchema"]["properties"]["parent"] == {}


def test_what_stands_in_answers_alone_is_not_an_argument() -> None:
    assert "id" not in operations(ISSUES)[1].read().tool.definition["inputSchema"]["properties"]


def test_an_operation_without_an_id_is_named_by_what_it_does() -> None:
    (operation,) = operations(document({"/repos/{owner}/issues": {"get": {}}}))

    assert operation.name == "get_repos_owner_issues"


def test_the_operations_parameter_replaces_the_paths() -> None:
    item = {
        "parameters": [parameter("q", required=True), parameter("r")],
        "get": {"parameters": [parameter("q")]},
    }

    (operation,) = operations(document({"/a": item}))

    assert operation.read().tool.request.required == ()
    assert operation.read().tool.request.query == ("q", "r")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": TEXT},
        {"type": "object"},
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": True},
        {"oneOf": [TEXT, {"type": "integer"}]},
        {"type": "object", "properties": {"q": TEXT}},
        True,
        TEXT,
    ],
    ids=["array", "open", "more", "choice", "name-taken", "anything", "text"],
)
def test_a_body_that_is_no_plain_object_is_one_argument(schema: Any) -> None:
    tool = one({"parameters": [parameter("q")], **bodied(schema)}, method="post")

    assert tool.request.whole == "body"
    assert tool.request.body == ()
    assert tool.request.required == ("body",)


def test_an_optional_body_requires_nothing() -> None:
    schema = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}

    tool = one(bodied(schema, required=False), method="post")

    assert tool.request.required == ()
    assert not tool.request.bodied
    assert tool.definition["inputSchema"]["required"] == []


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "application/xml", "application/octet-stream", "image/*", "a"]
)
def test_a_body_that_cannot_be_sent_refuses_the_operation(kind: str, required: bool) -> None:
    """Also an optional one: a tool without it would send less than is described."""
    with pytest.raises(BadOperation, match="which cannot be sent: only JSON, forms and text"):
        one(bodied(TEXT, required=required, kind=kind), method="post")


@pytest.mark.parametrize(
    ("kinds", "media"),
    [
        (["application/merge-patch+json"], "application/merge-patch+json"),
        (["application/json-patch+json", "application/merge-patch+json"],
         "application/merge-patch+json"),
        (["application/vnd.api+json; charset=utf-8"], "application/vnd.api+json"),
        (["*/*"], "application/json"),
        (["application/*"], "application/json"),
        (["application/x-www-form-urlencoded", "Application/JSON"], "application/json"),
        (["multipart/form-data", "application/x-www-form-urlencoded"],
         "application/x-www-form-urlencoded"),
        (["text/plain", "application/xml"], "text/plain"),
    ],
)  # fmt: skip
def test_a_body_is_sent_as_one_of_the_kinds_it_may_have(kinds: list[str], media: str) -> None:
    schema = {"type": "object", "properties": {"a": TEXT}}
    content = {kind: {"schema": schema} for kind in kinds}

    tool = one({"requestBody": {"content": content}}, method="post")

    assert tool.request.media == media
    assert tool.request.body == ((*["a"],) if media != "text/plain" else ())
    assert tool.request.whole == ("body" if media == "text/plain" else "")


def test_fields_of_a_form_that_are_no_text_are_left_out_and_said_so() -> None:
    properties = {"to": TEXT, "tags": {"type": "array", "items": TEXT}, "meta": {"type": "object"}}
    schema = {"type": "object", "properties": properties, "required": ["to"]}
    said = bodied(schema, kind="application/x-www-form-urlencoded")
    (operation,) = operations(document({"/a": {"post": said}}))

    tool, left_out = operation.read()

    assert tool.request.body == ("to", "tags")
    assert tool.request.required == ("to",)
    assert "meta" not in tool.definition["inputSchema"]["properties"]
    (sentence,) = left_out
    assert "'meta' of its form" in sentence

    with pytest.raises(BadOperation, match="its form requires 'meta'"):
        one(bodied({**schema, "required": ["meta"]}, kind="application/x-www-form-urlencoded"),
            method="post")  # fmt: skip


def _form_of(encoding: Any, *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    properties = {"to": TEXT, "tags": {"type": "array", "items": TEXT}}
    schema = {"type": "object", "properties": properties, "required": list(required)}
    said = bodied(schema, kind="application/x-www-form-urlencoded")
    said["requestBody"]["content"]["application/x-www-form-urlencoded"]["encoding"] = encoding
    return said


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ({}, b"to=a&tags=1&tags=2%2C3"),
        ({"tags": {}}, b"to=a&tags=1&tags=2%2C3"),
        ({"tags": {"explode": True, "style": "form"}}, b"to=a&tags=1&tags=2%2C3"),
        ({"tags": {"contentType": "text/plain; charset=utf-8"}}, b"to=a&tags=1&tags=2%2C3"),
        ({"tags": {"explode": False}}, b"to=a&tags=1,2%2C3"),
        ({"tags": {"explode": False}, "to": {"explode": False}}, b"to=a&tags=1,2%2C3"),
        ({"other": {"style": "deepObject"}}, b"to=a&tags=1&tags=2%2C3"),
    ],
)
def test_the_fields_of_a_form_are_written_as_its_encoding_says(encoding: Any, sent: bytes) -> None:
    tool = one(_form_of(encoding), method="post")

    assert written(tool.request, {"to": "a", "tags": ["1", "2,3"]}).body == sent
    assert written(tool.request, {"to": "a", "tags": []}).body == b"to=a"


@pytest.mark.parametrize(
    "way",
    [
        {"style": "deepObject"},
        {"style": "spaceDelimited", "explode": False},
        {"explode": "false"},
        {"explode": None},
        {"contentType": "application/json"},
        {"contentType": 1},
        "form",
    ],
    ids=str,
)
@pytest.mark.parametrize("field", ["to", "tags"])
def test_a_field_whose_encoding_cannot_be_written_is_left_out_or_refuses(
    way: Any, field: str
) -> None:
    (operation,) = operations(document({"/a": {"post": _form_of({field: way})}}))

    tool, left_out = operation.read()

    assert field not in tool.request.body
    assert len(tool.request.body) == 1
    (sentence,) = left_out
    assert f"{field!r} of its form, which its encoding" in sentence
    with pytest.raises(BadOperation, match=f"its form requires '{field}', which its encoding"):
        one(_form_of({field: way}, required=(field,)), method="post")


def test_an_encoding_that_is_none_refuses_the_operation() -> None:
    with pytest.raises(BadOperation, match="the encoding of its form is no object"):
        one(_form_of([]), method="post")


@pytest.mark.parametrize("schema", [{"type": "array"}, {"oneOf": [TEXT]}, TEXT])
def test_a_form_that_has_no_fields_described_refuses_the_operation(schema: Any) -> None:
    with pytest.raises(BadOperation, match="not described field by field"):
        one(bodied(schema, kind="application/x-www-form-urlencoded"), method="post")


def test_an_optional_parameter_that_cannot_be_carried_is_left_out_and_said_so() -> None:
    parameters = [
        parameter("limit"),
        parameter("created", style="deepObject"),
        parameter("x", "cookie"),
        parameter("y", content={}),
        parameter("z", schema={"$ref": "#/nowhere"}),
        parameter("X-Sent", "header"),
    ]
    (operation,) = operations(document({"/a": {"get": {"parameters": parameters}}}))

    tool, left_out = operation.read(frozenset({"x-sent"}))

    assert tool.request.query == ("limit",)
    assert [sentence.split("'")[1] for sentence in left_out] == ["created", "x", "y", "z"]


def test_a_reference_leads_into_files_beside_the_document_and_no_further() -> None:
    files = {
        "parts/all.yaml": {"schemas": {"Id": {"$ref": "../ids.yaml#/Id"}, "Own": {"$ref": "#/x"}},
                           "x": {"type": "integer"}},
        "ids.yaml": {"Id": TEXT},
        "path.yaml": {"get": {"operationId": "far", "parameters": [parameter("q")]}},
    }  # fmt: skip
    asked: list[str] = []

    def read(name: str) -> Any:
        asked.append(name)
        return files[name]

    def schema(reference: str) -> dict[str, Any]:
        return {"parameters": [parameter("q", required=True, schema={"$ref": reference})]}

    paths = {
        "/a": {"get": schema("parts/all.yaml#/schemas/Id")},
        "/b": {"get": schema("./parts/all.yaml#/schemas/Own")},
        "/c": {"$ref": "path.yaml"},
        "/d": {"get": schema("../out.yaml#/x")},
        "/e": {"get": schema("https://a.test/x.yaml#/x")},
        "/f": {"get": schema("/etc/passwd")},
        "/g": {"get": schema("parts/%2e%2e/%2e%2e/out.yaml#/x")},
        "/h": {"get": schema("parts\\out.yaml")},
    }
    found = list_operations(document(paths), read).found

    tools = [operation.read().tool for operation in found[:3]]

    schemas = [tool.definition["inputSchema"]["properties"]["q"] for tool in tools]
    assert schemas == [TEXT, {"type": "integer"}, TEXT]
    for operation in found[3:]:
        with pytest.raises(BadOperation, match="leads out of the document"):
            operation.read()
    assert asked == ["path.yaml", "parts/all.yaml", "ids.yaml"]


def test_a_get_has_no_body_and_needs_none() -> None:
    assert one(bodied(TEXT, required=False)).request == HttpRequest(method="GET", path="/a")


def test_references_are_put_in_place_wherever_schemas_stand() -> None:
    there = {"$ref": "#/components/schemas/T"}
    schema = {
        "type": "object",
        "properties": {"a": {"if": there, "then": {"items": there}, "anyOf": [there]}},
        "dependentSchemas": {"a": there},
    }

    tool = one(bodied(schema), method="post", components={"schemas": {"T": TEXT}})

    expected = {"if": TEXT, "then": {"items": TEXT}, "anyOf": [TEXT]}
    assert tool.definition["inputSchema"]["properties"] == {"a": expected}
    assert "$ref" not in json.dumps(tool.definition)


def test_the_words_of_3_0_are_told_in_those_of_json_schema() -> None:
    schema = {
        "type": "integer",
        "nullable": True,
        "minimum": 1,
        "exclusiveMinimum": True,
        "maximum": 9,
        "exclusiveMaximum": False,
        "example": 3,
        "x-mcp-header": "Region",
        "xml": {},
    }

    tool = one({"parameters": [parameter("q", schema=schema)]}, openapi="3.0.3")

    assert tool.definition["inputSchema"]["properties"]["q"] == {
        "type": ["integer", "null"],
        "exclusiveMinimum": 1,
        "maximum": 9,
    }


def test_a_property_may_be_called_like_a_word_of_schemas() -> None:
    schema = {"type": "object", "properties": {"example": TEXT, "x-a": TEXT, "nullable": TEXT}}

    tool = one(bodied(schema), method="post")

    assert tool.request.body == ("example", "x-a", "nullable")


def test_a_required_header_that_is_sent_anyway_is_no_hindrance() -> None:
    said = {"parameters": [parameter("X-Api-Version", "header", required=True)]}
    (operation,) = operations(document({"/a": {"get": said}}))

    assert operation.read(frozenset({"x-api-version"})).tool.request.query == ()
    with pytest.raises(BadOperation, match=r"GET /a \(get_a\): it requires the header"):
        operation.read()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"parameters": [parameter("c", "cookie", required=True)]}, "requires the cookie 'c'"),
        ({"parameters": [_needed("q", schema={"type": "object"})]}, "neither text, number"),
        ({"parameters": [_needed("q", style="deepObject")]}, "not supported"),
        ({"parameters": [_needed("q", content={})]}, "not supported"),
        ({"parameters": [_needed("q", explode="false")]}, "not supported"),
        ({"parameters": [parameter("id", "path", required=True)]}, "not its parameters in path"),
        ({"parameters": [{"in": "query"}]}, "has no name"),
        ({"parameters": [parameter("q", "body")]}, "in no known place"),
        ({"parameters": "q"}, "no list"),
        ({"parameters": ["q"]}, "is no object"),
        ({"parameters": [{"$ref": "#/nowhere"}]}, "'#/nowhere' leads nowhere"),
        ({"parameters": [{"$ref": "other.yaml#/x"}]}, "leads out of the document"),
        ({"parameters": [{"$ref": "#/paths/~1a/get/parameters/0"}]}, "without end"),
        ({"parameters": [_needed("q", schema={"$ref": "http://a.test/s"})]}, "out of the doc"),
        ({"parameters": [_needed("q", schema="x")]}, "is no object"),
        ({"parameters": [_needed("q\n")]}, "cannot be the name"),
        (bodied(TEXT), "and a GET has none"),
        ({"requestBody": 1}, "its body is no object"),
    ],
)
def test_an_operation_that_cannot_be_a_tool_says_why(said: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOperation, match=message) as refused:
        one(said)

    assert str(refused.value).startswith("GET /a (get_a): ")


@pytest.mark.parametrize("path", ["/a/../b", "a", "/a?x=1", "//a", "/a/{b", "/{b}/{b}"])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    said = {"parameters": [parameter("b", "path", required=True)] if "{b}" in path else []}

    with pytest.raises(BadOperation):
        one(said, path=path)


def test_two_operations_of_one_name_are_refused() -> None:
    paths = {"/a": {"get": {"operationId": "x y"}}, "/b": {"put": {"operationId": "x/y"}}}

    with pytest.raises(BadOperation, match="GET /a and PUT /b would both be the tool 'x_y'"):
        operations(document(paths))


@pytest.mark.parametrize(
    "root",
    [
        None,
        [],
        "openapi: 3.1.0",
        {},
        {"swagger": "2.0", "paths": {"/a": {"get": {}}}},
        {"openapi": "2.0", "paths": {"/a": {"get": {}}}},
        {"openapi": 3.1, "paths": []},
        document({}),
        document(None),
        document({"/a": 1}),
        document({"/a": {"get": []}}),
        document({"/a": {"$ref": "#/paths/~1a"}}),
        document({f"/a{n}": {"get": {}} for n in range(2001)}),
    ],
)
def test_what_is_no_usable_document_is_refused(root: Any) -> None:
    with pytest.raises(BadOperation):
        operations(root)


def test_a_schema_that_grows_without_end_is_refused_soon() -> None:
    """Each level names the next one twice: 2^30 schemas, in a document of 30."""
    levels = {
        f"L{n}": {
            "type": "object",
            "properties": {side: {"$ref": f"#/components/schemas/L{n + 1}"} for side in "ab"},
        }
        for n in range(30)
    } | {"L30": TEXT}

    with pytest.raises(BadOperation, match="too large"):
        one(
            bodied({"$ref": "#/components/schemas/L0"}),
            method="post",
            components={"schemas": levels},
        )


def test_a_deep_schema_is_cut() -> None:
    schema: dict[str, Any] = TEXT
    for _ in range(40):
        schema = {"type": "array", "items": schema}

    tool = one(bodied(schema), method="post")

    assert json.dumps(tool.definition).count("items") < 30


def _media(schema: Any) -> dict[str, Any]:
    return {"schema": schema}


_words = st.sampled_from(["type", "properties", "items", "allOf", "$ref", "required", "nullable"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=20,
)


places = st.sampled_from(["path", "query", "header"]) | json_values
parameters = st.fixed_dictionaries(
    {"name": st.sampled_from(["b", "c"]) | json_values, "in": places},
    optional={"schema": json_values, "required": json_values, "style": json_values},
)
media = st.fixed_dictionaries({"schema": json_values}) | json_values
schemas = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(st.text(max_size=3), json_values)},
    optional={"required": json_values, "additionalProperties": json_values},
)
bodies = st.fixed_dictionaries(
    {"content": st.fixed_dictionaries({"application/json": media | schemas.map(_media)})},
    optional={"required": st.just(value=True) | json_values},
)
verbs = st.fixed_dictionaries(
    {"operationId": json_values},
    optional={"parameters": st.lists(parameters | json_values), "requestBody": bodies},
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["/a", "/{b}"]), st.sampled_from(["get", "post"]), verbs)
def test_whatever_a_document_holds_it_is_read_or_refused(
    path: str, method: str, said: dict[str, Any]
) -> None:
    try:
        tool = one(said, path=path, method=method)
    except BadOperation:
        return
    assert tool.request.path == path
