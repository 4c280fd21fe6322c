"""Header values, forms and addresses of mail are read in one place, strictly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.emails import is_email, normal_email, takes_mail
from safeconduct.core.encoding import to_base64
from safeconduct.core.forms import form_decoded, form_pairs
from safeconduct.core.headers import basic_of, credentials_of, media_of
from tests.oauth.basic import oauth4webapi_encoded

_PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1)


def _refuses(read: Callable[[Any], object], sent: object) -> bool:
    try:
        read(sent)
    except ValueError:
        return True
    return False


@given(_PRINTABLE, _PRINTABLE)
def test_basic_credentials_come_back_as_a_strict_client_encodes_them(name: str, key: str) -> None:
    """RFC 6749 section 2.3.1, in the encoding that oauth4webapi makes."""
    sent = to_base64(f"{oauth4webapi_encoded(name)}:{oauth4webapi_encoded(key)}".encode())

    assert basic_of(sent) == (name, key)


@pytest.mark.parametrize(
    "sent", ["a:b%zz", "a:b%", "a:%ff", "a:%00", "a:b%0a", "a%3Ab", "ab", "\x00:b", "a:b\u0085"]
)
def test_what_is_no_name_and_secret_is_refused(sent: str) -> None:
    assert basic_of(to_base64(b"a:b+c%2Bd:e")) == ("a", "b c+d:e")
    assert _refuses(basic_of, to_base64(sent.encode()))


@pytest.mark.parametrize("sent", ["YTpi\n", " YTpi", "YTo", "YTp=", "YTo_", "YR==", "!", "\u00e9"])
def test_another_spelling_of_credentials_is_refused(sent: str) -> None:
    assert _refuses(basic_of, sent)


def test_credentials_are_there_once() -> None:
    assert credentials_of([]) is None
    assert credentials_of(["bEARER  x"]) == ("bearer", "x")
    for sent in (["Basic a", "Basic a"], ["Basic"], ["Basic "], [""], ["Bearer a b"], ["a\tb"]):
        assert _refuses(credentials_of, sent)


@pytest.mark.parametrize(
    ("said", "kind", "utf_8"),
    [
        ("application/json", "application/json", True),
        ('Application/JSON ; Charset="UTF-8"', "application/json", True),
        ("application/json; profile=x; charset=utf8", "application/json", True),
        ("text/plain;charset=us-ascii", "text/plain", True),
        ("application/json; charset=utf-16", "application/json", False),
        ("application/json; charset=utf-8; charset=latin1", "application/json", False),
        ("", "", True),
        (";charset=utf-8", "", True),
    ],
)
def test_a_media_type_is_read_with_its_character_sets(said: str, kind: str, *, utf_8: bool) -> None:
    assert (media_of(said).type, media_of(said).utf_8) == (kind, utf_8)


def test_a_form_is_read_strictly() -> None:
    assert form_pairs(b"a=1+2&b=&a=%C3%A9", most=3) == [("a", "1 2"), ("b", ""), ("a", "\u00e9")]
    assert form_decoded("%2B+") == "+ "
    for raw in (b"a=%", b"a=%z1", b"a=%ff", b"\xff", b"a=1&b=2&c=3&d=4"):
        assert _refuses(partial(form_pairs, most=3), raw)


@pytest.mark.parametrize(
    ("address", "one"),
    [
        ("o'brien@acme.test", True),
        ("Alice@ACME.test", True),
        ("\u00e4@acme.test", True),
        ("a@b@acme.test", False),
        ("a@", False),
        ("a\u202e@acme.test", False),
        ("A <a@acme.test>", False),
        ("a@acme.test/x", False),
        (f"{'a' * 65}@acme.test", False),
        (f"a@{'a' * 250}", False),
    ],
)
def test_an_address_is_one_everywhere_or_nowhere(address: str, *, one: bool) -> None:
    assert is_email(address) is one
    assert takes_mail(address) is (one and address.isascii())


def test_only_ascii_loses_its_case() -> None:
    """Two addresses of two people stay two."""
    assert normal_email(" Alice@ACME.test ") == "alice@acme.test"
    assert normal_email("stra\u00dfe@a.test") != normal_email("strasse@a.test")
    assert normal_email("\u212aim@a.test") != normal_email("kim@a.test")
