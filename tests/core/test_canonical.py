"""Strict JSON: what is accepted means the same to every reader."""

from __future__ import annotations

import json
import math
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safeconduct.core.canonical import (
    MAX_DEPTH,
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
    begun = perf_counter()
    with pytest.raises(StrictJSONError):
        parse(raw)

    assert perf_counter() - begun < 2  # quadratic work would take minutes


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
