from __future__ import annotations

import asyncio
import time
import unicodedata

import pytest
from argon2 import PasswordHasher

from safeconduct.core.errors import Code, Refused
from safeconduct.signin import Passwords


@pytest.fixture(scope="module")
def passwords() -> Passwords:
    return Passwords()


@pytest.mark.requirement("A-04")
async def test_the_right_password_matches_and_its_neighbour_does_not(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")

    assert (await passwords.verify(stored, "correct horse")).matches
    assert not (await passwords.verify(stored, "correct horsf")).matches
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.requirement("A-04")
async def test_a_password_is_the_same_in_every_unicode_form(passwords: Passwords) -> None:
    """NIST SP 800-63B section 3.1.1.2."""
    stored = await passwords.hash(unicodedata.normalize("NFD", "Größe und Maß"))

    assert (await passwords.verify(stored, unicodedata.normalize("NFC", "Größe und Maß"))).matches


async def test_a_kibibyte_is_a_password_and_one_byte_more_is_none(passwords: Passwords) -> None:
    stored = await passwords.hash("x" * 1024)

    assert (await passwords.verify(stored, "x" * 1024)).matches
    assert not (await passwords.verify(stored, "x" * 1025)).matches
    with pytest.raises(Refused):
        await passwords.hash("x" * 1025)
    with pytest.raises(Refused):
        await passwords.hash("ß" * 513)


async def test_without_a_stored_hash_nothing_matches_and_the_work_is_done_all_the_same(
    passwords: Passwords,
) -> None:
    stored = await passwords.hash("correct horse")

    async def best_of_three(hashed: str | None) -> float:
        spans = []
        for _ in range(3):
            start = time.perf_counter()
            assert not (await passwords.verify(hashed, "wrong")).matches
            spans.append(time.perf_counter() - start)
        return min(spans)

    known, unknown = await best_of_three(stored), await best_of_three(None)

    assert unknown > known / 4, "an unknown person is answered sooner"


async def test_a_hash_with_old_parameters_is_replaced_on_the_next_success(
    passwords: Passwords,
) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("correct horse")

    verdict = await passwords.verify(old, "correct horse")
    assert verdict.matches
    assert verdict.replacement is not None
    assert (await passwords.verify(verdict.replacement, "correct horse")).matches
    assert (await passwords.verify(old, "wrong")).replacement is None


async def test_a_broken_hash_is_no_password(passwords: Passwords) -> None:
    assert not (await passwords.verify("plain", "plain")).matches


@pytest.mark.slow
async def test_more_than_can_wait_are_refused_at_once(passwords: Passwords) -> None:
    """Pitfall 44: hashing must not become a way to stop the gateway."""
    waiting = [asyncio.ensure_future(passwords.verify(None, "x")) for _ in range(70)]
    done = await asyncio.gather(*waiting, return_exceptions=True)

    refused = [answer for answer in done if isinstance(answer, Refused)]
    assert {answer.code for answer in refused} == {Code.THROTTLED}
    assert len(refused) == 6
