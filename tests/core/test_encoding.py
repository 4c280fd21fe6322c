"""Encoded, sealed and signed texts come back in exactly one spelling."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from safeconduct.core.encoding import (
    NotOneSpelling,
    check_compact,
    from_base64,
    from_base64url,
    to_base64,
    to_base64url,
)
from safeconduct.core.model import HostId
from safeconduct.core.secrets import Sealer, SealError, digest, mint
from safeconduct.policy import BundleError, Signer
from safeconduct.signin import form_token, is_own_form

_KEY = bytes(range(32))
_ALPHABET = string.ascii_letters + string.digits + "+/-_=.% \n\t\u00e9"


@st.composite
def _altered(draw: st.DrawFn, text: str) -> str:
    """A text that is not this one: a character changed, put in, left out, or the case of one."""
    at = draw(st.integers(0, len(text) - 1))
    other = draw(st.sampled_from(_ALPHABET))
    forms = (
        text[:at] + other + text[at + 1 :],
        text[:at] + other + text[at:],
        text[:at] + text[at + 1 :],
        text[:at] + text[at].swapcase() + text[at + 1 :],
        text + other,
        other + text,
        text[:-1] + other,
        text.translate(str.maketrans("-_", "+/")),
        text.rstrip("="),
        text + "=" * (-len(text) % 4),
    )
    changed = draw(st.sampled_from(forms))
    return changed if changed != text else other + text


@given(st.binary(max_size=200))
def test_every_value_has_a_text_and_comes_back(raw: bytes) -> None:
    assert from_base64(to_base64(raw)) == raw
    assert from_base64url(to_base64url(raw)) == raw


@given(st.text(_ALPHABET, max_size=60))
@example("QQ==")
@example("QR==")
def test_a_text_that_is_read_is_the_one_that_is_written(text: str) -> None:
    for read, write in ((from_base64, to_base64), (from_base64url, to_base64url)):
        try:
            raw = read(text)
        except NotOneSpelling:
            continue
        assert write(raw) == text


@pytest.mark.parametrize("last", "RSTUVWXYZabcdef")
def test_unused_bits_of_the_last_character_are_none(last: str) -> None:
    """RFC 4648 section 3.5: fifteen other characters would decode to the same byte."""
    assert from_base64url("QQ") == b"A"
    for text in (f"Q{last}", f"Q{last}=="):
        for read in (from_base64url, from_base64):
            with pytest.raises(NotOneSpelling):
                read(text)


@pytest.mark.parametrize("text", ["-_-_", "+/+/ ", " +/+/", "+/+/\n", "+/+/=", "+/+", "QQ=", "QQ"])
def test_the_usual_alphabet_is_not_the_one_for_addresses(text: str) -> None:
    with pytest.raises(NotOneSpelling):
        from_base64(text)


@given(st.data(), st.binary(max_size=90))
def test_a_sealed_text_that_was_altered_does_not_open(data: st.DataObject, plain: bytes) -> None:
    """Sealed: requestState, transport session ids, cursors, stored credentials and arguments."""
    sealer = Sealer(_KEY, purpose="tests")
    sealed = sealer.seal(plain, bound_to=b"alice")

    with pytest.raises(SealError):
        sealer.open(data.draw(_altered(sealed)), bound_to=b"alice")
    assert sealer.open(sealed, bound_to=b"alice") == plain


@given(st.data())
def test_a_signature_that_was_altered_verifies_nothing(data: st.DataObject) -> None:
    signer, host = Signer(_KEY), HostId("acme")
    content = b"{}"
    name = digest(content.decode())
    signed = signer.sign(host, name)

    with pytest.raises(BundleError):
        signer.verify(host, name, content, data.draw(_altered(signed)))
    signer.verify(host, name, content, signed)


@given(st.data())
def test_an_altered_handle_is_another_one(data: st.DataObject) -> None:
    """Codes, tokens, cookies and mailed links are looked up by the digest of their very text."""
    handle = mint("sc_at").reveal()

    assert digest(data.draw(_altered(handle))) != digest(handle)


@given(st.data())
def test_an_altered_form_token_is_no_token(data: st.DataObject) -> None:
    token = form_token("cookie", purpose="login")

    for text, expected in ((token, True), (data.draw(_altered(token)), False)):
        given_ = is_own_form(
            {}, origin="https://a.test", cookie="cookie", token=text, purpose="login"
        )
        assert given_ is expected
    assert not is_own_form(
        {}, origin="https://a.test", cookie="cookie", token=token.upper(), purpose="login"
    )


@given(st.data())
def test_a_compact_jws_has_one_spelling(data: st.DataObject) -> None:
    key = OKPKey.generate_key("Ed25519")
    signed = jws.serialize_compact({"alg": "Ed25519"}, json.dumps({"a": 1}), key, ["Ed25519"])
    altered = data.draw(_altered(signed))

    assert check_compact(signed) == signed
    try:
        check_compact(altered)
    except NotOneSpelling:
        return
    with pytest.raises((JoseError, UnicodeError, json.JSONDecodeError)):
        jws.deserialize_compact(altered, key, ["Ed25519"])
