"""Patterns in linear time: the same answers as an engine that goes back, without its nights."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from safeconduct.core.linear_pattern import LinearPattern, Unsupported

pytestmark = pytest.mark.requirement("SEC-56")
ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\S", "[a-c1]", "^", "$", r"\.", "[0-9-]", "c"]
)
TIMES = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?", "+?"])


@st.composite
def patterns(draw: st.DrawFn, depth: int = 3) -> str:
    def one() -> str:
        if depth and draw(st.integers(0, 3)) == 0:
            inner = draw(patterns(depth - 1))
            return f"({draw(st.sampled_from(['', '?:', '?<n>']))}{inner}){draw(TIMES)}"
        atom = draw(ATOMS)
        return atom if atom in {"^", "$"} else atom + draw(TIMES)

    rows = [
        "".join(one() for _ in range(draw(st.integers(0, 4))))
        for _ in range(draw(st.integers(1, 2)))
    ]
    return "|".join(rows)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(patterns(), st.text(alphabet="abc1.- é", max_size=8))
@example("^$", "")
@example("(|a)*b", "aab")
@example("a{2}", "aa")
def test_a_pattern_is_found_where_an_engine_that_goes_back_finds_it(
    pattern: str, text: str
) -> None:
    names = iter("abcdefghijklmnopqrstuvwxyz")
    python = re.sub(r"\(\?<n>", lambda _: f"(?P<{next(names)}>", pattern).replace("$", r"\Z")

    expected = re.search(python, text, re.ASCII) is not None

    assert LinearPattern(pattern).found_in(text) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^[0-9a-f]{8}-[0-9a-f]{4}$", "0123abcd-ef01", True),
        ("^[0-9a-f]{8}-[0-9a-f]{4}$", "0123abcd-ef0", False),
        ("a$", "a\n", False),
        (r"^\p{Lu}\p{Ll}+$", "Über", True),
        (r"^\P{L}$", "1", True),
        (r"\u00e9", "é", True),
        (r"\u{1F600}", "\U0001f600", True),
        (r"^[^\d]$", "x", True),
        (r"^[\D5]$", "5", True),
        (r"^[\D5]$", "6", False),
        (r"^[\w.-]+@[\w-]+\.[a-z]{2,}$", "a.b@c-d.ef", True),
        (r"\x41\cJ\/\-", "A\n/-", True),
        ("[]a]", "a]", None),
        (r"^\s$", "\ufeff", True),
    ],
)
def test_patterns_of_schemas_mean_what_ecma_262_says(
    pattern: str, text: str, found: bool | None
) -> None:
    if found is not None:
        assert LinearPattern(pattern).found_in(text) == found


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<!a)",
            r"(a)\1",
            r"\bword",
            r"\B",
            "(?i)a",
            r"\k<a>",
            "(?P<a>b)",
        ),
        *(
            "a**",
            "*a",
            "(",
            ")",
            "a)",
            "[a",
            "a{2,1}",
            "a{9999}",
            "(((a{99}){99}){99})",
            "^*",
            "a" * 1001,
        ),
        *(
            r"\q",
            r"\u12",
            r"\p{Greek}",
            "[b-a]",
            r"[\d-a]",
            "(" * 50 + ")" * 50,
            "\\",
            "a{x}",
            "a++",
        ),
    ],
)
def test_what_is_not_matched_in_linear_time_is_refused(pattern: str) -> None:
    with pytest.raises(Unsupported):
        LinearPattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(a+)+$", "a" * 100_000 + "!"),
        ("^(a|a)*$", "a" * 100_000 + "!"),
        ("(x+x+)+y", "x" * 100_000),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 100_000),
        ("(.*)*(.*)*[^a]$", "a" * 100_000),
        ("a.{300}b", "ab" * 50_000),
        ("(a?){500}a{500}", "a" * 1_000),
    ],
)
def test_no_pattern_holds_anybody_up(pattern: str, text: str) -> None:
    began = time.thread_time()

    LinearPattern(pattern).found_in(text)

    assert time.thread_time() - began < 3
