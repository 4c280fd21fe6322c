from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import pytest

from safeconduct import upstreams
from safeconduct.core.errors import Code
from safeconduct.core.model import ServerKey
from safeconduct.hosts import SignInPolicy
from safeconduct.web.refusals import STATUS
from tests.signin.place import PASSWORD, link_in
from tests.web.world import Page, World, come_to_consent, open_world, sign_in

EVERY_PAGE = ["/login", "/login/forgot", "/login/reset?token=x", "/account", "/nowhere", "/consent"]
NEW = "a brand new password"


@pytest.fixture
async def open_house(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, policy=SignInPolicy(sign_up=True)) as opened:
        yield opened


@pytest.mark.requirement("A-04")
async def test_the_sign_in_page_has_the_promised_names(world: World) -> None:
    async with world.browser() as browser:
        answer = await browser.get("/login")
    page = Page(answer.text)

    assert page.named() == ["Sign in"]
    assert '<label for="email">Email</label>' in answer.text
    assert '<label for="password">Password</label>' in answer.text
    assert "Forgot your password?" in page.text
    assert "Create account" not in page.text, "only where strangers may"


@pytest.mark.requirement("A-26")
async def test_cookies_are_out_of_reach_and_new_at_each_sign_in(world: World) -> None:
    """Pitfall 47."""
    async with world.browser() as browser:
        first = await sign_in(browser)
        cookie = first.headers.get_list("set-cookie")[0]
        await browser.post(
            "/logout", data=Page((await browser.get("/account")).text).fields["/logout"]
        )
        second = await sign_in(browser)

    assert cookie.startswith("__Host-safeconduct=sc_bs_")
    assert {part.strip() for part in cookie.split(";")[1:]} == {
        "Path=/",
        "Secure",
        "HttpOnly",
        "SameSite=lax",
    }
    assert second.headers.get_list("set-cookie")[0] != cookie


@pytest.mark.requirement("A-26")
async def test_signing_in_again_ends_the_session_before(world: World) -> None:
    """Pitfall 47: a browser is one person, and a planted cookie is worth nothing after."""
    async with world.browser() as browser, world.browser() as thief:
        await sign_in(browser)
        old = browser.cookies["__Host-safeconduct"]
        form = Page((await thief.get("/login")).text).fields["/login"]
        thief.cookies.set("__Host-safeconduct", old, domain="acme.example", path="/")
        data = {**form, "email": "bob@acme.test", "password": PASSWORD}
        assert (await thief.post("/login", data=data)).status_code == 303

        assert (await browser.get("/account")).status_code == 303


@pytest.mark.requirement("A-26")
async def test_nobody_signs_another_browser_in(world: World) -> None:
    """Pitfall 13 and login CSRF: the form belongs to the browser that was given it."""
    async with world.browser() as browser, world.browser() as victim:
        form = Page((await browser.get("/login")).text).fields["/login"]
        await victim.get("/login")
        data = {**form, "email": "alice@acme.test", "password": PASSWORD}

        answer = await victim.post("/login", data=data)
        assert answer.status_code == 403
        assert "__Host-safeconduct=" not in str(answer.headers.get_list("set-cookie"))
        assert (await browser.post("/login", data=data)).status_code == 303


async def test_a_form_that_is_out_of_date_is_given_anew(world: World) -> None:
    async with world.browser() as browser:
        form = Page((await browser.get("/login?return_to=/consent%3Frequest=ask_1")).text)
        browser.cookies.clear()
        said = {"email": "alice@acme.test", "password": PASSWORD}
        answer = await browser.post("/login", data={**form.fields["/login"], **said})
        again = Page(answer.text)
        assert answer.status_code == 403
        assert "The form was out of date, so nobody was signed in." in again.text
        assert "alice@acme.test" not in answer.text, "whoever sent it does not fill in our form"

        answer = await browser.post("/login", data={**again.fields["/login"], **said})
        assert answer.headers["location"] == "/consent?request=ask_1"


async def test_signing_in_through_one_tab_lets_the_others_go_on(world: World) -> None:
    """An agent with three servers opens three tabs; each shows the sign-in page."""
    async with world.browser() as browser:
        tabs = [
            Page((await browser.get(f"/login?return_to=/consent%3Frequest=ask_{n}")).text)
            for n in (1, 2)
        ]
        said = {"email": "alice@acme.test", "password": PASSWORD}
        await browser.post("/login", data={**tabs[0].fields["/login"], **said})
        session = browser.cookies["__Host-safeconduct"]
        answer = await browser.post("/login", data={**tabs[1].fields["/login"], **said})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/consent?request=ask_2"
    assert browser.cookies["__Host-safeconduct"] == session, "the first tab goes on as well"


@pytest.mark.requirement("A-04")
@pytest.mark.parametrize("email", ["alice@acme.test", "nobody@acme.test", "carol@acme.test"])
async def test_failures_look_alike(world: World, email: str) -> None:
    """Pitfall 44."""
    async with world.browser() as browser:
        form = Page((await browser.get("/login")).text).fields["/login"]
        answer = await browser.post("/login", data={**form, "email": email, "password": "wrong"})

    assert answer.status_code == 401
    text = answer.text.replace(email, "EMAIL")
    assert "Email or password is wrong." in text
    assert ("div", "alert") in [(tag, v.get("role")) for tag, v in Page(text).tags]
    assert "wrong" not in text.replace("password is wrong", "")


@pytest.mark.requirement("A-04")
async def test_too_many_attempts_say_when_to_come_back(world: World) -> None:
    async with world.browser() as browser:
        form = Page((await browser.get("/login")).text).fields["/login"]
        data = {**form, "email": "alice@acme.test", "password": "wrong"}
        for _ in range(5):
            assert (await browser.post("/login", data=data)).status_code == 401
        answer = await browser.post("/login", data=data)

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert "Try again in 1 second." in answer.text


@pytest.mark.requirement("A-04", "P-21")
async def test_too_many_mails_say_when_to_come_back(world: World) -> None:
    async with world.browser() as browser:
        form = Page((await browser.get("/login/forgot")).text).fields["/login/forgot"]
        data = {**form, "email": "nobody@acme.test"}
        for _ in range(5):
            assert (await browser.post("/login/forgot", data=data)).status_code == 200
        answer = await browser.post("/login/forgot", data=data)

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("return_to", "followed"),
    [
        ("/consent?request=ask_1", "/consent?request=ask_1"),
        ("//evil.example", "/account"),
        ("/\\evil.example", "/account"),
        ("https:evil.example", "/account"),
        ("/\t/evil.example", "/account"),
    ],
)
async def test_signing_in_leads_to_pages_of_ours_only(
    world: World, return_to: str, followed: str
) -> None:
    """Pitfall 48, in the query and in the form."""
    async with world.browser() as browser:
        answer = await sign_in(browser, return_to=return_to)
        assert answer.headers["location"] == followed
        answer = await browser.get("/login", params={"return_to": return_to})
        assert answer.headers["location"] == followed
    async with world.browser() as browser:
        form = Page((await browser.get("/login")).text).fields["/login"]
        said = {"return_to": return_to, "email": "alice@acme.test", "password": PASSWORD}
        answer = await browser.post("/login", data={**form, **said})
        assert answer.headers["location"] == followed


@pytest.mark.requirement("SEC-03", "A-26")
@pytest.mark.parametrize("path", EVERY_PAGE)
async def test_every_page_is_locked_down(world: World, path: str) -> None:
    """Pitfall 15."""
    async with world.browser() as browser:
        answer = await browser.get(path, follow_redirects=True)

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'; form-action")
    assert policy.endswith("base-uri 'none'; frame-ancestors 'none'")
    assert "script" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    page = Page(answer.text)
    assert not {"script", "style", "iframe"} & {tag for tag, _ in page.tags}
    assert not any(name == "style" or name.startswith("on") for _, v in page.tags for name in v)


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b'{"email":"a"}', "application/json", 415),
        (b"", "multipart/form-data; boundary=x", 415),
        (b"a=" + b"x" * 40_000, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"f%d=1" % n for n in range(40)), "application/x-www-form-urlencoded", 400),
        (b"csrf=1&csrf=2", "application/x-www-form-urlencoded", 400),
        (b"email=%ff", "application/x-www-form-urlencoded", 400),
        (b"email=\xff", "application/x-www-form-urlencoded", 400),
        (b"email=a", "application/x-www-form-urlencoded", 403),
    ],
)
async def test_what_is_no_form_of_ours_is_refused_before_anything_is_read(
    world: World, body: bytes, media: str, status: int
) -> None:
    """Pitfall 61."""
    async with world.browser() as browser:
        for path in ("/login", "/login/forgot", "/login/reset", "/login/create", "/login/confirm"):
            answer = await browser.post(path, content=body, headers={"content-type": media})
            assert answer.status_code == status, path


@pytest.mark.requirement("A-04")
async def test_a_forgotten_password_is_replaced_by_mail(world: World) -> None:
    """Pitfall 45: opening the link uses nothing up."""
    async with world.browser() as browser, world.browser() as old:
        await sign_in(old)
        form = Page((await browser.get("/login/forgot")).text).fields["/login/forgot"]
        texts = [
            (await browser.post("/login/forgot", data={**form, "email": email})).text
            for email in ("nobody@acme.test", "alice@acme.test")
        ]
        assert texts[0] == texts[1], "the answer says nothing about the address"

        link = link_in(await world.place.postbox.next())
        for _ in range(2):
            opened = await browser.get(link)
            assert opened.status_code == 200
        form = Page(opened.text).fields["/login/reset"]
        short = await browser.post("/login/reset", data={**form, "password": "short"})
        assert short.status_code == 422
        assert "at least 10 characters" in short.text
        done = await browser.post("/login/reset", data={**form, "password": NEW})
        assert "Password set" in done.text

        again = await browser.post("/login/reset", data={**form, "password": NEW})
        assert again.status_code == 404
        stale = await browser.get(link)
        assert stale.status_code == 404
        assert "This link does not work any more" in stale.text
        assert '<a href="/login/forgot">Ask for a new link</a>' in stale.text
        assert (await old.get("/account")).status_code == 303, "every browser is signed out"
        form = Page((await browser.get("/login")).text).fields["/login"]
        data = {**form, "email": "alice@acme.test", "password": NEW}
        assert (await browser.post("/login", data=data)).status_code == 303


@pytest.mark.requirement("A-04", "A-19")
async def test_a_stranger_creates_an_account_where_that_is_open(open_house: World) -> None:
    async with open_house.browser() as browser:
        assert "Create account" in (await browser.get("/login")).text
        form = Page((await browser.get("/login/create")).text).fields["/login/create"]
        texts = [
            (await browser.post("/login/create", data={**form, "email": email})).text
            for email in ("alice@acme.test", "dora@acme.test")
        ]
        assert texts[0] == texts[1]

        mails = [await open_house.place.postbox.next() for _ in range(2)]
        (mail,) = (mail for mail in mails if mail["To"] == "dora@acme.test")
        form = Page((await browser.get(link_in(mail))).text).fields["/login/confirm"]
        done = await browser.post("/login/confirm", data={**form, "name": "Dora", "password": NEW})
        assert "Account created" in done.text
        form = Page((await browser.get("/login")).text).fields["/login"]
        data = {**form, "email": "dora@acme.test", "password": NEW}
        assert (await browser.post("/login", data=data)).status_code == 303


@pytest.mark.requirement("A-03")
async def test_elsewhere_there_is_no_such_page(world: World, tmp_path: Path) -> None:
    async with world.browser() as browser:
        assert (await browser.get("/login/create")).status_code == 404
    (tmp_path / "sso").mkdir()
    async with (
        open_world(tmp_path / "sso", policy=SignInPolicy(password=False)) as closed,
        closed.browser() as browser,
    ):
        assert (await browser.get("/login/forgot")).status_code == 404
        assert "/login/forgot" not in (await browser.get("/login")).text


async def test_refusals_are_pages_for_browsers_and_lines_for_programs(world: World) -> None:
    async with world.browser() as browser:
        assert "There is no page at this address." in (await browser.get("/nowhere")).text
        wrong = await browser.put("/login")
        assert wrong.status_code == 405
        assert "allow" in wrong.headers
        plain = await browser.get("/nowhere", headers={"accept": "*/*"})
        assert plain.headers["content-type"].startswith("text/plain")


@pytest.mark.requirement("C-25")
async def test_a_refusal_that_quotes_a_client_is_one_plain_line(world: World) -> None:
    async with world.browser() as browser:
        text = (await browser.get("/quoted")).text

    assert "<p>gpj.exe &lt;b&gt; did not register it.</p>" in text


async def test_our_own_fault_tells_nothing(world: World) -> None:
    """Pitfall 58."""
    transport = httpx2.ASGITransport(app=world.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=world.host.origin) as browser:
        for accept in ("text/html", "*/*"):
            answer = await browser.get("/broken", headers={"accept": accept})
            assert answer.status_code == 500
            assert "secret" not in answer.text
            assert "ZeroDivision" not in answer.text


@pytest.mark.requirement("C-08")
async def test_a_page_with_sixty_tools_stays_small(world: World) -> None:
    """Budgets: 6 KB of style and 8 KB of page, compressed; no script."""
    offers = [
        {
            "name": f"{verb}_thing_{n}",
            "description": f"Does thing {n}",
            "inputSchema": {"type": "object"},
        }
        for n in range(20)
        for verb in ("get", "create", "delete")
    ]
    async with world.place.database.write() as tx:
        known = await upstreams.wanted(tx, world.host.key, ServerKey("wiki"))
        assert known is not None
        wanted = msgspec.structs.replace(known, tools=tuple(str(o["name"]) for o in offers))
        await upstreams.save(tx, world.host.key, wanted)
        now = world.place.clock.now()
        await upstreams.observe(
            tx, world.host.key, wanted, eras=("modern",), spellings=[offers], at=now
        )
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register()
        path = await come_to_consent(world, browser, client, resource="/mcp/wiki")
        answer = await browser.get(path)
        page = Page(answer.text)
        (sheet,) = (v["href"] for tag, v in page.tags if v.get("rel") == "stylesheet")
        style = await browser.get(sheet)

    assert "20 allowed, 40 not allowed" in page.text
    assert len(gzip.compress(answer.content)) < 8 * 1024
    assert len(gzip.compress(style.content)) < 6 * 1024


async def test_the_stylesheet_is_named_by_its_content_and_cached_for_ever(world: World) -> None:
    async with world.browser() as browser:
        page = Page((await browser.get("/login")).text)
        (path,) = (v["href"] for tag, v in page.tags if v.get("rel") == "stylesheet")
        sheet = await browser.get(path)

    assert sheet.headers["content-type"].startswith("text/css")
    assert "immutable" in sheet.headers["cache-control"]
    assert "@layer tokens" in sheet.text


async def test_there_is_an_icon_where_browsers_look_for_one(world: World) -> None:
    async with world.browser() as browser:
        icon = await browser.get("/favicon.ico")

    assert icon.status_code == 200
    assert icon.headers["content-type"] == "image/svg+xml"
    assert icon.text.startswith("<svg ")
    assert "max-age" in icon.headers["cache-control"]


def test_every_refusal_has_an_answer() -> None:
    assert set(Code) == STATUS.keys()
