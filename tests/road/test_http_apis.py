"""Plain HTTP APIs behind the gateway: MCP before it, one plain request behind it, and no way out.

The gateway is the installed one, the API an honest server that knows nothing of MCP.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from safeconduct.app import Provisioner
from safeconduct.core.model import HostId, Level, ServerKey
from safeconduct.settings import parse
from safeconduct.upstreams.http_tools import Unsendable, written
from tests.road.api import KEY, SECRET, TOOLS, Api, Asked, api, api_settings, echo
from tests.road.world import (
    LEGACY,
    MODERN,
    OTHER,
    Tokens,
    World,
    eventually,
    host_settings,
    line,
    world_at,
)

pytestmark = pytest.mark.requirement("P-16")


class Site:
    """The API, the gateway before it, and what an agent of Alice's holds."""

    def __init__(self, api: Api, world: World, tokens: Tokens) -> None:
        self.api = api
        self.world = world
        self.tokens = tokens

    async def call(self, name: str, arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
        answer = await self.world.call(self.tokens.access, name, arguments=arguments, **more)
        message: dict[str, Any] = answer.json()
        return message

    async def send(self, method: str, params: dict[str, Any] | None = None, **more: Any) -> Any:
        return await self.world.send(self.tokens.access, method, params, **more)


def host_of(url: str, **more: Any) -> dict[str, Any]:
    return {"servers": [api_settings(url, **more), api_settings(url, "notes")]}


def with_secrets(directory: Path) -> Path:
    for name, text in (("secret", SECRET), ("key", KEY)):
        (directory / name).write_text(text)
        (directory / name).chmod(0o600)
    return directory


@pytest.fixture(scope="module", params=["socket", "asgi"])
async def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    directory = with_secrets(tmp_path_factory.mktemp("http"))
    asgi = request.param == "asgi"
    async with api() as plain, world_at(directory, asgi=asgi, acme=host_of(plain.url)) as world:
        yield Site(plain, world, await world.tokens())


@pytest.fixture
def site(shared: Site) -> Site:
    shared.api.script = echo
    shared.api.seen.clear()
    return shared


@pytest.fixture(params=[MODERN, LEGACY])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def text_of(message: dict[str, Any]) -> str:
    (block,) = message["result"]["content"]
    return str(block["text"])


# What a server is and offers is answered here.


async def test_the_older_era_is_answered_without_asking_the_api(site: Site) -> None:
    hello = await site.send("initialize", {"protocolVersion": "2025-06-18"}, version=LEGACY)
    unknown = await site.send("initialize", {"protocolVersion": "1999-01-01"}, version=LEGACY)
    pong = await site.send("ping", version=LEGACY)
    told = await site.world.http.post(
        "https://acme.test/mcp/tickets",
        content=b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        headers={
            "authorization": f"Bearer {site.tokens.access}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": LEGACY,
        },
    )

    assert hello.json()["result"]["protocolVersion"] == "2025-06-18"
    assert hello.json()["result"]["serverInfo"]["title"] == "Tickets"
    assert "mcp-session-id" not in hello.headers
    assert unknown.json()["result"]["protocolVersion"] == "2025-11-25"
    assert pong.json()["result"] == {}
    assert (told.status_code, told.content) == (202, b"")
    assert site.api.seen == []


async def test_the_modern_era_is_answered_without_asking_the_api(site: Site) -> None:
    found = (await site.send("server/discover")).json()["result"]

    assert found["supportedVersions"] == [MODERN]
    assert found["capabilities"] == {"tools": {}}
    assert (found["resultType"], found["cacheScope"]) == ("complete", "private")
    assert site.api.seen == []


async def test_tools_are_listed_as_they_were_declared(site: Site, version: str) -> None:
    answer = (await site.send("tools/list", version=version)).json()["result"]

    tools = {tool["name"]: tool for tool in answer["tools"]}
    assert set(tools) == {tool["name"] for tool in TOOLS}
    assert tools["list_issues"]["description"] == "List issues of a repository."
    assert tools["list_issues"]["inputSchema"] == TOOLS[0]["input"]
    assert tools["list_issues"]["annotations"] == {"readOnlyHint": True}
    assert "/repos/" not in json.dumps(answer)
    assert ("resultType" in answer, "ttlMs" in answer) == (version == MODERN, version == MODERN)
    assert site.api.seen == []


async def test_a_list_has_one_page(site: Site, version: str) -> None:
    answer = await site.send("tools/list", {"cursor": "x"}, version=version)

    assert answer.json()["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("resources/list", {}),
        ("resources/read", {"uri": "x://y"}),
        ("prompts/get", {"name": "x"}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "x"}, "argument": {}}),
    ],
)
async def test_what_such_a_server_has_not_is_an_unknown_method(
    site: Site, version: str, method: str, params: dict[str, Any]
) -> None:
    answer = await site.send(method, params, version=version)

    assert answer.json()["error"]["code"] == -32601
    assert site.api.seen == []


async def test_there_is_no_stream_and_no_transport_session(site: Site) -> None:
    headers = {
        "authorization": f"Bearer {site.tokens.access}",
        "accept": "text/event-stream",
        "mcp-protocol-version": LEGACY,
    }
    url = "https://acme.test/mcp/tickets"

    stream = await site.world.http.get(url, headers=headers)
    end = await site.world.http.delete(url, headers=headers)

    assert (stream.status_code, end.status_code) == (405, 405)
    assert site.api.seen == []


# A call is one request, with the arguments where they belong.


@pytest.mark.requirement("P-15")
async def test_a_call_is_one_request_written_anew(site: Site, version: str) -> None:
    arguments = {"owner": "a/b", "repo": "c d", "state": "open", "labels": ["x y", "a&b=c"]}
    extra = {"x-evil": "1", "cookie": "a=b", "x-forwarded-for": "10.0.0.1"}

    message = await site.call("list_issues", arguments, version=version, headers=extra)

    (asked,) = site.api.seen
    assert asked.verb == "GET"
    assert asked.path == b"/v3/repos/a%2Fb/c%20d/issues"
    assert asked.query == b"state=open&labels=x%20y&labels=a%26b%3Dc"
    assert asked.body == b""
    port = site.api.url.split(":")[2].partition("/")[0]
    assert sorted(asked.headers) == [
        (b"accept", b"application/json, text/*;q=0.5"),
        (b"accept-encoding", b"identity"),
        (b"authorization", SECRET.encode()),
        (b"host", f"127.0.0.1:{port}".encode()),
        (b"user-agent", b"safeconduct"),
        (b"x-api-key", KEY.encode()),
    ]
    result = message["result"]
    assert result["structuredContent"]["path"] == ["v3", "repos", "a/b", "c d", "issues"]
    assert json.loads(text_of(message)) == result["structuredContent"]
    assert result["isError"] is False
    assert result.get("resultType") == ("complete" if version == MODERN else None)
    outcome = site.world.events("call.outcome")[-1]
    assert (outcome["outcome"], outcome["upstream_status"], outcome["resource"]) == (
        "ok",
        200,
        "list_issues",
    )


async def test_a_body_holds_the_named_arguments_and_nothing_else(site: Site) -> None:
    await site.call("create_issue", {"title": "é", "text": "a\nb", "notify": True})
    await site.call("replace_issue", {"issue_id": "7", "title": {"any": [1, None]}})
    await site.call("delete_issue", {"issue_id": "7"})

    create, replace, delete = site.api.seen
    assert (create.verb, create.path, create.query) == ("POST", b"/v3/issues", b"notify=true")
    assert create.body == '{"text":"a\\nb","title":"é"}'.encode()
    assert create.header("content-type") == [b"application/json"]
    assert create.header("content-length") == [str(len(create.body)).encode()]
    assert (replace.verb, replace.path) == ("PUT", b"/v3/issues/7.json")
    assert replace.body == b'{"title":{"any":[1,null]}}'
    assert (delete.verb, delete.path, delete.body) == ("DELETE", b"/v3/issues/7", b"")
    assert delete.header("content-type") == []


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a/b", b"a%2Fb"),
        ("?x=1", b"%3Fx%3D1"),
        ("#f", b"%23f"),
        ("a.b", b"a.b"),
        ("%41", b"%2541"),
        ("a b+c", b"a%20b%2Bc"),
        ("é", b"%C3%A9"),
        ("@evil.test", b"%40evil.test"),
        ("a\\b", b"a%5Cb"),
        (7, b"7"),
        (1.5, b"1.5"),
        (True, b"true"),
        ("...", b"..."),
    ],
)
async def test_an_argument_stays_in_its_segment(site: Site, value: Any, path: bytes) -> None:
    message = await site.call("get_issue", {"issue_id": value})

    assert site.api.last.path == b"/v3/issues/" + path
    assert site.api.last.query == b""
    said = value if isinstance(value, str) else json.dumps(value)
    assert message["result"]["structuredContent"]["path"] == ["v3", "issues", said]


@pytest.mark.parametrize(
    "arguments",
    [
        *({"issue_id": value} for value in ("", ".", "..", "../admin", "a/../b", "..\\admin")),
        *({"issue_id": value} for value in ("%2e%2e", "%2E%2E%2Fadmin", "..%2f", "%252e%252e")),
        *({"issue_id": value} for value in ("..;", "..;/admin", "a;b", "a%3bb", "\uff0e\uff0e")),
        *({"issue_id": value} for value in ("a\x00b", "a\r\nx-evil: 1", "a\u2028b", "x" * 9000)),
        *({"issue_id": value} for value in (None, ["7"], {"a": "7"})),
        {},
        {"issue_id": "7", "ISSUE_ID": "8"},
        {"issue_id": "7", "admin": True},
    ],
)
async def test_what_cannot_be_sent_is_the_tools_error_and_is_not_sent(
    site: Site, version: str, arguments: dict[str, Any]
) -> None:
    message = await site.call("get_issue", arguments, version=version)

    assert message["result"]["isError"] is True
    assert "Nothing was sent to Tickets." in text_of(message)
    assert site.api.seen == []
    outcome = site.world.events("call.outcome")[-1]
    assert (outcome["outcome"], outcome.get("upstream_status")) == ("tool_error", None)


async def test_two_arguments_in_one_segment_make_no_dots(site: Site) -> None:
    await site.call("get_pair", {"left": "a", "right": "b"})
    refused = await site.call("get_pair", {"left": "%", "right": "2e"})

    assert [asked.path for asked in site.api.seen] == [b"/v3/pairs/ab/end"]
    assert refused["result"]["isError"] is True


anything = st.text(alphabet=st.characters(codec="utf-8"), max_size=20) | st.text(
    alphabet="./\\%2eEfF?#&=;+ ", max_size=8
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(owner=anything, repo=anything, labels=st.lists(anything, max_size=3))
async def test_what_arrives_is_what_was_given_where_it_was_given(
    site: Site, owner: str, repo: str, labels: list[str]
) -> None:
    site.api.seen.clear()
    arguments = {"owner": owner, "repo": repo, "labels": labels}

    message = await site.call("list_issues", arguments)

    tool = await _tool(site, "list_issues")
    try:
        written(tool.request, arguments)
    except Unsendable:
        assert site.api.seen == []
        assert message["result"]["isError"] is True
        return
    (asked,) = site.api.seen
    assert asked.segments == ["v3", "repos", owner, repo, "issues"]
    assert (asked.pairs if asked.query else []) == [("labels", each) for each in labels]


async def _tool(site: Site, name: str) -> Any:
    server = await site.world.parts.catalogue.get(HostId("acme"), ServerKey("tickets"))
    assert server is not None
    return server.tools[name].http


# What the API answers.


@pytest.mark.parametrize(
    ("response", "text", "outcome", "status"),
    [
        (JSONResponse([1, 2]), "[1,2]", "ok", 200),
        (PlainTextResponse("é", 201), "é", "ok", 201),
        (HTMLResponse("<p>x"), "<p>x", "ok", 200),
        (Response(status_code=204), "Tickets answered with HTTP 204 and nothing else.", "ok", 204),
        (
            JSONResponse({"message": "no such issue"}, 404),
            'Tickets answered with HTTP 404.\n{"message":"no such issue"}',
            "tool_error",
            404,
        ),
        (
            PlainTextResponse("broken", 500),
            "Tickets answered with HTTP 500.\nbroken",
            "tool_error",
            500,
        ),
        (Response(b"\x00\xff", 503), "Tickets answered with HTTP 503.", "tool_error", 503),
        (JSONResponse({}, 401), "Tickets answered with HTTP 401.\n{}", "tool_error", 401),
    ],
)
async def test_an_answer_becomes_a_result(
    site: Site, version: str, response: Response, text: str, outcome: str, status: int
) -> None:
    site.api.always(response)

    answer = await site.world.call(
        site.tokens.access, "get_issue", arguments={"issue_id": "7"}, version=version
    )

    assert answer.status_code == 200
    message = answer.json()
    assert text_of(message) == text
    assert message["result"]["isError"] is (outcome == "tool_error")
    assert "structuredContent" not in message["result"]
    record = site.world.events("call.outcome")[-1]
    assert (record["outcome"], record["upstream_status"]) == (outcome, status)
    assert len(site.api.seen) == 1


async def test_a_redirect_is_not_followed(site: Site) -> None:
    site.api.always(RedirectResponse(f"{site.api.url}/elsewhere?token=x", 302))

    message = await site.call("get_issue", {"issue_id": "7"})

    assert text_of(message) == (
        "Tickets answered with HTTP 302. That is a redirect, which is not followed; ask an admin "
        "to set its url."
    )
    assert len(site.api.seen) == 1


@pytest.mark.parametrize(
    "response",
    [
        Response(b"\x89PNG-secret", media_type="image/png"),
        Response(b"\x89PNG-secret"),
        Response(b"{", media_type="application/json"),
        Response(b'{"a":1,"a":"PNG-secret"}', media_type="application/json"),
        Response(b"PNG-secret" * 300_000, media_type="text/plain"),
        Response(b"PNG-secret\xff", media_type="text/plain"),
        Response(b"PNG-secret", media_type="application/json", headers={"content-encoding": "br"}),
    ],
)
async def test_what_cannot_be_passed_on_fails_the_call_without_its_bytes(
    site: Site, version: str, response: Response
) -> None:
    site.api.always(response)

    answer = await site.world.call(
        site.tokens.access, "get_issue", arguments={"issue_id": "7"}, version=version
    )

    assert answer.json()["error"]["code"] == -32603
    assert answer.json()["error"]["data"]["reason"] == "upstream_failed"
    assert "PNG" not in answer.text
    assert site.world.events("call.outcome")[-1]["outcome"] == "upstream_failed"


async def test_an_echo_of_the_gateways_credentials_is_withheld(site: Site) -> None:
    def mirror(asked: Asked) -> Response:
        return JSONResponse({name.decode(): value.decode() for name, value in asked.headers})

    site.api.script = mirror

    message = await site.call("get_issue", {"issue_id": "7"})

    assert "withheld" in message["error"]["message"]
    assert KEY not in json.dumps(message)


async def test_a_client_that_hangs_up_ends_the_request(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def never(_: Asked) -> Response:
        async def body() -> AsyncIterator[bytes]:
            try:
                yield b"["
                await asyncio.Event().wait()
            finally:
                gone.set()

        return StreamingResponse(body(), media_type="application/json")

    with_secrets(tmp_path)
    async with api() as plain, world_at(tmp_path, acme=host_of(plain.url)) as world:
        plain.script = never
        tokens = await world.tokens()
        async with line(world) as client:
            params = {"name": "get_issue", "arguments": {"issue_id": "7"}}
            await client.post(tokens.access, "tools/call", params)
            async with asyncio.timeout(30):
                while not plain.seen:
                    await asyncio.sleep(0.01)  # the API offers nothing to wait for
            client.hang_up()
            (record,) = await eventually(world, "call.outcome")
            async with asyncio.timeout(30):
                await gone.wait()

    assert record["outcome"] == "cancelled"


async def test_an_api_that_is_too_slow_fails_the_call(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def slow(_: Asked) -> Response:
        await over.wait()
        return Response(b"too late")

    with_secrets(tmp_path)
    limits = {"limits": {"upstream_head_seconds": 1}}
    async with api() as plain:
        plain.script = slow
        async with world_at(tmp_path, server=limits, acme=host_of(plain.url)) as world:
            tokens = await world.tokens()
            answer = await world.call(tokens.access, "get_issue", arguments={"issue_id": "7"})
        over.set()

    assert answer.json()["error"]["data"]["reason"] == "upstream_timeout"
    assert len(plain.seen) == 1


# The road is the same.


async def test_a_level_above_the_consent_is_refused_before_the_api(site: Site) -> None:
    low = await site.world.tokens(level=Level.LOW)

    refused = await site.world.call(low.access, "delete_issue", arguments={"issue_id": "7"})
    allowed = await site.world.call(low.access, "get_issue", arguments={"issue_id": "7"})
    names = (await site.world.send(low.access, "tools/list")).json()["result"]["tools"]

    assert refused.status_code == 403
    assert "result" in allowed.json()
    assert [asked.verb for asked in site.api.seen] == ["GET"]
    assert {tool["name"] for tool in names} == {"list_issues", "get_issue", "get_pair"}


@pytest.mark.slow
async def test_another_request_is_refused_until_somebody_accepts_it(
    tmp_path: Path, version: str
) -> None:
    with_secrets(tmp_path)
    async with api() as plain, world_at(tmp_path, asgi=True, acme=host_of(plain.url)) as world:
        tokens, arguments = await world.tokens(), {"issue_id": "7"}
        said = world.parts.settings
        host, *others = said.hosts
        tickets, *rest = host.servers
        assert tickets.http is not None
        tools = tuple(
            replace(each, request="GET /admin/{issue_id}") if each.name == "get_issue" else each
            for each in tickets.http.tools
        )
        changed = replace(tickets, http=replace(tickets.http, tools=tools))
        hosts = (replace(host, servers=(changed, *rest)), *others)

        await Provisioner.of(world.parts).apply(replace(said, hosts=hosts))
        held = await world.call(tokens.access, arguments=arguments, version=version)
        await world.policies(lists_everything=True)
        listed = (await world.send(tokens.access, "tools/list", version=version)).json()
        assert plain.seen == []
        assert await world.accept("get_issue")
        passed = await world.call(tokens.access, arguments=arguments, version=version)

    assert held.json()["error"]["code"] == 4033
    assert "get_issue" not in {tool["name"] for tool in listed["result"]["tools"]}
    assert "result" in passed.json()
    assert [asked.path for asked in plain.seen] == [b"/v3/admin/7"]


async def test_what_another_server_offered_is_no_request_to_the_api(
    tmp_path: Path, version: str
) -> None:
    """Between applying and reading, the catalogue has the tools of the MCP server it was."""
    with_secrets(tmp_path)
    async with api() as plain, world_at(tmp_path, asgi=True) as world:
        tokens, before = await world.tokens(), world.parts.settings
        text = yaml.safe_dump({"hosts": [host_settings("acme", "") | host_of(plain.url)]})
        text += "server: {allow_loopback_upstreams: true}"
        after = parse(text, base=tmp_path, environ={})

        await Provisioner.of(world.parts).apply(replace(before, hosts=after.hosts), crawl=False)
        called = await world.call(tokens.access, arguments={"issue_id": "7"}, version=version)
        listed = (await world.send(tokens.access, "tools/list", version=version)).json()

        assert called.json()["error"]["code"] == -32602
        assert listed["result"]["tools"] == []
        assert (plain.seen, world.upstream.seen) == ([], [])


async def test_a_tool_nobody_declared_is_unknown(site: Site, version: str) -> None:
    message = await site.call("get_admin", {}, version=version)

    assert message["error"]["code"] == -32602
    assert site.api.seen == []


async def test_nobody_calls_without_a_token(site: Site) -> None:
    answer = await site.world.call(None, "get_issue", arguments={"issue_id": "7"})

    assert answer.status_code == 401
    assert site.api.seen == []


SCHEMA = """
definition issue {
    relation assignee: person
    permission edit = assignee
}
"""
BOUND = {"path": "arguments.issue_id", "object": "issue:{value}", "permission": "edit"}


@pytest.fixture
async def bound(tmp_path: Path) -> AsyncIterator[Site]:
    """Alice may use high tools of the tickets and low ones of the notes, on her own issue."""
    with_secrets(tmp_path)
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "schema.zed").write_text(SCHEMA)
    (rules / "own.rego").write_text(RULES)
    async with api() as plain:
        tools = {"delete_issue": {"level": "low", "bindings": [BOUND]}}
        acme = host_of(plain.url, tools=tools) | {
            "policy": {"directory": "rules"},
            "relations": ["issue:7#assignee@user:alice@acme.test"],
        }
        async with world_at(tmp_path, acme=acme) as world:
            yield Site(plain, world, await world.tokens())


RULES = """\
package safeconduct.host

import rego.v1

obligations contains {"type": "redact", "pointers": ["/token"]} if {
    input.resource.name == "get_issue"
}

obligations contains {"type": "max_items", "items": "", "count": 1} if {
    input.resource.name == "list_issues"
}
"""


async def test_a_binding_decides_about_the_very_instance(bound: Site) -> None:
    own = await bound.call("delete_issue", {"issue_id": "7"})
    other = await bound.call("delete_issue", {"issue_id": "8"})
    disguised = await bound.call("delete_issue", {"issue_id": "%37"})

    assert "result" in own
    assert other["error"]["code"] == 4030
    assert disguised["error"]["code"] == 4030
    assert [asked.path for asked in bound.api.seen] == [b"/v3/issues/7"]


async def test_obligations_reach_what_an_api_answers(bound: Site, version: str) -> None:
    bound.api.always(JSONResponse({"id": 7, "token": "hide-me"}))
    redacted = await bound.call("get_issue", {"issue_id": "7"}, version=version)
    bound.api.always(JSONResponse([1, 2, 3]))
    cut = await bound.call("list_issues", {"owner": "a", "repo": "b"}, version=version)
    bound.api.always(PlainTextResponse("hide-me"))
    withheld = await bound.call("get_issue", {"issue_id": "7"}, version=version)

    assert redacted["result"]["structuredContent"] == {"id": 7}
    assert "hide-me" not in json.dumps(redacted)
    assert text_of(cut) == "[1]"
    assert "hide-me" not in json.dumps(withheld)


@pytest.mark.requirement("X-01")
async def test_two_hosts_with_the_same_server_key_share_nothing(tmp_path: Path) -> None:
    with_secrets(tmp_path)
    (tmp_path / "other").write_text("Bearer another-secret-0123456789")
    async with api() as one, api() as two:
        other = api_settings(two.url)
        other["http"] = other["http"] | {
            "headers": {"authorization": {"file": "other"}},
            "tools": [{"name": "get_issue", "request": "GET /other/{issue_id}"}],
        }
        hosts = {
            "acme": host_of(one.url),
            "other": {"servers": [other, api_settings(two.url, "notes")]},
        }
        async with world_at(tmp_path, **hosts) as world:
            tokens = await world.tokens()
            others = await world.tokens(host="other")
            arguments = {"issue_id": "7"}
            await world.call(tokens.access, "get_issue", arguments=arguments)
            await world.call(others.access, "get_issue", arguments=arguments, origin=OTHER)
            crossed = await world.call(
                tokens.access, "get_issue", arguments=arguments, origin=OTHER
            )
            unknown = await world.call(
                others.access, "delete_issue", arguments=arguments, origin=OTHER
            )

    assert [(asked.path, asked.header("authorization")) for asked in one.seen] == [
        (b"/v3/issues/7", [SECRET.encode()])
    ]
    assert [(asked.path, asked.header("authorization")) for asked in two.seen] == [
        (b"/v3/other/7", [b"Bearer another-secret-0123456789"])
    ]
    assert crossed.status_code == 401
    assert unknown.json()["error"]["code"] == -32602


async def test_secrets_stand_nowhere_but_on_the_wire(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.call("get_issue", {"issue_id": "7"})
    site.api.always(Response(b"x", 500))
    await site.call("get_issue", {"issue_id": "7"})

    kept = [path for path in (site.world.directory / "data").rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in kept)
    for path in kept:
        raw = path.read_bytes()
        assert SECRET.partition(" ")[2].encode() not in raw, path
        assert KEY.encode() not in raw, path
    assert KEY not in caplog.text
    server = await _tool(site, "get_issue")
    assert KEY not in repr(server)
