"""What is not exactly one well-formed message gets a clear error and changes nothing."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from safeconduct.proxy.messages import MAX_VALUES
from tests.road.world import (
    ACME,
    LEGACY,
    MODERN,
    VERSIONS,
    Tokens,
    World,
    body_of,
    headers_of,
    line,
)

CALL = {"name": "get_issue", "arguments": {"id": "T-7"}}
GOOD = body_of("tools/call", CALL, version=LEGACY)


def _of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _call(**members: Any) -> bytes:
    return json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL} | members
    ).encode()


BAD = {
    "empty": (b"", -32700),
    "blank": (b" \n", -32700),
    "nul": (b"\x00", -32700),
    "truncated": (GOOD[:-1], -32700),
    "two": (GOOD + GOOD, -32700),
    "trailing": (GOOD + b"x", -32700),
    "bom": (b"\xef\xbb\xbf" + GOOD, -32700),
    "utf-16": (GOOD.decode().encode("utf-16"), -32700),
    "utf-7": (b"+AHs-", -32700),
    "latin-1": (GOOD.replace(b"T-7", b"\xe9"), -32700),
    "lone surrogate": (GOOD.replace(b"T-7", b"\\ud800"), -32700),
    "duplicate name": (GOOD.replace(b'"id": 1', b'"id": 1, "id": 1'), -32700),
    "duplicate method": (GOOD[:-1] + b',"method":"tools/list"}', -32700),
    "duplicate tool": (GOOD.replace(b'"name"', b'"name": "delete_issue", "name"'), -32700),
    "duplicate escaped": (GOOD.replace(b'"name"', b'"n\\u0061me": "delete_issue", "name"'), -32700),
    "deep arrays": (_call(params={"name": "get_issue", "arguments": {}})[:-2] + b',"x":' + b"["
                    * 70 + b"]" * 70 + b"}}", -32700),
    "deeper": (b"[" * 100_000, -32700),
    "too many values": (_call(params=CALL | {"x": [0] * MAX_VALUES}), -32700),
    "too many names": (_call(params=CALL | {"x": [{"a": 0}] * (MAX_VALUES // 2)}), -32700),
    "deep objects": (b'{"a":' * 70 + b"1" + b"}" * 70, -32700),
    "nan": (GOOD.replace(b'"T-7"', b"NaN"), -32700),
    "infinity": (GOOD.replace(b'"T-7"', b"-Infinity"), -32700),
    "huge float": (GOOD.replace(b'"T-7"', b"1e999"), -32700),
    "huge integer": (GOOD.replace(b'"T-7"', b"1" * 5000), -32700),
    "batch": (b"[" + GOOD + b"]", -32600),
    "empty batch": (b"[]", -32600),
    "text": (b'"x"', -32600),
    "number": (b"1", -32600),
    "null": (b"null", -32600),
    "no version": (_call(jsonrpc=None), -32600),
    "version 1": (_call(jsonrpc="1.0"), -32600),
    "number version": (_call(jsonrpc=2.0), -32600),
    "id null": (_call(id=None), -32600),
    "id true": (_call(id=True), -32600),
    "id float": (_call(id=1.5), -32600),
    "id object": (_call(id={}), -32600),
    "id list": (_call(id=[1]), -32600),
    "id endless": (_call(id="x" * 5000), -32600),
    "method number": (_call(method=1), -32600),
    "method empty": (_call(method=""), -32600),
    "method null": (_call(method=None), -32600),
    "method endless": (_call(method="x" * 5000), -32600),
    "params list": (_call(params=[]), -32600),
    "params text": (_call(params="x"), -32600),
    "params null": (_call(params=None), -32600),
    "request and result": (_call(result={}), -32600),
    "request and error": (_call(error={}), -32600),
    "name missing": (_call(params={}), -32602),
    "name number": (_call(params={"name": 1}), -32602),
    "name empty": (_call(params={"name": ""}), -32602),
    "name list": (_call(params={"name": ["get_issue"]}), -32602),
    "name endless": (_call(params={"name": "x" * 5000}), -32602),
    "arguments list": (_call(params={"name": "get_issue", "arguments": []}), -32602),
    "arguments text": (_call(params={"name": "get_issue", "arguments": "x"}), -32602),
    "neither": (b'{"jsonrpc":"2.0","id":1}', -32600),
    "both": (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}', -32600),
    "answer without id": (b'{"jsonrpc":"2.0","result":{}}', -32600),
}  # fmt: skip


@pytest.mark.requirement("SEC-62", "P-26", "Z-37")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", BAD)
async def test_a_message_that_cannot_be_read_in_one_way_is_refused(
    road: World, tokens: Tokens, version: str, name: str
) -> None:
    body, code = BAD[name]
    before = len(road.events())
    headers = {**headers_of("tools/call", CALL, version=version)}

    answer = await road.http.post(
        f"{ACME}/mcp/tickets",
        content=body,
        headers=headers | {"authorization": f"Bearer {tokens.access}"},
    )

    error = answer.json()["error"]
    assert error["code"] == code
    assert answer.status_code == (200 if code == -32602 and version != MODERN else 400)
    assert error["message"].endswith(".")
    assert "delete_issue" not in error["message"]
    assert road.upstream.seen == []
    assert len(road.events()) == before
    assert (await road.call(tokens.access, version=version)).status_code == 200


@pytest.mark.requirement("SEC-62")
@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        b" \r\n\t" + GOOD + b"\n",
        _call(id="text"),
        _call(id=""),
        _call(id=0),
        _call(id=-1),
        _call(id=10**30),
        _call(params={"name": "get_issue"}),
        _call(params={"name": "get_issue", "arguments": None}),
        _call(params={"name": "get_issue", "arguments": {"n": 10**30, "f": 1e300}}),
        _call(params={"name": "get_issue", "arguments": {"emoji": "\U0001f600"}}),
        _call(extra="member"),
    ],
    ids=lambda body: str(body)[:70],
)
async def test_the_nearest_message_that_can_be_read_goes_through(
    road: World, tokens: Tokens, body: bytes
) -> None:
    answer = await road.send(tokens.access, "tools/call", CALL, version=LEGACY, body=body)

    assert answer.status_code == 200
    assert answer.json().get("result"), answer.text
    assert answer.json()["id"] == json.loads(body)["id"]
    assert [seen.body for seen in road.upstream.seen] == [body]


@pytest.mark.requirement("P-02")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON", 200),
        ("application/json; charset=utf-8", 200),
        ('application/json;charset="UTF-8"', 200),
        ("application/json; charset=utf-16", 415),
        ("application/json; charset=latin-1", 415),
        ("application/json; charset=utf-7", 415),
        ("application/json; profile=x", 200),
        ("text/plain", 415),
        ("text/json", 415),
        ("application/xml", 415),
        ("application/jsonx", 415),
        ("application/json, text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
        (None, 415),
    ],
)
async def test_only_json_in_utf_8_is_read(
    road: World, tokens: Tokens, version: str, content_type: str | None, status: int
) -> None:
    answer = await road.call(tokens.access, version=version, headers={"content-type": content_type})

    assert answer.status_code == status
    assert len(road.upstream.seen) == (status == 200)


@pytest.mark.parametrize(("coding", "status"), [("gzip", 415), ("br", 415), ("identity", 200)])
async def test_coded_bodies_are_not_read(
    road: World, tokens: Tokens, coding: str, status: int
) -> None:
    answer = await road.call(tokens.access, headers={"content-encoding": coding})

    assert answer.status_code == status


@pytest.mark.requirement("P-29", "SEC-64")
@pytest.mark.parametrize("version", [MODERN, LEGACY])
async def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(
    road: World, tokens: Tokens, version: str
) -> None:
    limit = 4 * 1024 * 1024
    short = body_of("tools/call", {"name": "get_issue", "arguments": {"x": ""}}, version=version)
    for size, status in ((limit, 200), (limit + 1, 413)):
        road.upstream.seen.clear()
        body = short.replace(b'"x": ""', b'"x": "' + b"y" * (size - len(short)) + b'"')
        assert len(body) == size
        answer = await road.send(tokens.access, "tools/call", CALL, version=version, body=body)
        assert answer.status_code == status
        assert len(road.upstream.seen) == (status == 200)


@pytest.mark.requirement("SEC-64")
@pytest.mark.parametrize("chunked", [True, False])
async def test_too_large_a_body_is_not_read_to_its_end(
    road: World, tokens: Tokens, chunked: bool
) -> None:
    """A client that promises a gigabyte is answered long before it has sent it."""
    framing = "transfer-encoding: chunked" if chunked else "content-length: 1000000000"
    piece = b"x" * 65536
    async with line(road) as client:
        await client.raw(
            "POST /mcp/tickets HTTP/1.1",
            [framing, f"authorization: Bearer {tokens.access}", "content-type: application/json"],
        )
        for _ in range(80):
            client.writer.write(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
        status, _, _ = await client.whole()

    assert status == 413


@pytest.mark.requirement("SEC-64")
@pytest.mark.parametrize("path", ["/mcp/tickets", "/mcp/%74ickets"])
@pytest.mark.parametrize("whose", ["nobody's", "a stranger's", "another server's", "ours"])
async def test_a_large_body_is_read_only_from_those_who_would_be_let_in(
    road: World, tokens: Tokens, whose: str, path: str
) -> None:
    """Or whoever finds the address could fill the memory, with nothing but connections."""
    lines = {
        "nobody's": [],
        "a stranger's": [f"authorization: Bearer {tokens.access[:-4]}xxxx"],
        "another server's": [f"authorization: Bearer {tokens.access}"],
        "ours": [f"authorization: Bearer {tokens.access}"],
    }[whose]
    if whose == "another server's":
        path = path.replace("ickets", "ockets")
    async with line(road) as client:
        framing = ["content-length: 1000000", "content-type: application/json"]
        await client.raw(f"POST {path} HTTP/1.1", [*framing, *lines])
        client.writer.write(b"x" * 300_000)
        if whose == "ours":
            client.writer.write(b"x" * 700_000)
        status, headers, _ = await client.whole()

    assert status == (400 if whose == "ours" else 401)
    assert ("connection" in headers) == (whose != "ours")
    assert road.upstream.seen == []


@pytest.mark.parametrize(
    "first",
    ["POST /mcp/tickets HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2",
     "POST /mcp/tickets HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 5",
     "POST /mcp/tickets HTTP/1.1\r\ntransfer-encoding: gzip",
     "POST /mcp/tickets HTTP/9.9",
     "POST /mcp/tickets HTTP/1.1\r\nno colon",
     "POST /mcp/tickets HTTP/1.1\r\nx: a\x00b"],
)  # fmt: skip
async def test_a_request_framed_in_two_ways_is_400(road: World, tokens: Tokens, first: str) -> None:
    async with line(road) as client:
        await client.raw(first, [f"authorization: Bearer {tokens.access}"], b"0\r\n\r\n")
        status, _ = await client.head()

    assert status == 400
    assert road.upstream.seen == []


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "value",
    ["x" * 3_000_000, [0] * (MAX_VALUES - 100), [[]] * 40_000, [{"a": "\u00e9"}] * 40_000],
    ids=["text", "numbers", "arrays", "objects"],
)
async def test_a_large_message_within_the_bounds_goes_on_byte_for_byte(
    road: World, tokens: Tokens, version: str, value: object
) -> None:
    params = {"name": "get_issue", "arguments": {"id": "T-7", "value": value}}
    body = body_of("tools/call", params, version=version)

    answer = await road.http.post(
        f"{ACME}/mcp/tickets",
        content=body,
        timeout=60,  # a person's large messages wait for that person's share of the time
        headers=headers_of("tools/call", params, version=version)
        | {"authorization": f"Bearer {tokens.access}"},
    )

    assert "result" in answer.json(), answer.text
    assert road.upstream.seen[-1].body == body


@pytest.mark.slow
@pytest.mark.requirement("Z-24")
async def test_a_message_that_waited_for_its_turn_is_refused_if_its_session_ended_meanwhile(
    world: World,
) -> None:
    """A person's large messages wait once they took more than that person's share."""
    tokens = await world.tokens()
    person = await world.person("alice@acme.test")
    await world.parts.background.run((person.host, person.id), _use_processor, 0.6)

    # In every revision at once: they wait together.
    sent = [asyncio.create_task(_large(world, tokens, version)) for version in VERSIONS]
    await world.revoke(tokens)  # at least eight seconds before it is the first one's turn

    async with asyncio.timeout(60):
        assert [await each for each in sent] == [401] * len(VERSIONS)
    assert world.upstream.calls() == []


async def _large(world: World, tokens: Tokens, version: str) -> int:
    arguments = {"value": [0] * 50_000}
    body = body_of("tools/call", {"name": "get_issue", "arguments": arguments}, version=version)
    headers = headers_of("tools/call", CALL, version=version)
    headers["authorization"] = f"Bearer {tokens.access}"
    answer = await world.http.post(f"{ACME}/mcp/tickets", content=body, headers=headers, timeout=60)
    return answer.status_code


def _use_processor(seconds: float) -> None:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass
