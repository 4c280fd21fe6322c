from __future__ import annotations

from datetime import timedelta

import httpx2
import pytest

from safeconduct import consent as consents
from safeconduct import sessions
from tests.web.world import Page, World, come_to_consent, sign_in


async def give(world: World, browser: httpx2.AsyncClient, *servers: str) -> None:
    client = await world.register()
    for server in servers:
        path = await come_to_consent(world, browser, client, resource=f"/mcp/{server}")
        form = Page((await browser.get(path)).text).fields["/consent"]
        said = {"level": "low", "duration": "1 day", "do": "allow"}
        assert (await browser.post("/consent", data={**form, **said})).status_code == 303


async def live(world: World) -> list[str]:
    now = world.place.clock.now()
    async with world.place.database.read() as tx:
        held = await consents.every(tx, world.host.key)
        open_ = await sessions.live(tx, world.host.key, at=now)
    assert {one.server for one in open_} <= {
        one.server for one in held if one.live_at(now.timestamp())
    }
    return sorted(one.server for one in open_)


def ids(page: Page) -> list[str]:
    return [v["value"] for name, v in page.buttons if v.get("name") == "consent"]


@pytest.mark.requirement("C-26")
async def test_what_was_allowed_is_shown_and_ends_when_the_answer_leaves(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        await give(world, browser, "tickets", "wiki")
        page = Page((await browser.get("/account")).text)
        assert "2 live sessions" in page.text
        assert len(ids(page)) == 2
        assert await live(world) == ["tickets", "wiki"]
        first = world.consents.held(world.host.key, world.place.alice, *(await _of(world, "wiki")))

        form = page.fields["/account/end"]
        wiki = first.id if first else ids(page)[0]
        answer = await browser.post("/account/end", data={**form, "consent": wiki})
        assert answer.status_code == 303
        assert await live(world) == ["tickets"]
        page = Page((await browser.get("/account")).text)
        assert "Ended" in page.text
        assert "by you" in page.text

        await browser.post("/account/end", data={**form, "everything": "yes"})
        assert await live(world) == []
        assert "Nothing at the moment." in (await browser.get("/account")).text


async def _of(world: World, server: str) -> tuple[consents.ClientId, consents.ServerKey]:
    async with world.place.database.read() as tx:
        (found,) = [one for one in await consents.every(tx, world.host.key) if one.server == server]
    await world.consents.get(world.host.key, found.subject, found.client, found.server)
    return found.client, found.server


@pytest.mark.requirement("C-26")
async def test_nobody_ends_what_others_allowed(world: World) -> None:
    async with world.browser() as browser, world.browser() as other:
        await sign_in(browser)
        await give(world, browser, "tickets")
        (mine,) = ids(Page((await browser.get("/account")).text))
        await sign_in(other, email="bob@acme.test")
        page = Page((await other.get("/account")).text)
        assert ids(page) == []
        token = form_token_of(other)
        for data in ({"consent": mine}, {"consent": ""}, {"consent": "consent_unknown"}):
            answer = await other.post("/account/end", data={"csrf": token, **data})
            assert answer.status_code == 404
        answer = await other.post("/account/end", data={"csrf": token, "everything": "yes"})
        assert answer.status_code == 303
    assert await live(world) == ["tickets"]


def form_token_of(browser: httpx2.AsyncClient) -> str:
    from safeconduct.signin import form_token

    return form_token(browser.cookies["__Host-safeconduct"], purpose="account")


@pytest.mark.requirement("A-26")
@pytest.mark.parametrize("path", ["/account/end", "/logout"])
async def test_a_forged_form_ends_nothing(world: World, path: str) -> None:
    """Pitfall 13."""
    async with world.browser() as browser:
        await sign_in(browser)
        await give(world, browser, "tickets")
        form = Page((await browser.get("/account")).text).fields[path]
        for data, headers in (
            ({**form, "csrf": "0" * 64}, {}),
            (form, {"sec-fetch-site": "cross-site"}),
        ):
            said = {**data, "everything": "yes"}
            assert (await browser.post(path, data=said, headers=headers)).status_code == 403
        assert (await browser.get("/account")).status_code == 200
        assert (await browser.get(path)).status_code == 405, "a link does nothing"
    assert await live(world) == ["tickets"]


@pytest.mark.requirement("A-21")
async def test_the_account_page_is_for_the_signed_in(world: World) -> None:
    async with world.browser() as browser:
        assert (await browser.get("/")).headers["location"] == "/account"
        answer = await browser.get("/account")
        assert answer.headers["location"] == "/login?return_to=/account"
        await sign_in(browser)
        assert (await browser.get("/account")).status_code == 200
        world.place.clock.advance(timedelta(hours=12, seconds=1))
        assert (await browser.get("/account")).status_code == 303


@pytest.mark.requirement("C-26")
@pytest.mark.parametrize(
    ("because", "said"),
    [
        ("operator.revoked", "by an admin"),
        ("client.blocked", "by an admin, who blocked the agent"),
        ("ceiling.none", "by an admin, who closed the server to you"),
        ("a.reason.of.tomorrow", "by an admin"),
    ],
)
async def test_who_ended_it_is_told_in_words(world: World, because: str, said: str) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        await give(world, browser, "tickets")
        await world.revocations.end_person(
            world.host.key, world.place.alice, by="root@acme.test", because=because
        )
        page = Page((await browser.get("/account")).text)

    assert f"ended 21 Nov 2026, 12:00 UTC {said}\n" in page.text
    assert because not in page.text
    assert "root@acme.test" not in page.text


async def test_a_consent_that_ran_out_is_listed_as_such(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        await give(world, browser, "tickets")
        world.place.clock.advance(timedelta(days=1))
        await sign_in(browser)
        page = Page((await browser.get("/account")).text)

    assert "ran out 22 Nov 2026, 12:00 UTC" in page.text
    assert ids(page) == []
