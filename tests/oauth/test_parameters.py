"""Reading forms and queries."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.model import Level
from safeconduct.oauth import names, scopes
from safeconduct.oauth.parameters import NotParameters, read


def test_a_parameter_without_a_value_counts_as_left_out() -> None:
    """RFC 6749 section 3.1."""
    assert read(b"a=&b=1").values == {"b": "1"}


@pytest.mark.parametrize("text", [b"a=1&a=1", b"a=1&a=", b"a=&a=1", b"a=1&a=2&a=3"])
def test_a_repeated_parameter_is_a_fault_and_has_no_value(text: bytes) -> None:
    """Pitfall 12; RFC 6749 section 3.1."""
    said = read(text)
    assert said.get("a") is None
    assert said.fault() == "a is repeated"


def test_resource_may_repeat() -> None:
    """Pitfall 12; RFC 8707 section 2."""
    said = read(b"resource=x&resource=y")
    assert said.resources == ("x", "y")
    assert said.fault() is None


@pytest.mark.parametrize(
    "text", [b"state=%00", b"state=%0d%0a", b"state=%C2%85", b"state=" + b"x" * 5000]
)
def test_control_characters_and_long_values_are_faults(text: bytes) -> None:
    """Pitfall 61."""
    assert read(b"state=fine").fault() is None
    said = read(text)
    assert said.fault() is not None
    assert "state" not in said.values


@pytest.mark.parametrize("text", [b"a=%ff", b"\xff=1", b"&".join(b"p%d=1" % n for n in range(65))])
def test_what_is_not_text_or_too_much_is_refused(text: bytes) -> None:
    """Pitfall 61."""
    with pytest.raises(NotParameters):
        read(text)


def test_the_name_of_an_odd_parameter_is_not_repeated_to_anybody() -> None:
    """Pitfall 17."""
    assert read(b"%3Cscript%3E=1&%3Cscript%3E=2").fault() == "a parameter is repeated"


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=50), max_size=60))
def test_what_is_sent_once_is_read_as_it_was_sent(pairs: dict[str, str]) -> None:
    said = read(
        urlencode(
            {name: text.encode("utf-8", "ignore") for name, text in pairs.items()}, errors="ignore"
        ).encode()
    )
    for name, text in said.values.items():
        assert pairs.get(name, text) == text
        assert text.isprintable() or not any(character < " " for character in text)


@given(st.binary(max_size=400))
def test_no_bytes_upset_the_reader(raw: bytes) -> None:
    try:
        said = read(raw)
    except NotParameters:
        return
    assert not said.values.keys() & said.faults.keys()
    assert "" not in said.values.values()


@pytest.mark.parametrize(
    ("scope", "level"),
    [
        (None, Level.LOW),
        ("", Level.LOW),
        ("mcp", Level.LOW),
        ("mcp offline_access", Level.LOW),
        ("tools:call <script>", Level.LOW),
        ("mcp:medium", Level.MEDIUM),
        ("mcp mcp:medium mcp:high", Level.HIGH),
        ("MCP:HIGH", Level.LOW),
    ],
)
def test_unknown_scopes_are_dropped_and_known_ones_include_the_lower(
    scope: str | None, level: Level
) -> None:
    assert scopes.asked(scope) is level
    assert len(scopes.granted(level)) == int(level)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Claude Code (ledger)", "Claude Code (ledger)"),
        ("  a \n\t b ", "a b"),
        ("safe\u202etxt.exe", "safetxt.exe"),
        ("z\u200bero", "zero"),
        ("\x1b[31mred", "[31mred"),
        ("", "Unnamed client"),
        ("\u2066\u2069", "Unnamed client"),
        ("x" * 10_000, "x" * 100),
        ("<script>", "<script>"),
    ],
)
def test_a_name_is_shown_on_one_line_without_what_cannot_be_seen(said: str, shown: str) -> None:
    """Pitfall 17; the page escapes what is left."""
    assert names.shown(said) == shown


@given(st.text())
def test_no_name_is_long_or_empty(said: str) -> None:
    shown = names.shown(said)
    assert 0 < len(shown) <= names.LONGEST
    assert shown.isprintable()
