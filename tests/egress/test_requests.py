"""One request in, one request out: nothing a caller passes can frame or begin another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.errors import Refused
from safeconduct.egress.requests import Fields, Origin, _start, below, parse_url, write


@pytest.mark.parametrize(
    ("url", "origin", "line", "host"),
    [
        ("http://a.test", Origin(False, "a.test", 80), b" / HTTP/1.1", b"a.test"),
        ("https://A.test/x?y=1", Origin(True, "a.test", 443), b" /x?y=1 HTTP/1.1", b"a.test"),
        ("https://a.test:8443/", Origin(True, "a.test", 8443), b" / HTTP/1.1", b"a.test:8443"),
        ("http://[::1]:9/m", Origin(False, "::1", 9), b" /m HTTP/1.1", b"[::1]:9"),
    ],
)
def test_a_url_becomes_origin_and_head(url: str, origin: Origin, line: bytes, host: bytes) -> None:
    target = parse_url(url)

    assert target.origin == origin
    assert target.tail.startswith(line + b"\r\nhost: " + host + b"\r\n")


@pytest.mark.requirement("P-24")
@pytest.mark.parametrize(
    "url",
    [
        "",
        "/mcp",
        "ftp://a.test/",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "http://user:pw@a.test/",
        "http://@a.test/",
        "http://a.test/#f",
        "http://a.test\\@b.test/",
        "http://a.test/ x",
        "http://a.test/\r\nx: y",
        "http://a.test/é",
        "http://bücher.test/",
        "http://a..test/",
        "http://-a.test/",
        "http://a.test:0/",
        "http://a.test:99999/",
        "http://a.test:x/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://%31%32%37.0.0.1/",
        "http://a.test/" + "x" * 2048,
    ],
)
def test_a_url_that_can_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_url(url)


def test_a_request_is_written_whole() -> None:
    target = parse_url("http://a.test/mcp")

    written = write(target, "POST", [(b"Accept", b"a, b")], b"{}")

    assert written == (
        b"POST /mcp HTTP/1.1\r\nhost: a.test\r\nuser-agent: safeconduct\r\n"
        b"accept-encoding: identity\r\nAccept: a, b\r\ncontent-length: 2\r\n\r\n{}"
    )


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("POST", b"", True), ("GET", b"", False), ("DELETE", b"", False), ("DELETE", b"x", True)],
)
def test_a_length_is_sent_where_a_body_is_or_is_expected(
    method: str, body: bytes, length: bool
) -> None:
    written = write(parse_url("http://a.test/"), method, [], body)

    assert (b"content-length" in written) is length


@pytest.mark.parametrize("method", ["HEAD", "CONNECT", "get", "GET /x HTTP/1.1\r\nx:", "", "TRACE"])
def test_a_method_that_changes_framing_is_not_sent(method: str) -> None:
    with pytest.raises(Refused):
        write(parse_url("http://a.test/"), method, [], b"")


@pytest.mark.requirement("SEC-61")
@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nb: c"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\x00b"),
        (b"x", b"a\x7f"),
        (b"x", b"\x1b[0m"),
        (b"", b"a"),
        (b"x y", b"a"),
        (b"x: y", b"a"),
        (b"x\r\ny", b"a"),
        (b"x\xe9", b"a"),
        (b"Host", b"b.test"),
        (b"content-length", b"0"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close"),
        (b"Accept-Encoding", b"gzip"),
        (b"User-Agent", b"me"),
        (b"Expect", b"100-continue"),
        (b"Upgrade", b"h2c"),
    ],
)
def test_a_header_that_would_frame_or_split_is_refused(header: tuple[bytes, bytes]) -> None:
    write(parse_url("http://a.test/"), "POST", [(b"ok", b"1"), (b"x", b"good")], b"")
    for _ in range(2):  # a refused name is not remembered as a good one
        with pytest.raises(Refused):
            write(parse_url("http://a.test/"), "POST", [(b"ok", b"1"), header], b"")
        with pytest.raises(Refused):
            Fields([header, (b"ok", b"1")])


@pytest.mark.parametrize("value", [b"", b"a\tb", b"\xe9\xff", b"=?base64?eA==?="])
def test_the_values_beside_them_are_sent_as_they_are(value: bytes) -> None:
    written = write(parse_url("http://a.test/"), "POST", [(b"x", value)], b"")

    assert b"\r\nx: " + value + b"\r\n" in written


@given(
    headers=st.lists(
        st.tuples(st.sampled_from([b"x", b"x-long", b"Accept"]), st.binary(max_size=6)), max_size=4
    )
)
def test_fields_checked_once_are_sent_as_the_same_fields_checked_each_time(
    headers: list[tuple[bytes, bytes]],
) -> None:
    targets = [parse_url("http://a.test/x"), parse_url("https://b.test/y")]
    if any(set(value) & {*range(9), *range(10, 32), 127} for _, value in headers):
        with pytest.raises(Refused):
            Fields(headers)
        return

    kept = Fields(headers)

    for target in targets:
        for method, body in [("POST", b"{}"), ("POST", b"1"), ("GET", b"")]:
            written = write(target, method, kept, body)
            assert written == write(target, method, headers, body)
            assert written.startswith(method.encode() + target.tail)


def test_two_line_ends_that_make_up_for_each_other_are_refused() -> None:
    """The controls are counted over all values together, so one must not stand for another."""
    with pytest.raises(Refused):
        Fields([(b"a", b"\r\n"), (b"b", b"")])


def test_the_memory_of_names_is_bounded() -> None:
    for number in range(5000):
        Fields([(b"x-%d" % number, b"1")])

    assert _start.cache_info().currsize <= 1024


@pytest.mark.parametrize(
    ("url", "rest", "line"),
    [
        ("https://a.test/v3", b"/x%2Fy/z?q=a%26b&r=", b"GET /v3/x%2Fy/z?q=a%26b&r= HTTP/1.1"),
        ("https://a.test/v3/", b"/x", b"GET /v3/x HTTP/1.1"),
        ("https://a.test", b"/x", b"GET /x HTTP/1.1"),
        ("https://a.test", b"/", b"GET / HTTP/1.1"),
    ],
)
def test_a_path_goes_on_below_a_url(url: str, rest: bytes, line: bytes) -> None:
    target = parse_url(url)

    further = below(target, rest)

    assert write(further, "GET", (), b"").split(b"\r\n")[0] == line
    assert further.origin == target.origin
    assert further.tail.split(b"\r\n")[1:] == target.tail.split(b"\r\n")[1:]


@pytest.mark.parametrize(
    "rest",
    [
        *(b"x", b"//x y", b"/x HTTP/1.1\r\nhost: b", b"/x\n", b"/x#y", b"/%zz", b"/\xe9", b"/a\\b"),
        *(b"/?a b", b"?x", b"@b.test/", b"/" + b"x" * 8192),
    ],
)
def test_what_is_not_written_as_it_is_sent_does_not_follow_a_url(rest: bytes) -> None:
    with pytest.raises(Refused):
        below(parse_url("https://a.test/v3"), rest)


def test_nothing_follows_a_query() -> None:
    with pytest.raises(Refused):
        below(parse_url("https://a.test/v3?key=x"), b"/x")
