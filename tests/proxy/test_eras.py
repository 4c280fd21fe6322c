"""What headers say, once and for all messages they come before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safeconduct.core.errors import Code, Refused
from safeconduct.proxy.eras import (
    LEGACY_VERSIONS,
    MODERN_VERSIONS,
    Headers,
    UnsupportedVersion,
    check,
    encoded,
    revision_of,
)
from safeconduct.proxy.messages import LEGACY, MODERN, read

_VERSION, _CAPABILITIES = (
    f"io.modelcontextprotocol/{name}" for name in ("protocolVersion", "clientCapabilities")
)
_NAMES = st.sampled_from(
    [
        *(b"accept", b"content-type", b"content-encoding", b"mcp-method", b"mcp-name"),
        *(b"mcp-protocol-version", b"mcp-session-id", b"authorization", b"origin", b"x"),
        *(b"mcp-param-a", b"mcp-param-b", b"mcp-param-", b"x-mcp-param-a", b"mcp-param"),
    ]
)
_VALUES = st.binary(max_size=6) | st.sampled_from([b" a", b"a \t", b"\ta b ", b"\xe9", b"", b" "])


class _Plainly:
    """What headers mean, one line at a time."""

    def __init__(self, lines: list[tuple[bytes, bytes]]) -> None:
        self.said: dict[bytes, bytes] = {}
        self.repeated: list[bytes] = []
        for name, value in lines:
            if name not in self.said:
                self.said[name] = value.strip(b" \t")
            elif name == b"accept":
                self.said[name] += b", " + value.strip(b" \t")
            else:
                self.repeated.append(name)

    def params(self) -> dict[bytes, bytes]:
        return {name: value for name, value in self.said.items() if name[:10] == b"mcp-param-"}


@pytest.mark.requirement("GW-01", "SEC-61")
@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=8))
@example([(b"accept", b"a "), (b"x", b"1"), (b"accept", b" b")])
@example([(b"mcp-param-a", b" 1 "), (b"mcp-param-a", b"2")])
@example([(b"x-mcp-param-a", b"1")])
def test_headers_are_taken_line_by_line(lines: list[tuple[bytes, bytes]]) -> None:
    headers, plain = Headers(iter(lines)), _Plainly(lines)

    assert dict(headers.params) == plain.params()
    for name in {name for name, _ in lines} | {b"absent"}:
        expected = None if name in headers.params else plain.said.get(name)
        for _ in "twice":
            assert headers.get(name) == expected
            assert headers.text(name) == (None if expected is None else expected.decode("latin-1"))
            assert headers.repeats(name) == (name in plain.repeated)


@pytest.mark.requirement("GW-01", "SEC-61")
@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=8))
def test_what_two_readers_may_read_in_two_ways_is_refused(
    lines: list[tuple[bytes, bytes]],
) -> None:
    repeated = set(_Plainly(lines).repeated)
    routed = {name for name in repeated if name[:4] == b"mcp-" and name != b"mcp-param"}
    content = {name for name in repeated if name[:8] == b"content-"}
    if not routed and not content:
        Headers(lines).check_single()
        return
    with pytest.raises(Refused) as caught:
        Headers(lines).check_single()
    assert (caught.value.code, caught.value.public) in {
        *((Code.HEADER_MISMATCH, _twice(name)) for name in routed),
        *((Code.UNSUPPORTED_MEDIA, _twice(name)) for name in content),
    }


def _twice(name: bytes) -> str:
    return f"The header {name.decode()} is there twice."


@pytest.mark.parametrize("version", [None, *LEGACY_VERSIONS, *MODERN_VERSIONS])
def test_a_revision_belongs_to_one_era(version: str | None) -> None:
    lines = [] if version is None else [(b"mcp-protocol-version", f" {version} ".encode())]

    revision = revision_of(Headers(lines))

    assert revision.version == (version or "2025-03-26")
    assert revision.era == (MODERN if version in MODERN_VERSIONS else LEGACY)


@pytest.mark.parametrize("version", [b"", b"2026-07-2", b"2026-07-28x", b"\xff", b"2024-10-07"])
def test_any_other_revision_is_not_spoken(version: bytes) -> None:
    with pytest.raises(UnsupportedVersion) as caught:
        revision_of(Headers([(b"mcp-protocol-version", version)]))

    assert caught.value.requested == version.decode("latin-1")
    assert caught.value.supported == (*MODERN_VERSIONS, *LEGACY_VERSIONS)


def _lines(**changes: str | None) -> list[tuple[bytes, bytes]]:
    said = {"protocol_version": "2026-07-28", "method": "tools/call", "name": "search", **changes}
    return [
        (f"mcp-{name.replace('_', '-')}".encode(), value.encode("latin-1"))
        for name, value in said.items()
        if value is not None
    ]


def _body(method: str = "tools/call", name: str = "search", **changes: Any) -> dict[str, Any]:
    meta = {_VERSION: "2026-07-28", _CAPABILITIES: {}}
    params = {"name": name, "_meta": meta}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params, **changes}


def _with_meta(**meta: Any) -> dict[str, Any]:
    return _body(params={"name": "search", "_meta": meta})


def _checked(headers: Headers, body: dict[str, Any]) -> tuple[Code, str] | None:
    revision = revision_of(headers)
    try:
        check(revision, headers, read(json.dumps(body).encode(), revision.era))
    except Refused as error:
        return error.code, error.public
    return None


_NOTE = "notifications/cancelled"
_UNLIKE = Code.HEADER_MISMATCH


@pytest.mark.requirement("GW-01", "SEC-61")
@pytest.mark.parametrize(
    ("lines", "body", "expected"),
    [
        (_lines(), _body(), None),
        (_lines(name=None, method="tools/list"), _body("tools/list"), None),
        (_lines(name=encoded("é").decode()), _body(name="é"), None),
        (_lines(method=None), _body(), (_UNLIKE, "The header Mcp-Method is missing.")),
        (
            _lines(method="tools/list"),
            _body(),
            (_UNLIKE, "The header Mcp-Method does not equal the body's method."),
        ),
        (
            _lines(method="tools/list", name="\xff"),
            _body(),
            (_UNLIKE, "The header Mcp-Method does not equal the body's method."),
        ),
        (_lines(name=None), _body(), (_UNLIKE, "The header Mcp-Name is missing.")),
        (_lines(name="\xff"), _body(), (_UNLIKE, "A mirrored header is not ASCII.")),
        (
            _lines(name="=?base64?!?="),
            _body(),
            (_UNLIKE, "A mirrored header is not valid Base64 of UTF-8."),
        ),
        (
            _lines(name="other"),
            _body(),
            (_UNLIKE, "The header Mcp-Name does not equal the parameter 'name'."),
        ),
        (
            _lines(name=""),
            _body(),
            (_UNLIKE, "The header Mcp-Name does not equal the parameter 'name'."),
        ),
        (
            _lines(),
            _with_meta(),
            (Code.INVALID_PARAMS, f"The parameter _meta[{_VERSION!r}] is missing."),
        ),
        (
            _lines(),
            _with_meta(**{_VERSION: "2026-07-28"}),
            (Code.INVALID_PARAMS, f"The parameter _meta[{_CAPABILITIES!r}] is missing."),
        ),
        (
            _lines(),
            _with_meta(**{_VERSION: "2026-07-28", _CAPABILITIES: []}),
            (Code.INVALID_PARAMS, f"The parameter _meta[{_CAPABILITIES!r}] is missing."),
        ),
        (
            _lines(),
            _with_meta(**{_VERSION: "2025-11-25", _CAPABILITIES: {}}),
            (_UNLIKE, "The header MCP-Protocol-Version does not equal the body's."),
        ),
        (
            _lines(),
            {"jsonrpc": "2.0", "id": 1, "result": {}},
            (Code.INVALID_MESSAGE, "Responses are not sent in this revision."),
        ),
    ],
)
def test_a_modern_request_says_the_same_in_head_and_body(
    lines: list[tuple[bytes, bytes]], body: dict[str, Any], expected: tuple[Code, str] | None
) -> None:
    headers = Headers(lines)

    for _ in "twice":  # what is kept with the headers must not change what is said
        assert _checked(headers, body) == expected


def _told(method: str = _NOTE, **meta: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": {"_meta": meta}}


@pytest.mark.requirement("GW-01", "SEC-61")
@pytest.mark.parametrize(
    ("lines", "body", "expected"),
    [
        (_lines(method=None), _told(), None),
        (_lines(method=_NOTE, name="\xff"), _told(**{_VERSION: "2026-07-28"}), None),
        (
            _lines(method="tools/call"),
            _told(),
            (_UNLIKE, "The header Mcp-Method does not equal the body's method."),
        ),
        (
            _lines(method="tools/call"),
            _told(**{_VERSION: "x"}),
            (_UNLIKE, "The header MCP-Protocol-Version does not equal the body's."),
        ),
    ],
)
def test_a_modern_notification_may_say_less_but_nothing_else(
    lines: list[tuple[bytes, bytes]], body: dict[str, Any], expected: tuple[Code, str] | None
) -> None:
    assert _checked(Headers(lines), body) == expected


@pytest.mark.parametrize("version", [None, "2025-11-25"])
def test_a_legacy_message_names_no_revision_in_its_body(version: str | None) -> None:
    headers = Headers(_lines(protocol_version=version, method=None, name=None))
    said = version or "nothing"

    assert _checked(headers, _body()) == (
        _UNLIKE,
        f"The body says revision '2026-07-28' and the header MCP-Protocol-Version says {said!r}.",
    )
    assert _checked(headers, _with_meta(**{_VERSION: None})) is None
    assert (
        _checked(headers, {"jsonrpc": "2.0", "id": 1, "result": {"_meta": {_VERSION: 1}}}) is None
    )


_OLDER = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search"}}
_LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.mark.requirement("GW-01", "SEC-61")
@pytest.mark.parametrize("version", [None, *LEGACY_VERSIONS])
@pytest.mark.parametrize(
    ("head", "body", "fits"),
    [
        ({"method": "tools/call", "name": "search"}, _OLDER, True),
        ({"method": "tools/call", "name": None}, _OLDER, True),
        ({"method": None, "name": "search"}, _OLDER, True),
        ({"method": None, "name": encoded("search").decode()}, _OLDER, True),
        ({"method": "tools/list", "name": None}, _OLDER, False),
        ({"method": "Tools/Call", "name": None}, _OLDER, False),
        ({"method": None, "name": "delete"}, _OLDER, False),
        ({"method": None, "name": "SEARCH"}, _OLDER, False),
        ({"method": None, "name": "\xff"}, _OLDER, False),
        ({"method": "tools/list", "name": None}, _LIST, True),
        ({"method": "tools/list", "name": "search"}, _LIST, False),
        ({"method": "tools/call", "name": None}, {"jsonrpc": "2.0", "id": 1, "result": {}}, False),
        ({"method": None, "name": None}, {"jsonrpc": "2.0", "id": 1, "result": {}}, True),
    ],
)
def test_an_older_message_need_not_mirror_itself_and_may_not_contradict_itself(
    version: str | None, head: dict[str, str | None], body: dict[str, Any], fits: bool
) -> None:
    said = _checked(Headers(_lines(protocol_version=version, **head)), body)

    assert (said is None) == fits
    assert fits or (said is not None and said[0] is Code.HEADER_MISMATCH)


@pytest.mark.requirement("GW-01", "SEC-61")
def test_headers_that_came_before_are_held_against_every_body_anew() -> None:
    headers = Headers(_lines())

    assert _checked(headers, _body()) is None
    assert _checked(headers, _body(name="other")) is not None
    assert _checked(headers, _body("prompts/get")) is not None
    assert _checked(headers, _body()) is None
