"""Lists of a server: one bad item leaves, the good ones stay, and somebody is told which."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from safeconduct.egress import Transport
from safeconduct.upstreams import Crawler, CrawlFailed, Findings, items_of, legible
from tests.egress.raw import Peer, RawServer, answer

pytestmark = pytest.mark.requirement("P-08")

OBJECT = {"type": "object"}
GOOD = json.dumps({"name": "get_a", "inputSchema": OBJECT})
ERAS = ("modern", "legacy")


def _nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = OBJECT
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


BAD = {
    "half a pair": (r'{"name":"get_x","description":"cut \ud83d"}', "get_x", "half a surrogate"),
    "repeated": ('{"name":"get_x","inputSchema":{"type":"a","type":"a"}}', "get_x", "same name"),
    "beyond a double": ('{"name":"get_x","inputSchema":{"maximum":1e400}}', "get_x", "too large"),
    "too deep": (json.dumps({"name": "get_x", "inputSchema": _nested(40)}), "get_x", "nested deep"),
    "much too deep": (
        '{"name":"get_x","inputSchema":' + '{"]":[' * 2000 + "]}" * 2000 + "}",
        "get_x",
        "nested deeper than 64 levels",
    ),
    "deep without end": (
        '{"name":"get_x","a":NaN,"inputSchema":' + "[" * 50_000 + "]" * 50_000 + "}",
        "get_x",
        "NaN or infinite",
    ),
    "no number": ('{"name":"get_x","inputSchema":{"maximum":NaN}}', "get_x", "NaN or infinite"),
    "infinite": ('{"name":"get_x","inputSchema":{"minimum":-Infinity}}', "get_x", "infinite"),
    "a control": ('{"name":"get_x","title":"a\x01b"}', "get_x", "does not allow"),
    "a tab": ('{"name":"get_x","title":"a\tb \\" c"}', "get_x", "does not allow"),
    "no escape": (r'{"name":"get_x","title":"\x"}', "get_x", "does not allow"),
    "half a member": (r'{"name":"get_x","\udc00":1}', "the 2nd item", "half a surrogate"),
    "half behind a slash": (r'{"name":"get_x","title":"\\ud83d\udc00"}', "get_x", "half a sur"),
    "nameless": ('{"description":"no name"}', "the 2nd item", "it has no name"),
    "null": ('{"name":null}', "the 2nd item", "it has no name"),
    "a number": ('{"name":7}', "the 2nd item", "it has no name"),
    "empty": ('{"name":""}', "the 2nd item", "it has no name"),
    "no object": ("7", "the 2nd item", "it is no object"),
    "a list": ("[]", "the 2nd item", "it is no object"),
    "null itself": ("null", "the 2nd item", "it is no object"),
    "unprintable": ('{"name":"get\\nx"}', "the 2nd item", "not printable"),
    "too long": (json.dumps({"name": "x" * 257}), "x" * 100, "longer than 256"),
    "other capitals": ('{"name":"get_x","Description":"evil"}', "get_x", "but for its capitals"),
    "half a name": (r'{"name":"get_\ud83d"}', "the 2nd item", "half a surrogate"),
}
# Beside each of these the others stay as they are spelled, whatever they hold.
GOOD_ODD = (
    r'{"name":"get_b","description":"\ud83d\ude00 NaN \" \\ud83d",'
    r'"inputSchema":{"type":"object","x":[-1.50,{}]}}'
)


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(allow_loopback=True)
    yield transport
    await transport.aclose()


class Server:
    """Answers in one era; pages are texts of a result by cursor, None for the first."""

    def __init__(self, era: str, pages: dict[str | None, str], *, stream: bool = False) -> None:
        self.era = era
        self.pages = pages
        self.stream = stream
        self.asked: list[str | None] = []

    async def __call__(self, peer: Peer) -> None:
        while request := await peer.request():
            _, _, body = request.partition(b"\r\n\r\n")
            await peer.send(self._answer(json.loads(body) if body else {}))

    def _answer(self, message: dict[str, Any]) -> bytes:
        match message.get("method"):
            case "server/discover" if self.era == "modern":
                result = '{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}'
            case "initialize" if self.era == "legacy":
                result = '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}'
            case "tools/list":
                cursor = message.get("params", {}).get("cursor")
                self.asked.append(cursor)
                result = self.pages.get(cursor, self.pages.get("*", "null"))
            case _:
                return answer(b"", status="404 Not Found")
        raw = f'{{"jsonrpc":"2.0","id":1,"result":{result}}}'.encode()
        if not self.stream or message["method"] != "tools/list":
            return answer(raw)
        event = b"data: %b\n\n" % raw
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"
        return head % len(event) + event


def _page(*items: str, cursor: Any = None) -> str:
    more = "" if cursor is None else f',"nextCursor":{json.dumps(cursor)}'
    return f'{{"tools":[{",".join(items)}]{more}}}'


def _named(name: str) -> str:
    return json.dumps({"name": name, "inputSchema": OBJECT})


async def _read(transport: Transport, server: Server) -> Findings:
    async with RawServer(server) as running:
        return await Crawler(transport).crawl(running.url)


def _names(found: Findings) -> list[str]:
    return [tool["name"] for tool in found.spellings[0]]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("bad", "item", "why"), BAD.values(), ids=BAD)
async def test_one_bad_tool_leaves_alone_and_is_named_with_its_reason(
    transport: Transport, era: str, bad: str, item: str, why: str, stream: bool
) -> None:
    pages: dict[str | None, str] = {None: _page(GOOD, bad, GOOD_ODD)}

    found = await _read(transport, Server(era, pages, stream=stream))

    assert _names(found) == ["get_a", "get_b"]
    (omission,) = found.omissions
    assert (omission.listing, omission.item) == ("tools", item)
    assert why in omission.reason


async def test_a_page_that_is_no_json_is_still_no_list(transport: Transport) -> None:
    """What is outside of JSON's grammar leaves nothing to say where the next item begins."""
    pages: dict[str | None, str] = {None: _page(GOOD, '{"name":"get_x",}')}

    with pytest.raises(CrawlFailed, match="can be read"):
        await _read(transport, Server("modern", pages))


@pytest.mark.parametrize("era", ERAS)
async def test_an_empty_cursor_is_followed_once(transport: Transport, era: str) -> None:
    """MCP 2026-07-28, pagination: any text is a cursor; older servers end with an empty one."""
    server = Server(era, {None: _page(_named("a"), cursor=""), "": _page(_named("b"))})

    found = await _read(transport, server)

    assert _names(found) == ["a", "b"]
    assert found.omissions == ()
    assert server.asked == [None, ""]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "pages",
    [
        {None: _page(_named("a"), cursor="2"), "2": _page(_named("b"), cursor=""),
         "": _page(_named("a"), cursor="2")},
        {None: _page(_named("a"), _named("b"), cursor=""),
         "": _page(_named("a"), _named("b"), cursor="")},
        {"*": _page(_named("a"), _named("b"), cursor="8")},
    ],
    ids=["empty leads to the first", "empty for ever", "a proxy drops the cursor"],
)  # fmt: skip
async def test_a_cursor_that_was_given_before_ends_the_list_and_says_so(
    transport: Transport, era: str, pages: dict[str | None, str]
) -> None:
    server = Server(era, pages)

    found = await _read(transport, server)

    assert _names(found) == ["a", "b"]
    (omission,) = found.omissions
    assert omission.item == ""
    assert "was given before, so the list may be incomplete" in omission.reason
    assert len(server.asked) <= 3


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ("7", "its page 2 cannot be read"),
        ('{"tools":{}}', "its page 2 cannot be read"),
        (_page(_named("b"), cursor=8), "the cursor after its page 2 is no text"),
    ],
)
async def test_what_was_read_before_a_bad_page_stays(
    transport: Transport, second: str, why: str
) -> None:
    pages: dict[str | None, str] = {None: _page(_named("a"), cursor="2"), "2": second}

    found = await _read(transport, Server("modern", pages))

    assert _names(found)[0] == "a"
    assert why in found.omissions[-1].reason


@pytest.mark.parametrize("era", ERAS)
async def test_a_list_that_grows_under_ever_new_cursors_is_refused(
    transport: Transport, era: str
) -> None:
    class Endless(Server):
        def _answer(self, message: dict[str, Any]) -> bytes:
            number = len(self.asked)
            self.pages = {"*": _page(_named(f"t{number}"), cursor=str(number))}
            return super()._answer(message)

    with pytest.raises(CrawlFailed, match="does not end"):
        await _read(transport, Endless(era, {"*": ""}))


async def test_omissions_are_bounded(transport: Transport) -> None:
    pages: dict[str | None, str] = {None: _page(GOOD, *["7"] * 500)}

    found = await _read(transport, Server("modern", pages))

    assert len(found.omissions) == 101
    assert found.omissions[-1].reason == "400 more are left out"


@pytest.mark.parametrize(
    ("listing", "name"), [("resources", "uri"), ("resourceTemplates", "uriTemplate")]
)
def test_other_lists_are_read_by_the_same_rule(listing: str, name: str) -> None:
    good = json.dumps({name: "ticket://T-1", "name": "T-1"})
    half = f'{{"{name}":"ticket://T-2","name":"cut \\ud83d"}}'
    long = json.dumps({name: "x" * 2049})

    items, omissions = items_of(legible(f"[{good},{half},{{}},{long}]".encode()), listing, name)

    assert [item.name for item in items] == ["ticket://T-1"]
    assert [each.item for each in omissions][:2] == ["ticket://T-2", "the 3rd item"]
    assert omissions[1].reason == f"it has no {name}"
    assert "longer than 2048" in omissions[2].reason


async def test_a_server_of_the_transport_before_ours_is_named(transport: Transport) -> None:
    """MCP 2024-11-05, basic/transports: GET, and the first event is `endpoint`."""

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            if request.startswith(b"GET "):
                await peer.send(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                    b": hello\n\nevent: endpoint\ndata: /messages?session=1\n\n"
                )
                return
            await peer.send(answer(b"", status="405 Method Not Allowed"))

    async with RawServer(script) as server:
        with pytest.raises(CrawlFailed, match=r"speaks HTTP\+SSE") as failed:
            await Crawler(transport).crawl(server.url)

    assert "Streamable HTTP address" in failed.value.fix


async def test_a_stream_without_an_endpoint_is_no_such_server(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        while request := await peer.request():
            if request.startswith(b"GET "):
                await peer.send(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n"
                )
                return
            await peer.send(answer(b"", status="405 Method Not Allowed"))

    async with RawServer(script) as server:
        with pytest.raises(CrawlFailed, match="no MCP revision we know") as failed:
            await Crawler(transport).crawl(server.url)

    assert failed.value.fix == ""


TWINS = _named("get_b"), json.dumps({"name": "get_b", "inputSchema": OBJECT, "description": "evil"})


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "pages",
    [
        {None: _page(TWINS[0], GOOD, TWINS[1])},
        {None: _page(TWINS[1], TWINS[0], TWINS[0], GOOD)},
        {None: _page(GOOD, TWINS[0], cursor="2"), "2": _page(TWINS[1])},
        {None: _page(*TWINS, cursor="2"), "2": _page(GOOD, TWINS[1])},
        {None: _page(TWINS[0], cursor="2"), "2": _page(GOOD, TWINS[1], cursor="2")},
        {None: _page(GOOD, TWINS[0], '{"name":"get_b","inputSchema":{"x":NaN}}')},
        {None: _page('{"name":"get_b","inputSchema":[NaN]}', cursor="2"), "2": _page(*TWINS, GOOD)},
    ],
    ids=["a page", "thrice", "two pages", "again", "no end", "unreadable", "unreadable before"],
)
async def test_a_name_for_several_definitions_is_left_out_with_all_of_them(
    transport: Transport, era: str, pages: dict[str | None, str]
) -> None:
    found = await _read(transport, Server(era, pages))

    assert _names(found) == ["get_a"]
    reasons = [each.reason for each in found.omissions if each.item == "get_b"]
    assert reasons[-1] == "its name stands there more than once, and not for the same"


@pytest.mark.parametrize("again", ["", ',"title":null,"annotations":null'])
async def test_a_name_for_one_definition_is_there_once(transport: Transport, again: str) -> None:
    same = f'{{ "inputSchema":{json.dumps(OBJECT)}, "name":"get_b"{again}}}'
    pages: dict[str | None, str] = {
        None: _page(TWINS[0], same, cursor="2"),
        "2": _page(same, GOOD, TWINS[0]),
    }

    found = await _read(transport, Server("modern", pages))

    assert _names(found) == ["get_b", "get_a"]
    assert found.omissions == ()


@pytest.mark.parametrize(
    ("listing", "name"),
    [("prompts", "name"), ("resources", "uri"), ("resourceTemplates", "uriTemplate")],
)
def test_other_lists_leave_out_what_stands_twice_too(listing: str, name: str) -> None:
    raw = json.dumps(
        [
            {name: "a:b", "name": "1"},
            {name: "a:c", "name": "2"},
            {name: "a:b", "name": "1", "description": "other"},
            {name: "a:c", "name": "2", "description": None},
        ]
        if name != "name"
        else [{name: "a:b"}, {name: "a:c"}, {name: "a:b", "title": "x"}, {name: "a:c"}]
    ).encode()

    items, omissions = items_of(raw, listing, name)

    assert [item.name for item in items] == ["a:c"]
    assert [each.item for each in omissions] == ["a:b"]


def test_a_long_name_is_named_in_full_so_that_its_calls_end() -> None:
    name = "x" * 200
    raw = json.dumps([{"name": name, "inputSchema": OBJECT}])[:-2] + r',"title":"\ud83d"}]'

    items, (omission,) = items_of(legible(raw.encode()), "tools")

    assert (items, omission.item) == ([], name)


@pytest.mark.parametrize(
    "raw", [b"[", b'"', b'"\\', b'{"a":', b'[{"":', b'"\\n",', b"[],", b"N", b"[" * 99 + b"]" * 99]
)
def test_what_is_no_json_is_looked_at_once_and_not_from_every_place_in_it(raw: bytes) -> None:
    """A megabyte of quotation marks took longer than anybody waits."""
    text = raw * (1024 * 1024 // len(raw))
    begun = time.process_time()

    legible(text)

    assert time.process_time() - begun < 5
