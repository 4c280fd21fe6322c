from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.web.names import cleaned, cut, warning_about, way_back


@pytest.mark.requirement("C-25", "SEC-02", "SEC-07", "AS-10")
@pytest.mark.parametrize(
    ("uri", "kind", "place", "target"),
    [
        ("https://agent.example/cb", "web", "agent.example", "https://agent.example"),
        (
            "https://AGENT.example:8443/cb",
            "web",
            "agent.example:8443",
            "https://agent.example:8443",
        ),
        (
            "https://\u0430pple.example/cb",
            "web",
            "xn--pple-43d.example",
            "https://xn--pple-43d.example",
        ),
        ("http://localhost/cb", "loopback", "localhost", "http://localhost"),
        ("http://localhost:1234/cb", "loopback", "localhost:1234", "http://localhost:1234"),
        ("http://127.0.0.1:9/cb", "loopback", "127.0.0.1:9", "http://127.0.0.1:9"),
        ("http://[::1]:9/cb", "loopback", "[::1]:9", "http:"),
        ("cursor://anysphere/cb", "app", "cursor:", "cursor:"),
        ("com.example.app:/cb", "app", "com.example.app:", "com.example.app:"),
        ("https://user@evil.example/cb", "web", "evil.example", "https://evil.example"),
        (
            "https://localhost.evil.example/",
            "web",
            "localhost.evil.example",
            "https://localhost.evil.example",
        ),
    ],
)
def test_the_way_back_is_named_by_what_a_browser_would_open(
    uri: str, kind: str, place: str, target: str
) -> None:
    """Pitfall 18."""
    way = way_back(uri)

    assert (way.kind, way.place, way.form_target) == (kind, place, target)
    assert way.punycode is ("xn--" in place)


@given(st.text(max_size=40))
def test_no_host_breaks_out_of_the_policy(text: str) -> None:
    try:
        way = way_back(f"https://{text}/cb")
    except ValueError:
        return
    assert not set(way.form_target) & set("; ,'\"\r\n*")


@given(st.text(max_size=400))
def test_cleaned_text_is_one_plain_line(text: str) -> None:
    clean = cleaned(text, longest=100)

    assert len(clean) <= 100
    assert clean == clean.strip()
    assert not any(unicodedata.category(c)[0] == "C" for c in clean)
    assert not set("\u3164\u115f\u1160\uffa0\u2800\u034f\ufe0f") & set(clean)
    assert not any(unicodedata.category(c)[0] == "Z" and c != " " for c in clean)
    assert cleaned(clean, longest=100) == clean


@pytest.mark.requirement("C-25", "SEC-07")
@pytest.mark.parametrize(
    "unseen",
    ["\u3164", "\u115f\u1160", "\uffa0", "\u2800", "\u034f", "\ufe0f", "\u180b", "\U000e0100"],
    ids=ascii,
)
def test_what_is_drawn_as_nothing_is_no_part_of_a_name(unseen: str) -> None:
    assert cleaned(unseen) == ""
    assert cleaned(f"Clau{unseen}de") == "Claude"


def test_a_letter_carries_two_marks_and_paints_over_no_other_line() -> None:
    assert cleaned("x" + "\u0301" * 9 + "y") == "x" + "\u0301" * 2 + "y"


def test_long_names_are_cut_for_headings() -> None:
    assert cut("x" * 40) == "x" * 40
    assert cut("x" * 41) == "x" * 39 + "…"


@pytest.mark.requirement("C-25", "SEC-07")
@pytest.mark.parametrize(
    ("name", "published_at", "redirect", "warned"),
    [
        ("Claude", "claude.ai", "https://claude.ai/cb", False),
        ("Claude", "evil.example", "https://claude.ai/cb", True),
        ("claude code", None, "https://evil.example/cb", True),
        ("Claude Code", None, "http://localhost:1/cb", False),
        ("Claude", "claude.ai.evil.example", "https://x.example/cb", True),
        ("Cursor", "api.cursor.com", "cursor://x/cb", False),
        ("\u0421laude", None, "http://localhost:1/cb", True),
        ("Клод", None, "http://localhost:1/cb", False),
        ("My agent", None, "https://agent.example/cb", False),
    ],
)
def test_borrowed_and_look_alike_names_are_pointed_out(
    name: str, published_at: str | None, redirect: str, warned: bool
) -> None:
    warning = warning_about(name, published_at=published_at, way=way_back(redirect))

    assert (warning is not None) is warned
