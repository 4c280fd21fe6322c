"""People's pages in a real browser, with scripting off and on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from safeconduct import consent as consents
from tests.egress.certificates import Authority
from tests.signin.place import PASSWORD
from tests.web.browser import AXE, CHROMIUM, Callback, chromium, listening, serving
from tests.web.world import World, open_world

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed"),
]


@dataclass
class Visit:
    """A browser in front of the gateway, and an agent it came from."""

    world: World
    browser: Browser
    callback: Callback
    redirect_uri: str

    async def open(self, **options: Any) -> Page:
        context: BrowserContext = await self.browser.new_context(
            base_url=self.world.host.origin, **options
        )
        context.set_default_timeout(10_000)
        return await context.new_page()

    async def link(self, resource: str | None = None, *, redirect_uri: str = "") -> str:
        target = redirect_uri or self.redirect_uri
        client = await self.world.register(redirect_uri=target)
        return self.world.authorize(client, redirect_uri=target, resource=resource)

    async def granted(self) -> list[str]:
        async with self.world.place.database.read() as tx:
            return [one.level.word for one in await consents.every(tx, self.world.host.key)]


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


@pytest.fixture
async def visit(tmp_path: Path, browser: Browser) -> AsyncIterator[Visit]:
    sock, port = listening()
    their_sock, their_port = listening()
    callback = Callback()
    async with (
        open_world(tmp_path, origin=f"http://localhost:{port}") as world,
        serving(world.app, sock),
        serving(callback.app, their_sock),
    ):
        yield Visit(
            world=world,
            browser=browser,
            callback=callback,
            redirect_uri=f"http://localhost:{their_port}/callback",
        )
        for context in browser.contexts:
            await context.close()


def violations(page: Page) -> list[str]:
    """Return a list that fills with what the browser says against a page's policy."""
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            said.append(message.text)

    page.on("console", note)
    return said


async def sign_in(page: Page) -> None:
    await page.get_by_label("Email", exact=True).fill("alice@acme.test")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Sign in", exact=True).click()


@pytest.mark.requirement("A-01", "C-01", "C-03", "C-04", "C-07", "C-08", "C-10", "C-26")
@pytest.mark.parametrize("script", [False, True], ids=["script-off", "script-on"])
async def test_from_link_to_code_and_back_out_again(visit: Visit, script: bool) -> None:
    """Pitfall 16: the policy of the page lets the last redirect through."""
    page = await visit.open(java_script_enabled=script)
    said = violations(page)
    await page.goto(await visit.link())
    await sign_in(page)
    await page.get_by_role("button", name="Select Tickets", exact=True).click()

    level = page.get_by_role("radiogroup", name="Trust level")
    await expect(level.get_by_role("radio", name="Low", exact=True)).to_be_checked()
    await expect(level.get_by_role("radio", name="High", exact=True)).to_be_disabled()
    row = page.locator('[data-tool="create_issue"]')
    await expect(row.get_by_text("Not allowed", exact=True)).to_be_visible()
    await expect(row.get_by_text("Allowed", exact=True)).to_be_hidden()
    await expect(page.get_by_text("3 allowed, 6 not allowed")).to_be_visible()

    await level.get_by_role("radio", name="Medium", exact=True).check()
    await expect(row.get_by_text("Not allowed", exact=True)).to_be_hidden()
    await expect(row.get_by_text("Allowed", exact=True)).to_be_visible()
    await expect(page.get_by_text("6 allowed, 3 not allowed")).to_be_visible()
    await expect(
        page.locator('[data-tool="delete_issue"]').get_by_text("Not allowed", exact=True)
    ).to_be_visible()

    await page.get_by_role("combobox", name="Duration", exact=True).select_option("1 day")
    await page.get_by_role("button", name="Allow", exact=True).click()
    await expect(page.get_by_role("heading", name="Back in the agent")).to_be_visible()
    assert visit.callback.seen[0]["code"].startswith("sc_ac_")
    assert await visit.granted() == ["medium"]

    await page.goto("/account")
    await page.get_by_role("button", name="End now").click()
    await expect(page.get_by_text("by you")).to_be_visible()
    await expect(page.get_by_role("button", name="End now")).to_have_count(0)
    await page.get_by_role("button", name="Sign out").click()
    await page.goto("/account")
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert said == []


@pytest.mark.requirement("C-28", "AS-10")
async def test_signing_in_goes_straight_back_to_an_agent_that_was_allowed(
    visit: Visit, tmp_path: Path
) -> None:
    """Pitfall 16: here it is the sign-in form whose redirects leave this origin."""
    sock, port = listening()
    agent = Callback()
    there = f"https://localhost:{port}/callback"
    async with serving(agent.app, sock, tls=Authority(tmp_path).serving("localhost")):
        page = await visit.open(java_script_enabled=False, ignore_https_errors=True)
        said = violations(page)
        link = await visit.link("/mcp/tickets", redirect_uri=there)
        await page.goto(link)
        await sign_in(page)
        await page.get_by_role("button", name="Allow", exact=True).click()
        await expect(page.get_by_role("heading", name="Back in the agent")).to_be_visible()

        await page.context.clear_cookies()
        await page.goto(link)
        await sign_in(page)
        await expect(page.get_by_role("heading", name="Back in the agent")).to_be_visible()

        assert len({seen["code"] for seen in agent.seen}) == 2
        assert said == []
        await page.context.close()


@pytest.mark.requirement("C-10", "C-25")
@pytest.mark.parametrize(
    "there", ["cursor://anysphere.cursor-mcp/oauth/callback", "com.example.app:/callback"]
)
async def test_a_private_scheme_is_not_held_back_by_our_policy(visit: Visit, there: str) -> None:
    page = await visit.open(java_script_enabled=False)
    said = violations(page)
    await page.goto(await visit.link("/mcp/tickets", redirect_uri=there))
    await sign_in(page)
    scheme = there.partition(":")[0]
    await expect(page.get_by_text(f"the app registered for {scheme}:")).to_be_visible()
    async with page.expect_event("requestfailed", lambda request: request.url.startswith(scheme)):
        await page.get_by_role("button", name="Allow", exact=True).click()

    assert said == []
    assert await visit.granted() == ["low"]


@pytest.mark.requirement("C-10")
async def test_deny_goes_back_with_access_denied(visit: Visit) -> None:
    page = await visit.open(java_script_enabled=False)
    await page.goto(await visit.link())
    await sign_in(page)
    await page.get_by_role("button", name="Deny", exact=True).click()

    await expect(page.get_by_role("heading", name="Back in the agent")).to_be_visible()
    assert visit.callback.seen[0]["error"] == "access_denied"
    assert await visit.granted() == []


@pytest.mark.requirement("C-01")
async def test_the_keyboard_alone_will_do_and_enter_never_grants(visit: Visit) -> None:
    page = await visit.open(java_script_enabled=False)
    await page.goto(await visit.link("/mcp/tickets"))
    await expect(page.get_by_label("Email", exact=True)).to_be_focused()
    await page.keyboard.type("alice@acme.test")
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await page.get_by_role("radio", name="Low", exact=True).focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("radio", name="Medium", exact=True)).to_be_checked()
    await page.keyboard.press("Enter")
    await page.wait_for_load_state()

    await expect(page.get_by_role("radio", name="Medium", exact=True)).to_be_checked()
    assert visit.callback.seen == []
    assert await visit.granted() == []

    for _ in range(20):
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if await focused.get_attribute("value") == "allow":
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Back in the agent")).to_be_visible()
    assert await visit.granted() == ["medium"]


@pytest.mark.requirement("C-15")
async def test_custom_asks_for_a_time_and_says_what_is_wrong_with_it(visit: Visit) -> None:
    page = await visit.open(java_script_enabled=False)
    await page.goto(await visit.link("/mcp/tickets"))
    await sign_in(page)
    until = page.get_by_label("Until", exact=True)
    await expect(until).to_be_hidden()
    await page.get_by_label("Duration", exact=True).select_option("Custom")
    await expect(until).to_be_visible()

    await page.get_by_role("button", name="Allow", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("Enter the date and time")
    await expect(until).to_be_visible()
    await until.fill("2026-11-30T10:00")
    await page.get_by_role("button", name="Allow", exact=True).click()
    await expect(page.get_by_role("heading", name="Back in the agent")).to_be_visible()


@pytest.mark.requirement("C-14")
async def test_enabling_a_disabled_level_in_the_page_grants_nothing(visit: Visit) -> None:
    page = await visit.open()
    await page.goto(await visit.link("/mcp/tickets"))
    await sign_in(page)
    await expect(page.get_by_role("radio", name="High", exact=True)).to_be_disabled()
    await page.evaluate("document.querySelector('[value=high]').disabled = false")
    await page.get_by_role("radio", name="High", exact=True).check()
    await page.get_by_role("button", name="Allow", exact=True).click()

    await expect(page.get_by_role("alert")).to_contain_text("You chose high")
    assert await visit.granted() == []


@pytest.mark.requirement("SEC-03", "C-25")
async def test_no_page_can_be_framed(visit: Visit) -> None:
    """Pitfall 15."""
    page = await visit.open()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    await page.route(
        "**/evil",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<iframe src="{visit.world.host.origin}/login"></iframe>',
        ),
    )
    await page.goto("/evil")
    await page.wait_for_load_state("networkidle")

    assert any("frame-ancestors" in text or "X-Frame-Options" in text for text in errors), errors


@pytest.mark.requirement("A-26")
async def test_the_cookie_is_out_of_reach_of_scripts(visit: Visit) -> None:
    page = await visit.open()
    await page.goto("/login")
    await sign_in(page)
    await expect(page.get_by_role("heading", name="What you allowed")).to_be_visible()

    (cookie,) = await page.context.cookies()
    assert cookie["name"] == "__Host-safeconduct"
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
    assert await page.evaluate("document.cookie") == ""


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed")
@pytest.mark.parametrize(
    ("width", "view"),
    [
        (320, {"color_scheme": "light"}),
        (380, {"color_scheme": "dark"}),
        (640, {"color_scheme": "light", "device_scale_factor": 2}),
        (1360, {"color_scheme": "light"}),
        (1360, {"color_scheme": "dark"}),
        (1360, {"forced_colors": "active"}),
    ],
    ids=["narrow", "phone-dark", "zoomed", "wide", "wide-dark", "forced-colours"],
)
async def test_pages_are_accessible_and_fit(visit: Visit, width: int, view: dict[str, Any]) -> None:
    page = await visit.open(viewport={"width": width, "height": 900}, bypass_csp=True, **view)
    shots = visit.world.place.directory

    async def look(name: str) -> None:
        await page.screenshot(path=shots / f"{name}.png", full_page=True)
        await page.evaluate(AXE.read_text())
        found = await page.evaluate("axe.run()")
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found["violations"]] == []
        too_wide = await page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        assert not too_wide, f"{name} scrolls sideways"

    await page.goto("/login/forgot")
    await look("forgot")
    await page.goto(await visit.link())
    await look("login")
    await page.get_by_label("Email", exact=True).fill("alice@acme.test")
    await page.get_by_label("Password", exact=True).fill("wrong")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await look("login-wrong")
    await sign_in(page)
    await look("servers")
    await page.goto(await visit.link("/mcp/payroll"))
    await look("not-open")
    await page.go_back()
    await page.get_by_role("button", name="Select Tickets", exact=True).click()
    await look("consent")
    await page.get_by_label("Duration", exact=True).select_option("Custom")
    await page.get_by_role("radio", name="Medium", exact=True).check()
    await page.get_by_role("button", name="Allow", exact=True).click()
    await look("consent-wrong")
    await page.get_by_label("Duration", exact=True).select_option("90 days")
    await page.get_by_role("button", name="Allow", exact=True).click()
    await page.goto("/account")
    await look("account")
    await page.get_by_role("button", name="End now").click()
    await look("account-ended")
    await page.goto("/nowhere")
    await look("error")
