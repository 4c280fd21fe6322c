from __future__ import annotations

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from safeconduct import people
from safeconduct.core.errors import Code, Refused
from safeconduct.signin import Purpose, Recovery, SlowDown
from tests.signin.place import HERE, PASSWORD, Place, link_in

NEW = "a brand new password"


async def reset_token(place: Place, email: str = "alice@acme.test") -> str:
    await place.recovery.ask_reset(place.host, email=email, visitor=HERE)
    return token_of(link_in(await place.postbox.next()))


def token_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["token"][0]


async def signs_in(place: Place, email: str, password: str) -> bool:
    try:
        await place.local.sign_in(place.host, email=email, password=password, visitor=HERE)
    except Refused as refused:
        assert refused.code is Code.UNAUTHENTICATED  # noqa: PT017  the other answers are raised
        return False
    return True


@pytest.mark.requirement("A-04")
async def test_a_mailed_link_sets_a_new_password_once_and_ends_every_browser(place: Place) -> None:
    handle = await place.local.sign_in(
        place.host, email="alice@acme.test", password=PASSWORD, visitor=HERE
    )
    token = await reset_token(place)

    for _ in range(3):  # a mail scanner looks at the link, and uses nothing up
        assert (
            await place.recovery.address_of(place.host, Purpose.RESET, token) == "alice@acme.test"
        )
    await place.recovery.reset(place.host, token=token, password=NEW, visitor=HERE)

    assert await place.browsers.find(place.host.key, handle.reveal()) is None
    assert await signs_in(place, "alice@acme.test", NEW)
    assert not await signs_in(place, "alice@acme.test", PASSWORD)
    with pytest.raises(Refused):
        await place.recovery.reset(place.host, token=token, password=PASSWORD, visitor=HERE)


@pytest.mark.requirement("A-04")
async def test_of_two_clicks_at_once_one_is_too_late(place: Place) -> None:
    token = await reset_token(place)

    answers = await asyncio.gather(
        *(
            place.recovery.reset(place.host, token=token, password=f"{NEW} {n}", visitor=HERE)
            for n in range(5)
        ),
        return_exceptions=True,
    )

    assert sum(answer is None for answer in answers) == 1


@pytest.mark.requirement("A-04")
async def test_a_link_is_good_for_thirty_minutes(place: Place) -> None:
    token = await reset_token(place)
    place.clock.advance(timedelta(minutes=29, seconds=59))
    await place.recovery.address_of(place.host, Purpose.RESET, token)
    place.clock.advance(timedelta(seconds=1))

    with pytest.raises(Refused):
        await place.recovery.reset(place.host, token=token, password=NEW, visitor=HERE)


async def test_using_one_link_uses_up_the_others_and_asking_again_does_not(place: Place) -> None:
    first, second = await reset_token(place), await reset_token(place)

    await place.recovery.reset(place.host, token=first, password=NEW, visitor=HERE)

    with pytest.raises(Refused):
        await place.recovery.reset(place.host, token=second, password=PASSWORD, visitor=HERE)


@pytest.mark.requirement("A-04")
@pytest.mark.parametrize("email", ["nobody@acme.test", "carol@acme.test"])
async def test_asking_says_nothing_about_the_address_and_mails_nobody(
    place: Place, email: str
) -> None:
    """Pitfall 44."""
    await place.recovery.ask_reset(place.host, email=email, visitor=HERE)
    await place.recovery.ask_reset(place.host, email="bob@acme.test", visitor=HERE)

    mail = await place.postbox.next()
    assert mail["To"] == "bob@acme.test"
    assert place.postbox.arrived.empty()


async def test_a_link_of_one_host_or_purpose_is_nothing_elsewhere(place: Place) -> None:
    token = await reset_token(place)

    with pytest.raises(Refused):
        await place.recovery.address_of(place.other, Purpose.RESET, token)
    with pytest.raises(Refused):
        await place.recovery.address_of(place.host, Purpose.SIGN_UP, token)


@pytest.mark.requirement("A-04")
async def test_a_short_password_is_refused_and_the_link_stays_good(place: Place) -> None:
    token = await reset_token(place)

    with pytest.raises(Refused) as caught:
        await place.recovery.reset(place.host, token=token, password="ninechars", visitor=HERE)
    assert caught.value.code is Code.INVALID_PARAMS
    await place.recovery.reset(place.host, token=token, password="ten chars!", visitor=HERE)


@pytest.mark.requirement("A-04")
async def test_mail_is_not_a_way_to_flood_an_inbox(place: Place) -> None:
    """Pitfall 45."""
    for _ in range(5):
        await place.recovery.ask_reset(place.host, email="alice@acme.test", visitor=HERE)

    with pytest.raises(SlowDown):
        await place.recovery.ask_reset(place.host, email="alice@acme.test", visitor=HERE)


@pytest.mark.requirement("A-04", "A-19")
async def test_an_account_exists_only_after_the_link_came_back(open_house: Place) -> None:
    place = open_house
    await place.recovery.ask_account(place.host, email="Dora@Acme.test", visitor=HERE)
    token = token_of(link_in(await place.postbox.next()))
    async with place.database.read() as tx:
        assert await people.by_email(tx, place.host.key, "dora@acme.test") is None

    await place.recovery.create(
        place.host, token=token, name="Do\u202era\n", password=NEW, visitor=HERE
    )

    async with place.database.read() as tx:
        found = await people.by_email(tx, place.host.key, "dora@acme.test")
    assert found is not None
    assert found[0].name == "Do ra"
    assert found[0].groups == ()
    assert await signs_in(place, "dora@acme.test", NEW)
    assert "person.created" in [event["kind"] for event in place.recorded()]


@pytest.mark.requirement("A-18")
async def test_a_person_known_before_gets_their_own_account_by_mail_only(open_house: Place) -> None:
    place = open_house
    await place.recovery.ask_account(place.host, email="new@acme.test", visitor=HERE)
    token = token_of(link_in(await place.postbox.next()))
    await place.recovery.create(place.host, token=token, name="X", password=NEW, visitor=HERE)

    async with place.database.read() as tx:
        found = await people.by_email(tx, place.host.key, "new@acme.test")
    assert found is not None
    assert found[0].name == "New"
    assert await signs_in(place, "new@acme.test", NEW)


@pytest.mark.requirement("A-04")
async def test_somebody_with_an_account_is_told_by_mail_and_loses_nothing(
    open_house: Place,
) -> None:
    place = open_house
    await place.recovery.ask_account(place.host, email="alice@acme.test", visitor=HERE)

    mail = await place.postbox.next()
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert b"You have one already" in body
    assert b"token=" not in body


@pytest.mark.requirement("A-03", "A-04")
async def test_strangers_create_accounts_only_where_that_is_open(place: Place) -> None:
    assert not place.recovery.sign_up_open(place.host)
    with pytest.raises(Refused) as caught:
        await place.recovery.ask_account(place.host, email="dora@acme.test", visitor=HERE)
    assert caught.value.code is Code.NOT_FOUND


async def test_a_password_of_the_file_is_changed_in_the_file_alone(place: Place) -> None:
    token = await reset_token(place)
    owned = Recovery(
        database=place.database,
        passwords=place.passwords,
        attempts=place.attempts,
        browsers=place.browsers,
        trail=place.trail,
        clock=place.clock,
        mailer=place.recovery._mailer,
        owner=lambda _host, email: "gate.yaml, line 12" if email.startswith("alice") else "",
    )

    with pytest.raises(Refused, match=r"gate\.yaml, line 12") as caught:
        await owned.reset(place.host, token=token, password=NEW, visitor=HERE)
    assert caught.value.code is Code.CONFLICT
    await owned.ask_reset(place.host, email="alice@acme.test", visitor=HERE)
    body = (await place.postbox.next()).get_payload(decode=True)
    await owned.aclose()

    assert isinstance(body, bytes)
    assert b"gate.yaml, line 12" in body
    assert b"token=" not in body
    assert await signs_in(place, "alice@acme.test", PASSWORD)
    await place.recovery.reset(place.host, token=token, password=NEW, visitor=HERE)


async def test_without_a_mail_server_nothing_by_mail_is_offered(open_house: Place) -> None:
    place = open_house
    mute = Recovery(
        database=place.database,
        passwords=place.passwords,
        attempts=place.attempts,
        browsers=place.browsers,
        trail=place.trail,
        clock=place.clock,
        mailer=None,
    )

    assert not mute.reset_open(place.host)
    assert not mute.sign_up_open(place.host)
    with pytest.raises(Refused):
        await mute.ask_reset(place.host, email="alice@acme.test", visitor=HERE)


@pytest.mark.parametrize(
    "email", ["", "no address", "a@b\r\nBcc: x@y.z", "a@b,c@d", "<a@b>", "a@" + "b" * 300]
)
async def test_what_is_no_address_gets_no_mail(place: Place, email: str) -> None:
    with pytest.raises(Refused) as caught:
        await place.recovery.ask_reset(place.host, email=email, visitor=HERE)
    assert caught.value.code is Code.INVALID_PARAMS


@pytest.mark.requirement("A-04")
async def test_whoever_guessed_too_often_gets_in_through_the_mailbox(place: Place) -> None:
    """Pitfall 44: an attack on an account leaves its owner a way in."""
    for network in range(40):
        place.attempts.begin(place.host.key, "alice@acme.test", f"198.51.100.{network}")
    for _ in range(5):
        place.attempts.begin(place.host.key, "alice@acme.test", HERE.ip)
    with pytest.raises(SlowDown):
        await signs_in(place, "alice@acme.test", PASSWORD)

    token = await reset_token(place)
    await place.recovery.reset(place.host, token=token, password=NEW, visitor=HERE)

    assert await signs_in(place, "alice@acme.test", NEW)
