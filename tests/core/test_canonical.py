"""Strict JSON: what is accepted means the same to every reader."""

from __future__ import annotations

import json
import math
from time import thread_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from safeconduct.core import canonical
from safeconduct.core.canonical import (
    MAX_DEPTH,
    MAX_VALUES,
    StrictJSONError,
    canonical_bytes,
    fingerprint,
    parse,
)

pytestmark = pytest.mark.requirement("SEC-62")

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
    max_leaves=15,
)


@given(_VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_well_formed_text_is_read_as_everybody_reads_it(
    value: object, ascii_only: bool, indent: int | None
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()

    assert parse(raw) == json.loads(raw)


@given(st.binary() | st.text(alphabet='{}[]",:0123456789eE+-.\\u dDnulltrefas', max_size=40))
def test_any_bytes_are_read_alike_or_refused(noise: bytes | str) -> None:
    raw = noise if isinstance(noise, bytes) else noise.encode()
    try:
        value = parse(raw)
    except StrictJSONError:
        return

    assert repr(value) == repr(json.loads(raw))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"a":1,"a":2}', "same name"),
        (b'{"a":1,"\\u0061":2}', "same name"),
        (b'[{"x":{"a":1,"b":2,"a":1}}]', "same name"),
        (b'\xef\xbb\xbf{"a":1}', "byte-order mark"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xc0\xaf"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b'"\\ud800"', "surrogate"),
        (b'"\\uDFFF"', "surrogate"),
        (b'{"\\ud800":1}', "surrogate"),
        (b'[["\\udc00\\ud800"]]', "surrogate"),
        (b"NaN", "not a JSON number"),
        (b"[Infinity]", "not a JSON number"),
        (b"-Infinity", "not a JSON number"),
        (b"1e400", "too large"),
        (b"-1e400", "too large"),
        (b"9" * 310, "too large"),
        (b"9" * 401, "too many digits"),
        (b"9" * 5000, "too many digits"),
        (b"[" * 65 + b"]" * 65, "deeper"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "deeper"),
        (b"[" * 100_000, "deeper"),
        (b'["' + b"\\" * 2 + b'",' + b"[" * 64 + b"]" * 64 + b"]", "deeper"),
        (b"", "not JSON"),
        (b" ", "not JSON"),
        (b"{}{}", "not JSON"),
        (b"[1,]", "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b"01", "not JSON"),
        (b'"\n"', "not JSON"),
        (b"\x00", "not JSON"),
        (b"[1]\x0c", "not JSON"),
    ],
)
def test_ambiguous_or_malformed_text_is_refused(raw: bytes, why: str) -> None:
    """RFC 8259 sections 4, 6, 8.1 and 9; RFC 7493 section 2."""
    with pytest.raises(StrictJSONError, match=why):
        parse(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"A":2}',
        b'[{"a":1},{"a":2}]',
        b'"\\ud83d\\ude00"',
        b'"\\\\ud800"',
        b"1e308",
        b"9" * 308,
        b"-0",
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b'"' + b"[" * 1000 + b'"',
        b'["\\"' + b"{" * 1000 + b'"]',
        b"[" + b"[]," * 1000 + b"{}]",
        b" \t\r\n[ 1 ] \n",
    ],
)
def test_the_nearest_well_formed_text_is_read(raw: bytes) -> None:
    assert parse(raw) == json.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'"' + b'\\"' * 500_000,
        b'{"a":' * 200_000,
        b"[]" * 500_000,
        b"[" + b'"",' * 300_000,
        (b"[" * 60 + b"]" * 60) * 8000,
        b'"' * 1_000_001,
    ],
    ids=["open-string", "deep", "flat", "commas", "layers", "quotes"],
)
def test_no_text_of_a_megabyte_takes_long_to_refuse(raw: bytes) -> None:
    begun = thread_time()
    with pytest.raises(StrictJSONError):
        parse(raw)

    assert thread_time() - begun < 2  # quadratic work would take minutes


@settings(max_examples=30)
@given(st.dictionaries(_TEXT, st.lists(st.integers() | _TEXT, max_size=3), max_size=5))
def test_the_order_of_members_is_not_part_of_the_value(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))

    assert canonical_bytes(value) == canonical_bytes(turned)
    assert fingerprint(value) == fingerprint(turned)


@settings(max_examples=50)
@given(_VALUES)
def test_the_canonical_spelling_is_read_back(value: object) -> None:
    assert parse(canonical_bytes(value)) == value


def test_the_canonical_spelling_has_no_spaces_and_no_escapes() -> None:
    assert canonical_bytes({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'.encode()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_json_has_no_spelling(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_bytes(number)


_NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
) | st.sampled_from(
    ["-0", "-0.0", "1.0", "1e5", "1e16", "1E16", "100000.0", "4.9e-324", "5e-324", "1e400", "01"]
    + ["18446744073709551616", "-9223372036854775809", "1.7976931348623157e308", "1.", "+1"]
    + [sign + "9" * digits for sign in ("", "-") for digits in (299, 300, 308, 309, 400, 401)]
    + ["0." + "1" * 400, "1" * 309 + ".5", "1" * 200 + "e-150", "NaN", "Infinity"]
)
_PIECES = st.sampled_from(
    [
        *("a", "/", "é", "😀", "\u2028", "\x7f", "\x00", "\n", "[", "{", "}", ",", ": ", "9" * 320),
        *("\\n", "\\b", "\\/", '\\"', "\\\\", "\\x", "\\u0000", "\\u000a", "\\u001f", "\\u001F"),
        *("\\u0061", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\uDC00"),
    ]
)
_STRINGS = st.lists(_PIECES, max_size=4).map(lambda pieces: f'"{"".join(pieces)}"')
_BLANKS = st.sampled_from(["", "", "", " ", "\n", "\t ", "\r\n", "\x0c", "\u00a0"])
_NAMES = st.sampled_from(['"a"', '"A"', '""', '"\\u0061"', '"b"', '"é"']) | _STRINGS


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    members = draw(st.lists(st.tuples(_NAMES, inner), max_size=4))
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :")]))
    return "{" + comma.join(name + colon + member for name, member in members) + "}"


@st.composite
def _lists(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    items, comma, around = draw(st.lists(inner, max_size=4)), draw(_BLANKS), draw(_BLANKS)
    return f"[{around}{f',{comma}'.join(items)}{around}]"


_SPELLINGS = st.recursive(
    _NUMBERS | _STRINGS | st.sampled_from(["true", "false", "null", "True"]),
    lambda inner: _objects(inner) | _lists(inner),
    max_leaves=10,
)


@st.composite
def _texts(draw: st.DrawFn) -> bytes:
    """Spell JSON in any way, whole or damaged, and perhaps nested about as deep as may be."""
    depth = draw(st.sampled_from([0, 0, 0, 0, 60, 62, 63, 64, 65, 66]))
    left, right = draw(st.sampled_from([("[", "]"), ('{"a":', "}"), ("[[],", "]")]))
    inside = draw(_BLANKS) + draw(_SPELLINGS) + draw(_BLANKS)
    raw = (left * depth + inside + right * depth).encode()
    damages = [b"", b"", b"", b"", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b","]
    damage = draw(st.sampled_from(damages))
    at = draw(st.integers(0, len(raw))) if damage else 0
    return raw[:at] + damage + raw[at:]


def _said(raw: bytes) -> str:
    """Return the value with the type of all that is in it, or why there is none."""
    try:
        return repr(parse(raw))
    except StrictJSONError as error:
        return f"refused: {error}"


def _said_slowly(raw: bytes) -> str:
    try:
        canonical._bounded_outline(raw, MAX_VALUES)  # the bounds are the same on every way
        return repr(canonical._read_slowly(raw))
    except StrictJSONError as error:
        return f"refused: {error}"


def _said_by_outline(raw: bytes) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canonical, "_QUICK_BYTES", -1)
        return _said(raw)


@pytest.mark.slow
@settings(max_examples=500)
@given(_texts())
@example(b'{"a":{"b":1,"b":1}}')
@example(b'{"a":1,"a":2,"b":[]}')
@example(b'{"b":1,"a":2,"":{"B":1,"b":2}}')
@example(b"[1,1.0,-0.0,100000.0,1e16,18446744073709551616]")
@example(b"9" * 309)
@example(b"[" + b"1" * 309 + b"]")
def test_what_is_read_quickly_is_what_would_be_read_slowly(raw: bytes) -> None:
    assert _said(raw) == _said_by_outline(raw) == _said_slowly(raw)


@pytest.mark.slow
@settings(max_examples=300)
@given(_VALUES, st.booleans(), st.sampled_from([None, 0, 1]), st.booleans())
def test_whatever_is_well_formed_is_read_alike_both_ways(
    value: object, ascii_only: bool, indent: int | None, compact: bool
) -> None:
    separators = (",", ":") if compact else None
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators).encode()

    assert _said(raw) == _said_by_outline(raw) == _said_slowly(raw) == repr(json.loads(raw))


@given(st.binary() | st.text(alphabet='{}[]",:0123456789eE+-.\\u dDnulltrefas', max_size=40))
def test_any_bytes_are_judged_alike_both_ways(noise: bytes | str) -> None:
    raw = noise if isinstance(noise, bytes) else noise.encode()

    assert _said(raw) == _said_by_outline(raw) == _said_slowly(raw)


@pytest.mark.parametrize("before", range(0, 310, 3))
def test_a_number_too_large_is_found_wherever_it_begins(before: int) -> None:
    """That it is too large only the slow way sees."""
    raw = b'["' + b"x" * before + b'",' + b"9" * 309 + b"]"

    assert _said(raw) == "refused: a number is too large"
    assert _said(raw.replace(b"9" * 309, b"9" * 299)) == repr(["x" * before, 10**299 - 1])


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_ordinary_text_is_not_read_slowly(
    indent: int | None, separators: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    value = {"id": 7, "params": {"name": "é", "arguments": {"a": [1, 1.5, None, True, "\n"]}}}
    raw = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators).encode()
    monkeypatch.setattr(canonical, "_read_slowly", None)

    assert parse(raw) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 100_000,
        b"[" + b"9" * 310 + b"]",
        b"9" * 5000,
        b"[" + b"1," * MAX_VALUES + b"1]",
        b"[" + b'"",' * MAX_VALUES + b"1]",
    ],
    ids=["deep", "deeper", "long number", "longer number", "values", "strings"],
)
def test_no_value_is_built_natively_of_what_is_beyond_the_bounds(
    raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _said_slowly(raw)
    monkeypatch.setattr(canonical, "_read", None)

    assert _said(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"[" + b"1," * 40_000 + b"1]",
        b'{"a":"' + b"x\\u00e9" * 40_000 + b'"}',
        b"[" + b'{"a": "\\"\\\\"},' * 20_000 + b"1]",
    ],
    ids=["numbers", "escapes", "objects"],
)
def test_a_large_text_is_read_natively(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = json.loads(raw)
    monkeypatch.setattr(canonical, "_read_slowly", None)

    assert parse(raw) == expected


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b"1", 1),
        (b"[1,2]", 3),
        (b'{"a":[{"b":1},"[,{"]}', 5),
        (b'["\\",[{,","\\\\",1]', 4),
    ],
)
def test_as_many_values_as_allowed_are_read_and_one_more_is_not(raw: bytes, values: int) -> None:
    padded = raw + b" " * canonical._QUICK_BYTES

    assert parse(padded, max_values=values) == json.loads(raw)
    with pytest.raises(StrictJSONError, match=f"more than {values - 1} values"):
        parse(padded, max_values=values - 1)
