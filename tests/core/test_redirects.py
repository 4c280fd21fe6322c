"""What may be registered, and what matches what was registered."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core import redirects
from safeconduct.core.redirects import Kind, host_of, kind_of, matches, with_answer

WEB = "https://agent.example/x/cb?a=1"


@pytest.mark.requirement("AS-05", "SEC-05", "T-09")
@pytest.mark.parametrize(
    "requested",
    [
        "https://agent.example/x/cb",
        "https://agent.example/x/CB?a=1",
        "https://Agent.example/x/cb?a=1",
        "HTTPS://agent.example/x/cb?a=1",
        "https://agent.example/x/cb/?a=1",
        "https://agent.example/x/cb?a=1&b=2",
        "https://agent.example/x/../x/cb?a=1",
        "https://agent.example/x/%63b?a=1",
        "https://agent.example:443/x/cb?a=1",
        "https://agent.example.evil/x/cb?a=1",
        "https://agent.example@evil.example/x/cb?a=1",
        "https://user@agent.example/x/cb?a=1",
        "https://agent.example\\@evil.example/x/cb?a=1",
        "https://agent.example/x/cb?a=1#f",
        "http://agent.example/x/cb?a=1",
        " https://agent.example/x/cb?a=1",
        "https://agent.example/x/cb?a=1\n",
        "",
    ],
)
def test_another_spelling_of_a_registered_address_does_not_match(requested: str) -> None:
    """Pitfall 1; RFC 9700 section 4.1.3."""
    assert matches(WEB, [WEB])
    assert not matches(requested, [WEB])


@pytest.mark.requirement("AS-05", "T-08")
@pytest.mark.parametrize(
    ("registered", "requested"),
    [
        ("http://localhost/callback", "http://localhost:60770/callback"),
        ("http://127.0.0.1/callback", "http://127.0.0.1:1/callback"),
        ("http://[::1]/callback", "http://[::1]:65535/callback"),
        ("http://127.0.0.1:33418/", "http://127.0.0.1:33419/"),
        ("http://127.0.0.1:33418/cb?x=1", "http://127.0.0.1/cb?x=1"),
    ],
)
def test_the_port_of_a_loopback_address_does_not_count(registered: str, requested: str) -> None:
    """Pitfall 2; RFC 8252 section 7.3."""
    assert matches(requested, [registered])


@pytest.mark.requirement("AS-05")
@pytest.mark.parametrize(
    "requested",
    [
        "http://localhost:1/other",
        "http://localhost:1/callback/",
        "http://localhost:1/callback?x=1",
        "https://localhost:1/callback",
        "http://127.0.0.1:1/callback",
        "http://[::1]:1/callback",
        "http://127.1:1/callback",
        "http://0x7f000001:1/callback",
        "http://2130706433:1/callback",
        "http://localhost.:1/callback",
        "http://LOCALHOST:1/callback",
        "http://localhost.evil:1/callback",
        "http://u@localhost:1/callback",
        "http://localhost:1@evil.example/callback",
        "http://localhost:99999/callback",
        "http://localhost:0/callback",
        "http://localhost:01/callback",
        "http://localhost:/callback",
        "http://localhost:1\\/callback",
        "http://localhost:1/callback#x",
        "http://evil.example:1/callback",
    ],
)
def test_nothing_else_about_a_loopback_address_may_differ(requested: str) -> None:
    """Pitfalls 1 and 2."""
    assert matches("http://localhost:1/callback", ["http://localhost/callback"])
    assert not matches(requested, ["http://localhost/callback"])


def test_the_port_of_an_https_address_counts() -> None:
    """Pitfall 2: the exception is for loopback http only."""
    assert not matches("https://localhost:2/cb", ["https://localhost:1/cb"])
    assert not matches("http://10.0.0.1:2/cb", ["http://10.0.0.1:1/cb"])


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("https://agent.example/cb", Kind.HTTPS),
        ("https://agent.example:8443/cb?x=1", Kind.HTTPS),
        ("http://localhost:8787/callback", Kind.LOOPBACK),
        ("http://127.0.0.1", Kind.LOOPBACK),
        ("http://127.0.0.1/", Kind.LOOPBACK),
        ("cursor://anysphere.cursor-mcp/oauth/callback", Kind.PRIVATE),
        ("com.example.app:/cb", Kind.PRIVATE),
    ],
)
def test_what_clients_in_the_field_register_is_accepted(uri: str, kind: Kind) -> None:
    assert kind_of(uri) is kind


@pytest.mark.requirement("AS-05")
@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "javascript://x/%0aalert(1)",
        "JavaScript://x/",
        "data:text/html,x",
        "data://x/y",
        "file:///etc/passwd",
        "vbscript://x/",
        "blob:https://agent.example/x",
        "ms-msdt:/id",
        "search-ms://x/y",
        "mailto:a@b.example",
        "http://agent.example/cb",
        "http://192.168.0.1/cb",
        "http://127.0.0.2/cb",
        "https://agent.example/cb#f",
        "https://u:p@agent.example/cb",
        "https://*.agent.example/cb",
        "https://agent.example/*",
        "https://ägent.example/cb",
        "https://agent.example/a b",
        "https:///cb",
        "https:/agent.example/cb",
        "//agent.example/cb",
        "/cb",
        "agent.example",
        "x",
        "cursor:opaque",
        "https://agent.example/" + "a" * 2048,
    ],
)
def test_a_dangerous_address_cannot_be_registered(uri: str) -> None:
    """Pitfall 4."""
    assert kind_of(uri) is Kind.REFUSED
    assert not matches(uri, [uri])


@pytest.mark.parametrize(
    "schemes",
    [
        (
            "edge brave chrome chrome-search chrome-untrusted chrome-devtools devtools mhtml jar "
            "safari-extension safari-web-extension moz-extension moz-icon resource wyciwyg res mk "
            "opera vivaldi arc isolated-app webkit-fake-url applewebdata web+coffee microsoft-edge"
        ),
        (
            "hcp its ms-its shell search-ms control settings x-apple.systempreferences geo content "
            "macappstore apple-music applescript windowsdefender microsoft.windows.camera man "
            "snap flatpak otpauth otpauth-migration fido intent android-app x-help-action ghelp"
        ),
        "jnlp jnlps rdp sip callto mms nntp dav svn+ssh rlogin magnet webcals imaps smsto stssync",
    ],
    ids=["browsers", "systems", "services"],
)
def test_what_a_browser_or_a_system_opens_itself_cannot_be_registered(schemes: str) -> None:
    assert [each for each in schemes.split() if kind_of(f"{each}://x/cb") is not Kind.REFUSED] == []
    assert [each for each in schemes.split() if kind_of(f"{each}:/cb") is not Kind.REFUSED] == []


def test_schemes_of_programs_that_are_spelled_nearly_so_can_be_registered() -> None:
    programs = (
        "cursor vscode vscode-insiders code-oss windsurf zed warp raycast goose claude chatgpt "
        "lmstudio jetbrains obsidian edgeworks resources rdpclient com.microsoft.app com.apple.app "
        "com.example.app settings-sync sipper webview newsreader dataspell x-github-client"
    )
    assert [
        each for each in programs.split() if kind_of(f"{each}://oauth/cb") is not Kind.PRIVATE
    ] == []


def test_what_a_person_is_shown_names_the_place() -> None:
    assert host_of("https://Agent.Example:8443/cb") == "agent.example"
    assert host_of("http://[::1]:1/cb") == "[::1]"
    assert host_of("cursor://anysphere.cursor-mcp/cb") == "cursor"


@given(st.dictionaries(st.sampled_from(["code", "state", "iss", "error"]), st.text()))
def test_an_answer_arrives_as_it_was_sent(answer: dict[str, str]) -> None:
    answer = {name: text.encode("utf-8", "ignore").decode() for name, text in answer.items()}
    location = with_answer("https://agent.example/cb?own=1", answer)

    assert location.isascii()
    assert "+" not in location
    received = parse_qsl(urlsplit(location).query, keep_blank_values=True)
    assert received == [("own", "1"), *answer.items()]


@given(st.text(), st.text())
def test_a_match_is_equality_or_the_loopback_exception(requested: str, registered: str) -> None:
    if matches(requested, [registered]) and requested != registered:
        assert kind_of(requested) is kind_of(registered) is Kind.LOOPBACK


@given(st.text(alphabet="htps:/@\\.#?%localhost127[]*é\n"))
def test_no_text_upsets_the_judgement(uri: str) -> None:
    if kind_of(uri) in (Kind.HTTPS, Kind.LOOPBACK):
        parts = urlsplit(uri)
        assert parts.username is None
        assert not parts.fragment
        assert redirects.host_of(uri).strip("[]") == (parts.hostname or "")
