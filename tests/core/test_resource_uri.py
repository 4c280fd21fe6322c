"""What is accepted as a URI is read by nobody as another one."""

from __future__ import annotations

import json
import random
import re
import subprocess
from shutil import which
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import AnyUrl, TypeAdapter, ValidationError

from safeconduct.core.resource_uri import abnormality, misspelling

pytestmark = pytest.mark.requirement("Z-18", "Z-28")

NORMAL = (
    *("ticket://T-7", "ticket://T-7/comments/1", "ticket://Acme/T-7?part=2#c", "note://", "x:y"),
    *("postgres://reader@db/orders/schema", "x://h:8080/a", "x:/a/b", "urn:isbn:0451450523"),
    *("https://example.com", "https://example.com/", "https://example.com/a//b;v=1", "x:///a"),
    *("https://example.com:8443/a?b=c%20d", "http://127.0.0.1/", "http://[::1]:81/", "file:///a"),
    *("https://xn--mnchen-3ya.de/", "file:///C:/a", "x://h/%C3%A9", "config:app", "a+b.c-d://h"),
    *("x://h/.a/..b/c..", "x://h/...", "x://h/a?x=../..", "x://h/a#/../b"),
)
# Each is read as another, or as none, by some parser; nobody may send it anywhere.
MISSPELLED = (
    *("\tticket://T-8", "ticket://T-8\n", "ticket:/\t/T-8", "tick\net://T-8", " ticket://T-8"),
    *("ticket://T-8 ", "\x00ticket://T-8", "ticket://T-8\x7f", "\ufeffticket://T-8"),
    *("ticket://x/../T-8", "ticket://x/./T-8", "ticket://x/%2e%2e/T-8", "ticket://x/%2E./T-8"),
    *("ticket://x/.%2e/T-8", "ticket://T-8/.", "ticket://T-8/%2e", "ticket://..", "x:../y"),
    *("ticket://x/..%2fT-8", "ticket://x/%252e%252e/T-8", "ticket://x/..;/T-8", "../x", "x:.."),
    *("ticket:\\\\T-8", "ticket://x\\T-8", "ticket:/\\T-8", "TICKET://T-8", "Ticket:T-8"),
    *("ticket://x/\uff0e\uff0e/T-8", "ticket://x/..%5cT-8", "\u3000ticket://T-8", "X:y"),
)
# Fine where nobody but the server reads them, and not where they are decided on.
ABNORMAL = (
    *("ticket://T%2D8", "ticket://%54-8", "ticket://T-8?", "ticket://T-8#", "ticket://T-8?#a"),
    *("ticket://@T-8", "ticket://u:@T-8", "ticket://T-8:", "ticket://T-8:080", "x://:80"),
    *("x://h:99999/", "x://u@", "x://a@b@c/", "x://h/a b", "x://h/\u00e9", "x://h/a^b", "x://h/%"),
    *("x://h/%2f", "x://h/%zz", "x://h/[a]", "x://h/{a}", "x://h/a|b", "x://h/<a>", "x://h/`"),
    *("https://Example.com/", "https://example.com:443/", "http://example.com:80", "https:a"),
    *("https:/example.com/", "https:///example.com/", "https://ex%61mple.com/", "ftp://h"),
    *("https://example\u3002com/", "https://\uff45xample.com/", "https://example.com./"),
    *("http://127.1/", "http://0x7f.0.0.1/", "http://2130706433/", "http://017.0.0.1/"),
    *("http://[::0001]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::FFFF]/", "http://[::1.2.3.4]/"),
    *("https://xn--a-/", "file://localhost/a", "file:/a", "file:a", "file://h"),
    *("file:////a", "file://///a", "file://h//a"),
    *("file:///C|/a", "file://h/C:/a", "https://h/?a='b'", "readme", "/etc/passwd", "//h/a", ""),
    *("x://h/a#b#c", "http://exa mple.com/", "x://h o/", "https://user name@h/", "https:// h/"),
)


@pytest.mark.parametrize("uri", NORMAL)
def test_a_uri_in_its_normal_form_is_accepted(uri: str) -> None:
    assert (misspelling(uri), abnormality(uri)) == ("", "")


@pytest.mark.parametrize("uri", MISSPELLED)
def test_a_uri_that_parsers_take_for_another_is_refused_everywhere(uri: str) -> None:
    assert misspelling(uri)
    assert abnormality(uri)


@pytest.mark.parametrize("uri", ABNORMAL)
def test_a_uri_with_another_spelling_is_refused_where_it_is_decided_on(uri: str) -> None:
    assert abnormality(uri)


@pytest.mark.parametrize(
    "uri", ["note://h/\u00e9", "readme", "ticket://T-7", "x://h/a b", "note://h/{id}", "https://H"]
)
def test_what_nobody_but_the_server_reads_may_be_spelled_freely(uri: str) -> None:
    assert misspelling(uri) == ""


NODE = """
const read = text => { try { return new URL(text).href } catch { return null } }
const uris = JSON.parse(require('fs').readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(uris.map(read)))
"""


def node_reads(uris: list[str]) -> list[str | None]:
    """Return what the parser of Node, which is the WHATWG's, makes of URIs."""
    node = which("node")
    if node is None:
        pytest.skip("there is no node")
    done = subprocess.run(
        [node, "-e", NODE], input=json.dumps(uris), capture_output=True, text=True, check=True
    )
    read: list[str | None] = json.loads(done.stdout)
    return read


_ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyUrl)


def sdk_reads(uri: str) -> str | None:
    """Return what the Python SDK's servers made of a URI in their messages' models."""
    try:
        return str(_ADAPTER.validate_python(uri))
    except ValidationError:
        return None


SCHEMES = (
    "ticket",
    "x",
    "note",
    "http",
    "https",
    "ws",
    "wss",
    "ftp",
    "file",
    "a+b",
    "Ticket",
    "HTTPS",
)
USERS = ("", "", "", "", "u@", "u:p@", "@", ":@", "u:@", "%55@", "a@b@", "U@")
HOSTS = (
    *("T-8", "t-8", "example.com", "EXAMPLE.com", "example.com.", "", "127.0.0.1", "127.1"),
    *("0x7f.1", "1", "[::1]", "[0::1]", "[::ffff:1.2.3.4]", "xn--mnchen-3ya.de", "xn--a"),
    *(
        "localhost",
        "a_b",
        "ex%61mple",
        "a\u3002b",
        "\uff41",
        "m\u00fcnchen.de",
        "a b",
        "C:",
        "..",
    ),
    *("xn--", "xn--zz--", "xn--iamqubhwjlsq", "1.2.3", "a.0", "a.0x", "-a", "a-", "a~b", "a!b"),
)
PORTS = ("", "", "", "", ":", ":80", ":443", ":21", ":080", ":8080", ":70000", ":0")
PIECES = (
    *(
        "a",
        "T-8",
        "..",
        ".",
        "%2e",
        "%2E%2e",
        ".%2e",
        "%41",
        "%7E",
        "%2F",
        "%2f",
        "%5C",
        "",
        "",
    ),
    *(
        ";",
        "..;",
        ".;a",
        "a;b=c",
        "'",
        "a'b",
        " ",
        "\t",
        "\n",
        "|",
        "^",
        "{id}",
        "[",
        "C:",
        "C|",
    ),
    *(
        "%",
        "%zz",
        "\u00e9",
        "\u3000",
        "\uff0e",
        "\u200b",
        "~",
        "!",
        "$&()*+,=:@",
        '"',
        "<",
        "`",
    ),
)
SLASHES = ("://", "://", "://", "://", ":/", ":", ":\\\\", ":/\\", ":///", ":/\t/")
SEPARATORS = ("/", "/", "/", "\\", "//")
EDGES = ("", "", "", "", "", "\t", " ", "\n", "\x00", "\ufeff")
TAILS = ("", "", "", "?", "#", "?a=b", "?a='b'", "#c", "?a=b#c", "?#", "#a#b", "?[", "?^")
ANYTHING = "abAB:/?#[]@.%2eE5cC\\;'\t ~|^-0"


def spelled(draw: random.Random) -> str:
    """Write a URI in a way that some parser might read as another."""
    if draw.random() < 0.2:
        return draw.choice(["", "x:", "x://", "http://"]) + "".join(
            draw.choices(ANYTHING, k=draw.randrange(12))
        )
    authority = draw.choice(USERS) + draw.choice(HOSTS) + draw.choice(PORTS)
    path = "".join(draw.choice(SEPARATORS) + draw.choice(PIECES) for _ in range(draw.randrange(4)))
    text = draw.choice(SCHEMES) + draw.choice(SLASHES) + authority + path + draw.choice(TAILS)
    return draw.choice(EDGES) + text + draw.choice(EDGES)


def same(uri: str, read: str | None) -> bool:
    """Say whether a parser wrote a URI as it read it; of http it may add the missing path."""
    if read is None:  # it is nothing to this parser; only names that no registry has are
        return "xn--" in uri
    return read in {uri, re.sub(r"^(https?://[^/?#]*)(?=[?#]|$)", r"\1/", uri)}


def test_no_accepted_uri_is_read_as_another_by_node() -> None:
    draw = random.Random(7)
    uris = [uri for uri in (spelled(draw) for _ in range(60_000)) if not abnormality(uri)]

    read = node_reads(uris)

    assert len(uris) > 1_000
    assert [(uri, each) for uri, each in zip(uris, read, strict=True) if not same(uri, each)] == []


def test_no_accepted_uri_is_read_as_another_by_servers_of_the_python_sdk() -> None:
    draw = random.Random(8)
    uris = [uri for uri in (spelled(draw) for _ in range(60_000)) if not abnormality(uri)]

    assert [(uri, sdk_reads(uri)) for uri in uris if not same(uri, sdk_reads(uri))] == []


@given(st.text(max_size=24) | st.text(alphabet=ANYTHING, max_size=16).map("x://h/{}".format))
@example("https://example.com")
def test_any_text_is_one_uri_to_everybody_or_is_refused(uri: str) -> None:
    assert abnormality(uri) or same(uri, sdk_reads(uri))
