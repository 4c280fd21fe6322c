"""Plain HTTP APIs in a plan: declared, stored, reviewed when they change, secrets out of sight."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from safeconduct.app.importing import Importer
from safeconduct.core.errors import Refused
from safeconduct.core.model import Level, ServerKey
from safeconduct.upstreams import (
    CHANGED,
    NEW,
    PINNED,
    TOOL,
    Credentials,
    Server,
    Tool,
    decide_review,
    find_review,
)
from tests.app.worlds import ACME, BASE, World, a_world

API = ServerKey("api")
ONE, TWO = "key-number-one-0123456789", "key-number-two-0123456789"
GET = "{name: get_issue, request: 'GET /issues/{id}'}"
MAKE = "{name: create_issue, request: 'POST /issues', body: [title]}"


def configured(
    *tools: str, http: str = "", more: str = "", base: str = "https://api.test/v3"
) -> str:
    headers = "headers: {X-Api-Key: {env: API_KEY}}"
    inner = ", ".join(each for each in (f"base: '{base}'", headers, http) if each)
    if tools:
        inner += f", tools: [{', '.join(tools)}]"
    line = f"      - {{key: api, name: Issues, http: {{{inner}}}{more}}}\n"
    return BASE.replace("    access:\n", f"{line}    access:\n", 1)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("API_KEY", ONE)
    async with a_world(tmp_path) as made:
        yield made


async def applied(world: World, text: str) -> str:
    """Apply a text; returns what was planned, which is what was done, and what was imported."""
    planned = await world.provisioner.plan(world.settings(text))
    done = await world.provisioner.apply(world.settings(text))
    assert done.steps == planned.steps
    return "\n".join([*map(str, done.steps), *map(str, done.imported)])


async def server(world: World) -> Server:
    found = await world.catalogue.get(ACME, API)
    assert found is not None
    return found


async def tool(world: World, name: str = "get_issue") -> Tool:
    return (await server(world)).tools[name]


async def test_an_api_is_declared_without_asking_it(world: World) -> None:
    said = await applied(world, configured(GET, MAKE))

    assert "+ acme: server api: at https://api.test/v3; an HTTP API with 2 tools" in said
    assert "server api: modern and legacy; tools: 1 low, 1 medium, 0 high" in said
    assert not any("api.test" in url for url in world.upstreams.read)
    assert (await tool(world)).offered
    assert (await world.provisioner.plan(world.settings(configured(GET, MAKE)))).empty


async def test_the_same_file_changes_nothing_the_second_time(world: World) -> None:
    await applied(world, configured(GET))
    before = await server(world)

    assert await applied(world, configured(GET)) == ""
    assert await server(world) == before


async def test_secrets_are_in_no_plan_no_record_and_no_table(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await applied(world, configured(GET))
    monkeypatch.setenv("API_KEY", TWO)
    said += await applied(world, configured(GET))

    everything = said + json.dumps(world.records()) + repr(await server(world))
    for secret in (ONE, TWO):
        assert secret not in everything
        for path in world.directory.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes()


async def test_another_secret_is_said_to_be_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await applied(world, configured(GET))
    monkeypatch.setenv("API_KEY", TWO)

    said = await applied(world, configured(GET))

    assert said.startswith("~ acme: server api: credentials changed\n")
    opened = Credentials(b"k" * 32).opened(await server(world))
    assert opened == [(b"x-api-key", TWO.encode())]
    assert (await tool(world)).offered
    assert await applied(world, configured(GET)) == ""


async def test_a_new_address_takes_the_secret_along(world: World) -> None:
    await applied(world, configured(GET))

    said = await applied(world, configured(GET, base="https://new.test"))

    assert "url: https://api.test/v3 -> https://new.test" in said
    assert "credentials" not in said
    assert Credentials(b"k" * 32).opened(await server(world)) == [(b"x-api-key", ONE.encode())]


async def test_another_request_waits_for_review(world: World) -> None:
    await applied(world, configured(GET))

    said = await applied(world, configured(GET.replace("/issues/", "/admin/")))

    assert "tools declared otherwise: get_issue" in said
    assert "for review: get_issue" in said
    waiting = await tool(world)
    assert (waiting.state, waiting.offered) == (CHANGED, False)
    assert waiting.http is not None
    assert waiting.http.request.path == "/issues/{id}"
    assert [record["resource"] for record in world.records("tool.changed")] == ["get_issue"]
    async with world.database.write() as tx:
        review = await find_review(tx, ACME, API, TOOL, "get_issue")
        assert review is not None
        digest = review.digest
        await decide_review(tx, ACME, API, TOOL, "get_issue", digest=digest, accept=True)
    accepted = await tool(world)
    assert (accepted.state, accepted.offered) == (PINNED, True)
    assert accepted.http is not None
    assert accepted.http.request.path == "/admin/{id}"


async def test_a_declaration_that_comes_back_is_released(world: World) -> None:
    await applied(world, configured(GET))
    await applied(world, configured(GET.replace("/issues/", "/admin/")))

    await applied(world, configured(GET))

    assert (await tool(world)).offered


async def test_a_tool_that_comes_later_waits_unless_it_is_named(world: World) -> None:
    await applied(world, configured(GET))

    said = await applied(world, configured(GET, MAKE))

    assert "tools declared: create_issue" in said
    assert (await tool(world, "create_issue")).state == NEW
    named = configured(GET, MAKE, more=", import: [get_issue, create_issue]")
    await applied(world, named.replace("key: api", "key: named"))
    found = await world.catalogue.get(ACME, ServerKey("named"))
    assert found is not None
    assert found.tools["create_issue"].offered


async def test_a_tool_declared_no_more_is_gone_at_once(world: World) -> None:
    await applied(world, configured(GET, MAKE))

    said = await applied(world, configured(GET))

    assert "tools declared no more: create_issue" in said
    assert not (await tool(world, "create_issue")).offered
    await applied(world, configured(GET, MAKE))
    assert (await tool(world, "create_issue")).offered


async def test_levels_are_overridden_as_everywhere(world: World) -> None:
    await applied(world, configured(GET, more=", tools: {get_issue: {level: high}}"))

    assert (await tool(world)).level is Level.HIGH


@pytest.mark.slow
async def test_a_server_that_becomes_an_api_offers_nothing_old(world: World) -> None:
    await applied(world, BASE)
    line = (
        '      - {key: tickets, name: Tickets, url: "http://127.0.0.1:9001/mcp?key=in-the-url"}\n'
    )
    assert line in BASE
    http = f"{{base: 'https://a.test', tools: [{GET}]}}"
    api = f"      - {{key: tickets, name: Tickets, http: {http}}}\n"

    said = await applied(world, BASE.replace(line, api))

    assert "is an HTTP API from now on" in said
    found = await world.catalogue.get(ACME, ServerKey("tickets"))
    assert found is not None
    assert [each.name for each in found.tools.values() if each.offered] == []
    assert found.tools["get_issue"].state == CHANGED
    said = await applied(world, BASE)
    assert "speaks MCP from now on" in said
    found = await world.catalogue.get(ACME, ServerKey("tickets"))
    assert found is not None
    assert found.api is None
    assert all(each.http is None for each in found.tools.values())


DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "paths": {
        "/items": {"get": {"operationId": "list_items"}},
        "/odd": {
            "get": {
                "operationId": "get_odd",
                "parameters": [{"name": "X-Odd", "in": "header", "required": True}],
            }
        },
    },
}


@pytest.fixture
def document(world: World) -> Path:
    path = world.directory / "openapi.json"
    path.write_text(json.dumps(DOCUMENT))
    return path


OFF = ", tools: {get_odd: {enabled: false}}"


@pytest.mark.requirement("P-16")
@pytest.mark.usefixtures("document")
async def test_a_document_declares_beside_what_is_by_hand(world: World) -> None:
    text = configured(GET, http="openapi: openapi.json", more=OFF)

    said = await applied(world, text)

    assert "an HTTP API with 2 tools" in said
    assert set((await server(world)).tools) == {"list_items", "get_issue"}


async def test_what_is_stored_needs_no_document(world: World, document: Path) -> None:
    await applied(world, configured(http="openapi: openapi.json", more=OFF))
    document.unlink()
    importer = Importer(
        world.database,
        clock=world.clock,
        trail=world.trail,
        crawler=world.upstreams,  # type: ignore[arg-type]  an honest fake
        catalogue=world.catalogue,
    )

    found = await importer.read(ACME, API)

    assert found is not None
    assert (found.problem, found.low, found.quarantined) == (None, 1, ())


@pytest.mark.usefixtures("document")
@pytest.mark.parametrize(
    ("tools", "more", "said"),
    [
        (
            (),
            "",
            r"openapi.json: 1 of 2 operations.* GET /odd \(get_odd\): it requires the header",
        ),
        ((), ", import: [list_item]", "import names 'list_item', which nothing declares"),
        ((), ", tools: {get_od: {level: high}}", "tools names 'get_od', which nothing declares"),
        ((), ", tools: {get_odd: {level: low}}", r"GET /odd \(get_odd\): it requires"),
        ((GET.replace("get_issue", "list_items"),), OFF, "'list_items', which is declared by hand"),
    ],
)
async def test_a_document_that_cannot_be_used_is_refused_whole(
    world: World, tools: tuple[str, ...], more: str, said: str
) -> None:
    text = configured(*tools, http="openapi: openapi.json", more=more)

    with pytest.raises(Refused, match=f"(?s)Server api of host acme cannot be used: .*{said}"):
        await world.provisioner.plan(world.settings(text))
    with pytest.raises(Refused):
        await world.provisioner.apply(world.settings(text))

    assert await world.catalogue.get(ACME, API) is None


@pytest.mark.usefixtures("document")
async def test_what_is_not_imported_need_not_be_readable(world: World) -> None:
    text = configured(http="openapi: openapi.json", more=", import: [list_items]")

    await applied(world, text)

    assert set((await server(world)).tools) == {"list_items"}


async def test_a_document_that_is_no_document_says_where(world: World, document: Path) -> None:
    document.write_text("openapi: 3.1.0\nopenapi: 3.1.0\n")

    with pytest.raises(Refused, match=r"openapi.json:2:1: the key 'openapi' stands already"):
        await world.provisioner.plan(world.settings(configured(http="openapi: openapi.json")))


def _described(world: World, text: str, name: str = "api.yaml") -> str:
    (world.directory / name).write_text(text)
    return f"openapi: {name}"


BODIES = """
openapi: 3.0.3
info: {title: Bodies, version: "1"}
paths:
  /messages:
    post:
      operationId: send_text
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema: {type: object, properties: {to: {type: string}}, required: [to]}
  /columns:
    put:
      operationId: set_columns
      requestBody: {content: {multipart/form-data: {schema: {type: object}}}}
  /at:
    get:
      operationId: get_at
      parameters: [{name: place, in: query, required: true, style: deepObject, schema: {}}]
  /charges:
    get:
      operationId: list_charges
      parameters:
        - {name: limit, in: query, schema: {type: integer}}
        - {name: created, in: query, style: deepObject, schema: {type: object}}
  /x: {get: {operationId: twin}, put: {operationId: twin}}
  /y: {$ref: "#/nowhere"}
  /ping: {get: {operationId: ping}}
"""


@pytest.mark.parametrize("imports", ["", ", import: all", ", import: strict"])
async def test_a_plan_names_everything_that_cannot_be_a_tool_at_once(
    world: World, imports: str
) -> None:
    text = configured(http=_described(world, BODIES), more=imports)

    with pytest.raises(Refused) as refused:
        await world.provisioner.plan(world.settings(text))

    said = refused.value.public
    assert "api.yaml: 4 of 7 operations cannot be tools:" in said
    for reason in (
        "PUT /columns (set_columns): its body is 'multipart/form-data', which cannot be sent",
        "GET /at (get_at): the parameter 'place' is written in a way",
        "GET /x and PUT /x would both be the tool 'twin'",
        "the reference '#/nowhere' leads nowhere",
    ):
        assert reason in said
    assert said.endswith(
        "  get_at: {enabled: false}\n  set_columns: {enabled: false}\n  twin: {enabled: false}"
    )


async def test_what_cannot_be_a_tool_is_left_out_by_choice_and_said_at_every_look(
    world: World,
) -> None:
    text = configured(http=_described(world, BODIES), more=", import: usable")

    done = await world.provisioner.apply(world.settings(text))

    assert set((await server(world)).tools) == {"send_text", "list_charges", "ping"}
    told = "\n".join(done.warnings)
    assert "acme: server api: no tool: PUT /columns (set_columns)" in told
    assert "GET /charges (list_charges) goes without the optional query parameter" in told
    assert "'created'" in told
    again = await world.provisioner.plan(world.settings(text))
    assert (again.steps, set(again.warnings)) == ((), {w for w in done.warnings if "api" in w})


async def test_what_is_switched_off_or_not_named_need_not_be_a_tool(world: World) -> None:
    """The names of a refusal can be pasted; what has none leaves with `usable` alone."""
    text = BODIES.replace('  /y: {$ref: "#/nowhere"}\n', "")
    off = "tools: {get_at: {enabled: false}, set_columns: {enabled: false}, twin: {enabled: false}}"
    http = _described(world, text)

    await world.provisioner.apply(world.settings(configured(http=http, more=f", {off}")))
    assert set((await server(world)).tools) == {"send_text", "list_charges", "ping"}

    named = configured(http=http, more=", import: [ping, get_at]")
    with pytest.raises(Refused, match=r"1 of 6 operations(?s:.*)get_at") as refused:
        await world.provisioner.plan(world.settings(named))
    assert "set_columns" not in refused.value.public


@pytest.mark.slow
async def test_a_document_may_be_large_and_in_several_files(world: World) -> None:
    (world.directory / "parts.yaml").write_text("Id: {type: string, maxLength: 9}\n")
    paths = "".join(
        f"  /things/{number}/{{id}}:\n    get:\n      operationId: get_{number}\n"
        f"      description: {'x' * 900}\n"
        "      parameters:\n"
        "        - {name: id, in: path, required: true, schema: {$ref: 'parts.yaml#/Id'}}\n"
        for number in range(1500)
    )
    text = f"openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n{paths}"
    assert len(text) > 1024 * 1024

    await world.provisioner.apply(world.settings(configured(http=_described(world, text))))

    tools = (await server(world)).tools
    assert len(tools) == 1500
    assert tools["get_7"].http is not None
    schema = tools["get_7"].http.definition["inputSchema"]
    assert schema["properties"]["id"] == {"type": "string", "maxLength": 9}


async def test_a_name_that_nothing_has_is_told_the_nearest(world: World) -> None:
    text = configured(http=_described(world, BODIES), more=", import: [pong]")

    with pytest.raises(Refused, match="import names 'pong', which nothing declares; did you mean"):
        await world.provisioner.plan(world.settings(text))
