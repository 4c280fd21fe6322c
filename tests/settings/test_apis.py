"""Plain HTTP APIs in the configuration file: strict, with places, and secrets by reference only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from safeconduct.core.http_request import HttpRequest
from safeconduct.settings import SettingsError, read_document
from tests.settings.conftest import HOST, Fail, Parse

LINE = 9  # where text appended to HOST begins
ENV = {"API_KEY": "key-0123456789", "ODD": "two\nlines"}


def api(inner: str) -> str:
    return f"{HOST}      - {{key: api, http: {{base: 'https://api.test/v3', {inner}}}}}\n"


def tool(inner: str) -> str:
    return api(f"tools: [{{name: t, {inner}}}]")


def test_a_server_may_be_a_plain_api(read: Parse) -> None:
    text = api(
        "headers: {x-api-key: {env: API_KEY}}, "
        "tools: [{name: t, request: 'GET /a/{b}', query: [c]}]"
    )

    said = read(text, ENV).hosts[0].servers[1]

    assert said.url is None
    assert said.http is not None
    assert said.http.base == "https://api.test/v3"
    assert said.http.headers["x-api-key"].reveal() == ENV["API_KEY"]
    assert ENV["API_KEY"] not in repr(said)
    request, schema = said.http.tools[0].declared()
    assert request == HttpRequest(method="GET", path="/a/{b}", query=("c",), required=("b",))
    assert schema["required"] == ["b"]
    assert set(schema["properties"]) == {"b", "c"}


def test_all_is_what_is_left_for_the_body(read: Parse) -> None:
    properties = "{a: {}, b: {}, c: {}, d: {}}"
    text = tool(
        "request: 'POST /{a}', query: [b], body: all, "
        f"input: {{type: object, required: [a], properties: {properties}}}"
    )

    http = read(text).hosts[0].servers[1].http

    assert http is not None
    request, _ = http.tools[0].declared()
    assert request.body == ("c", "d")
    assert request.bodied


def test_a_slash_at_the_end_of_the_base_is_no_part_of_it(read: Parse) -> None:
    text = tool("request: GET /x").replace("api.test/v3", "api.test/v3/")

    http = read(text).hosts[0].servers[1].http

    assert http is not None
    assert http.base == "https://api.test/v3"


INPUT = "input: {type: object, required: [issue], properties: {issue: {}, state: {}}}"


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (f"{HOST}      - {{key: api}}", "", "must have url (an MCP endpoint) or http"),
        (
            f"{HOST}      - {{key: api, url: 'https://a.test/m', http: {{base: 'https://b.test'}}}}",
            "",
            "and not both",
        ),
        (api("openapy: x"), ".http", "unknown key 'openapy'; did you mean 'openapi'?"),
        (api(""), ".http", "declares nothing"),
        (api("openapi: none.yaml"), ".http.openapi", "there is no such file beside this file"),
        (api("headers: {x-key: literal}"), ".http.headers.x-key", "never written here"),
        (api("headers: {x-key: {env: ODD}}"), ".http.headers.x-key", "cannot carry"),
        (api("headers: {Host: {env: API_KEY}}"), ".http.headers.Host", "writes itself"),
        (api("headers: {cookie: {env: API_KEY}}"), ".http.headers.cookie", "never sends"),
        (api("headers: {mcp-name: {env: API_KEY}}"), ".http.headers.mcp-name", "writes itself"),
        (api("headers: {'x y': {env: API_KEY}}"), ".http.headers['x y']", "name of an HTTP header"),
        (
            api("headers: {x-a: {env: API_KEY}, X-A: {env: API_KEY}}"),
            ".http.headers.X-A",
            "repeats hosts[0].servers[1].http.headers.x-a (line 9)",
        ),
        (
            api("tools: [{name: t, request: GET /a}, {name: t, request: GET /b}]"),
            ".http.tools[1].name",
            "repeats hosts[0].servers[1].http.tools[0].name (line 9)",
        ),
        (tool("request: HEAD /x"), ".http.tools[0].request", "must be a method"),
        (tool("request: GET"), ".http.tools[0].request", "must be a method"),
        (tool("request: GET /a/../b"), ".http.tools[0].request", "empty, '.' or '..'"),
        (tool("request: 'GET /a?b=c'"), ".http.tools[0].request", "no query"),
        (
            tool("request: GET /x").replace("name: t", "name: 'a b'"),
            ".http.tools[0].name",
            "1 to 128",
        ),
        (
            tool(f"request: 'GET /i/{{issue}}', query: [stat], {INPUT}"),
            ".http.tools[0].query",
            "names 'stat', which input does not describe; did you mean 'state'?",
        ),
        (
            tool(f"request: 'GET /i/{{issu}}', query: [state], {INPUT}"),
            ".http.tools[0].request",
            "names 'issu', which input does not describe; did you mean 'issue'?",
        ),
        (
            tool(f"request: 'GET /i/{{issue}}', {INPUT}"),
            ".http.tools[0].input",
            "has 'state', which goes into neither path, query nor body",
        ),
        (tool("request: GET /x, body: [a]"), ".http.tools[0].body", "GET has none"),
        *(
            (
                tool(f"request: POST /x, body: all, input: {{type: object, properties: {odd}}}"),
                ".http.tools[0].input",
                "must be the schema of an object",
            )
            for odd in ("5", "[[a]]", "a", "null")
        ),
        *(
            (
                tool(f"request: POST /x, input: {{type: object, required: {odd}}}"),
                ".http.tools[0].input",
                "a list of names",
            )
            for odd in ("5", "[[a]]", "a", "null", "{}")
        ),
        (tool("request: POST /x, body: all"), ".http.tools[0].body", "all is nothing"),
        (
            tool("request: GET /x").replace("https://api.test/v3", "https://10.0.0.1"),
            ".http.base",
            "is a private address, and server.allow_private_upstreams is off",
        ),
        *(
            (tool("request: GET /x").replace("https://api.test/v3", base), ".http.base", "must")
            for base in (
                *("https://a.test/?x=1", "https://a.test/#x", "https://a.test/a/../b", "ftp://a"),
                *("https://u:p@a.test", "https://a.test//b", "https://a.test/{x}"),
            )
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    refuse: Fail, text: str, path: str, message: str
) -> None:
    error = refuse(text, ENV)

    found = [(problem.path, problem.message) for problem in error.problems]
    assert any(
        where == f"hosts[0].servers[1]{path}" and message in what for where, what in found
    ), found
    assert all(problem.line == LINE for problem in error.problems)
    assert ENV["API_KEY"] not in str(error)


def test_loopback_is_for_those_who_allow_it(refuse: Fail) -> None:
    text = tool("request: GET /x").replace("https://api.test/v3", "http://127.0.0.1:1")
    text = text.replace("server: {allow_loopback_upstreams: true}", "server: {}")

    assert "hosts[0].servers[1].http.base" in str(refuse(text))


def test_an_import_must_be_known(refuse: Fail) -> None:
    text = tool("request: GET /x").replace("key: api", "key: api, import: [t], tools: {tt: {}}")

    assert "did you mean 't'?" in str(refuse(text))


@pytest.mark.parametrize("said", ["import: [tt]", "tools: {tt: {level: high}}"])
def test_a_name_that_nothing_declares_is_refused(refuse: Fail, said: str) -> None:
    """A level for a tool that nobody has would leave the tool that was meant without it."""
    text = tool("request: GET /x").replace("key: api", f"key: api, {said}")

    assert "'tt' is not in hosts[0].servers[1].http.tools (line 9)" in str(refuse(text))


def test_plain_http_is_warned_of(read: Parse) -> None:
    text = tool("request: GET /x").replace("https://api.test/v3", "http://api.test")

    assert any("servers[1].http.base: plain http" in each for each in read(text).warnings)


def test_the_documented_example_is_valid(read: Parse, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/http-tools.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/api-version").write_text("3")
    host = "hosts:\n  - key: acme\n    origin: http://localhost:8420\n"

    said = read(host + example, {"TRACKER_AUTHORIZATION": "Bearer x"}).hosts[0]

    assert said.servers[0].http is not None
    assert len(said.servers[0].http.tools) == 3


@pytest.mark.parametrize(
    "text",
    ['{"openapi": "3.1.0", "paths": {"/a": {"x": 1.5}}}', "openapi: 3.1.0\npaths: {/a: {x: 1.5}}"],
)
def test_a_document_is_json_or_yaml(tmp_path: Path, text: str) -> None:
    (tmp_path / "d").write_text(text)

    assert read_document(tmp_path / "d") == {"openapi": "3.1.0", "paths": {"/a": {"x": 1.5}}}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{"a": 1, "a": 2}', "two members of the same name"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper"),
        (b"{" + b" " * 16 * 1024 * 1024 + b"}", "larger than 16 MiB"),
        (b"a: b" + b" " * 16 * 1024 * 1024, "larger than 16 MiB"),
        (b"a: 1\na: 2", "d:2:1: the key 'a' stands already at line 1"),
        (b"a: !!python/object x", "d:1:4: tags"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: [" * 70, "nested deeper"),
        (b"", "empty"),
        (json.dumps({"a": "\ud800"}).encode(), "half a surrogate pair"),
    ],
    ids=[
        "twice",
        "deep",
        "large",
        "large-yaml",
        "twice-yaml",
        "tag",
        "utf-16",
        "deep-yaml",
        "empty",
        "half",
    ],
)
def test_a_document_that_is_ambiguous_or_too_large_is_refused(
    tmp_path: Path, raw: bytes, said: str
) -> None:
    (tmp_path / "d").write_bytes(raw)

    with pytest.raises(SettingsError) as caught:
        read_document(tmp_path / "d")

    assert said in str(caught.value)


def test_a_document_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_document(tmp_path / "d")
