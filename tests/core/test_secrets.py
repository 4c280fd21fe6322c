"""Secrets: made, hidden, compared and sealed."""

from __future__ import annotations

import base64
import os
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.secrets import Sealer, SealError, Secret, digest, mint, new_id, same

_KEY = bytes(range(32))


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(_KEY, purpose="tests")


@pytest.mark.requirement("SEC-13")
def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("hunter2")

    shown = [repr(secret), str(secret), f"{secret}", f"{[secret]}", f"{secret!r:>30}"]

    assert not any("hunter2" in each for each in shown)
    assert secret.reveal() == "hunter2"


@pytest.mark.requirement("SEC-13")
def test_a_secret_does_not_show_itself_in_a_traceback() -> None:
    secret = Secret("hunter2")

    told = "".join(traceback.format_exception(ValueError(secret)))

    assert "hunter2" not in told


def test_secrets_are_equal_by_what_they_hide() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("\ud800") != Secret("\udfff")


@pytest.mark.requirement("T-10")
def test_tokens_are_long_tagged_and_never_the_same() -> None:
    made = {mint("sc_at").reveal() for _ in range(100)}

    assert len(made) == 100
    for token in made:
        tag, _, rest = token.rpartition("sc_at_")
        assert tag == ""
        assert len(base64.urlsafe_b64decode(rest + "=")) == 32


def test_a_token_of_too_little_entropy_is_not_made() -> None:
    """RFC 6749 section 10.10 recommends 2^-160."""
    assert mint("x", entropy_bytes=20)
    with pytest.raises(ValueError, match="20 random bytes"):
        mint("x", entropy_bytes=19)


def test_ids_name_their_kind_and_do_not_collide() -> None:
    made = {new_id("p") for _ in range(100)}

    assert len(made) == 100
    assert all(each.startswith("p_") for each in made)


def test_a_digest_is_sha_256_in_hex() -> None:
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.text(), st.text())
def test_any_two_texts_can_be_compared(left: str, right: str) -> None:
    assert same(left, right) == (left == right)
    assert same(left, left)


@given(st.binary(max_size=300), st.binary(max_size=50))
def test_what_was_sealed_opens_again(plain: bytes, owner: bytes) -> None:
    sealer = Sealer(_KEY, purpose="tests")
    sealed = sealer.seal(plain, bound_to=owner)

    assert sealed.isascii()
    assert not set(sealed) & set("+/= \n")
    assert sealer.open(sealed, bound_to=owner) == plain


@pytest.mark.requirement("RS-15")
def test_a_sealed_value_opens_only_for_its_owner_purpose_and_key(sealer: Sealer) -> None:
    sealed = sealer.seal(b"upstream session", bound_to=b"acme alice cursor")

    assert sealer.open(sealed, bound_to=b"acme alice cursor") == b"upstream session"
    for other, owner in (
        (sealer, b"acme bob cursor"),
        (sealer, b""),
        (Sealer(_KEY, purpose="tests2"), b"acme alice cursor"),
        (Sealer(os.urandom(32), purpose="tests"), b"acme alice cursor"),
    ):
        with pytest.raises(SealError):
            other.open(sealed, bound_to=owner)


def test_changing_any_byte_of_a_sealed_value_breaks_it(sealer: Sealer) -> None:
    sealed = sealer.seal(b"x" * 6, bound_to=b"")
    raw = bytearray(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))

    for position in range(len(raw)):
        raw[position] ^= 1
        with pytest.raises(SealError):
            sealer.open(base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), bound_to=b"")
        raw[position] ^= 1


@pytest.mark.parametrize(
    "noise", ["", "a", "AAAA", "A" * 16, "A" * 40, "ü", "\ud800", "a b", "=" * 8]
)
def test_noise_does_not_open(sealer: Sealer, noise: str) -> None:
    with pytest.raises(SealError):
        sealer.open(noise, bound_to=b"")


def test_sealing_twice_gives_two_texts(sealer: Sealer) -> None:
    assert sealer.seal(b"x", bound_to=b"") != sealer.seal(b"x", bound_to=b"")


def test_a_short_root_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"short", purpose="tests")
