from __future__ import annotations

import asyncio
from datetime import timedelta

import msgspec
import pytest

from safeconduct import people
from safeconduct.audit import AuditUnavailable
from safeconduct.core.errors import Code, Refused
from safeconduct.hosts import Policies, SignInPolicy
from safeconduct.signin import SlowDown
from tests.signin.place import ELSEWHERE, HERE, PASSWORD, Place


async def sign_in(place: Place, email: str, password: str = PASSWORD) -> str:
    handle = await place.local.sign_in(place.host, email=email, password=password, visitor=HERE)
    return handle.reveal()


@pytest.mark.requirement("A-02", "A-04")
async def test_the_right_password_opens_a_browser_session(place: Place) -> None:
    handle = await sign_in(place, " Alice@ACME.test ")

    session = await place.browsers.find(place.host.key, handle)
    assert session is not None
    assert session.subject == place.alice
    (event,) = place.recorded()
    assert event["kind"] == "sign_in"
    assert event["subject"] == place.alice


@pytest.mark.requirement("A-04", "A-18")
@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("alice@acme.test", "wrong password"),
        ("alice@acme.test", ""),
        ("alice@acme.test", "x" * 100_000),
        ("nobody@acme.test", PASSWORD),
        ("carol@acme.test", PASSWORD),
        ("new@acme.test", PASSWORD),
        ("new@acme.test", ""),
        ("x" * 100_000, PASSWORD),
        ("\x00@acme.test", PASSWORD),
    ],
    ids=[
        "wrong",
        "empty",
        "long",
        "unknown",
        "suspended",
        "no-hash",
        "no-hash-empty",
        "huge",
        "nul",
    ],
)
async def test_every_failure_is_the_same_failure(place: Place, email: str, password: str) -> None:
    """Pitfall 44."""
    with pytest.raises(Refused) as caught:
        await sign_in(place, email, password)

    assert caught.value.code is Code.UNAUTHENTICATED
    assert caught.value.public == "Email or password is wrong."
    (event,) = place.recorded()
    assert (event["kind"], event["decision"]) == ("sign_in.failed", "deny")
    assert "subject" not in event


@pytest.mark.requirement("A-04")
async def test_what_is_no_address_is_not_written_down(place: Place) -> None:
    """People type passwords into the wrong field."""
    with pytest.raises(Refused):
        await sign_in(place, "hunter2 my secret")

    assert "hunter2" not in str(place.recorded())


@pytest.mark.requirement("A-03")
async def test_a_person_of_one_host_is_nobody_at_another(place: Place) -> None:
    with pytest.raises(Refused):
        await place.local.sign_in(
            place.other, email="alice@acme.test", password=PASSWORD, visitor=HERE
        )

    handle = await sign_in(place, "alice@acme.test")
    assert await place.browsers.find(place.other.key, handle) is None


@pytest.mark.requirement("A-03")
async def test_a_host_without_passwords_signs_nobody_in_by_password(place: Place) -> None:
    closed = msgspec.structs.replace(
        place.host, policies=Policies(sign_in=SignInPolicy(password=False))
    )
    with pytest.raises(Refused):
        await place.local.sign_in(closed, email="alice@acme.test", password=PASSWORD, visitor=HERE)


@pytest.mark.requirement("A-04")
async def test_guessing_is_slowed_even_for_the_right_password(place: Place) -> None:
    """Pitfall 44."""
    for _ in range(5):
        with pytest.raises(Refused):
            await sign_in(place, "alice@acme.test", "wrong")

    with pytest.raises(SlowDown) as caught:
        await sign_in(place, "alice@acme.test")
    assert caught.value.seconds == 1

    elsewhere = await place.local.sign_in(
        place.host, email="alice@acme.test", password=PASSWORD, visitor=ELSEWHERE
    )
    assert await place.browsers.find(place.host.key, elsewhere.reveal()) is not None


async def test_guesses_made_at_the_same_time_count_too(place: Place) -> None:
    answers = await asyncio.gather(
        *(sign_in(place, "alice@acme.test", "wrong") for _ in range(12)), return_exceptions=True
    )

    assert sum(isinstance(answer, SlowDown) for answer in answers) == 7


@pytest.mark.requirement("A-26")
async def test_each_sign_in_has_a_new_handle_and_signing_out_kills_it(place: Place) -> None:
    """Pitfall 47."""
    first, second = await sign_in(place, "alice@acme.test"), await sign_in(place, "alice@acme.test")
    assert first != second
    session = await place.browsers.find(place.host.key, first)
    assert session is not None

    await place.local.sign_out(place.host, session, email="alice@acme.test", visitor=HERE)

    assert await place.browsers.find(place.host.key, first) is None
    assert await place.browsers.find(place.host.key, second) is not None
    assert [event["kind"] for event in place.recorded()] == ["sign_in", "sign_in", "sign_out"]


@pytest.mark.requirement("A-21")
async def test_a_browser_session_rests_twelve_hours_and_lives_seven_days(place: Place) -> None:
    idle = await sign_in(place, "alice@acme.test")
    place.clock.advance(timedelta(hours=11, minutes=59))
    assert await place.browsers.find(place.host.key, idle) is not None, "use slides the limit"
    place.clock.advance(timedelta(hours=11, minutes=59))
    assert await place.browsers.find(place.host.key, idle) is not None
    place.clock.advance(timedelta(hours=12, seconds=1))
    assert await place.browsers.find(place.host.key, idle) is None

    busy = await sign_in(place, "alice@acme.test")
    for _ in range(14):
        place.clock.advance(timedelta(hours=11, minutes=59))
        assert await place.browsers.find(place.host.key, busy) is not None
    place.clock.advance(timedelta(hours=1))
    assert await place.browsers.find(place.host.key, busy) is None


@pytest.mark.parametrize("handle", [None, "", "sc_bs_guess", "x" * 10_000, "\udcff"])
async def test_what_is_no_handle_finds_nothing(place: Place, handle: str | None) -> None:
    assert await place.browsers.find(place.host.key, handle) is None


@pytest.mark.requirement("A-02", "L-05")
async def test_nobody_is_signed_in_when_it_cannot_be_written_down(place: Place) -> None:
    place.trail.close()
    with pytest.raises(AuditUnavailable):
        await sign_in(place, "alice@acme.test")
    with pytest.raises(AuditUnavailable):
        await sign_in(place, "alice@acme.test", "wrong")


async def test_the_database_holds_nothing_a_thief_could_use(place: Place) -> None:
    """Pitfalls 57 and 58."""
    handle = await sign_in(place, "alice@acme.test")
    await place.recovery.ask_reset(place.host, email="alice@acme.test", visitor=HERE)
    mail = str(await place.postbox.next())
    token = mail.partition("token=3D")[2] or mail.partition("token=")[2]

    kept = b"".join(path.read_bytes() for path in place.directory.rglob("*") if path.is_file())

    assert handle.encode() not in kept
    assert token[:20].encode() not in kept
    assert b"sc_bs_" not in kept
    assert b"sc_ml_" not in kept
    assert PASSWORD.encode() not in kept


async def test_old_hash_parameters_are_replaced_at_sign_in(place: Place) -> None:
    from argon2 import PasswordHasher

    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    async with place.database.write() as tx:
        await people.set_password(tx, place.host.key, place.alice, old)

    await sign_in(place, "alice@acme.test")

    async with place.database.read() as tx:
        found = await people.by_email(tx, place.host.key, "alice@acme.test")
    assert found is not None
    assert found[1] != old
