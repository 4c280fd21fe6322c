from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx2
import msgspec
import pytest

from safeconduct import consent as consents
from safeconduct import hosts, people, relations, upstreams
from safeconduct.core.model import Level, ServerKey
from safeconduct.hosts import ConsentPolicy, Policies
from tests.web.world import WEB_CALLBACK, Page, World, come_to_consent, query_of, sign_in


async def allow(browser: httpx2.AsyncClient, page: Page, **fields: str) -> httpx2.Response:
    said = {"level": "low", "duration": "90 days", "do": "allow", **fields}
    return await browser.post("/consent", data={**page.fields["/consent"], **said})


async def consented(world: World) -> list[consents.Consent]:
    async with world.place.database.read() as tx:
        return await consents.every(tx, world.host.key)


async def set_policy(world: World, policy: ConsentPolicy) -> None:
    world.host = msgspec.structs.replace(world.host, policies=Policies(consent=policy))
    async with world.place.database.write() as tx:
        await hosts.save(tx, world.host)


async def on_tickets(world: World, browser: httpx2.AsyncClient, **more: Any) -> Page:
    client = await world.register()
    path = await come_to_consent(world, browser, client, resource="/mcp/tickets", **more)
    answer = await browser.get(path)
    assert answer.status_code == 200
    return Page(answer.text)


@pytest.mark.requirement("A-01", "C-01", "C-02", "C-03", "C-04", "C-08", "C-10", "C-11", "SEC-02")
async def test_the_whole_way_from_link_to_code(world: World) -> None:
    async with world.browser() as browser:
        client = await world.register()
        path = await come_to_consent(world, browser, client)
        answer = await browser.get(path)
        assert answer.status_code == 303
        assert (
            answer.headers["location"]
            == f"/login?return_to={path.replace('?', '%3F').replace('=', '%3D')}"
        )

        answer = await sign_in(browser, return_to=path)
        assert answer.headers["location"] == path

        page = Page((await browser.get(path)).text)
        assert page.named() == ["not you?", "Select Tickets", "Select Wiki", "Deny"]
        assert "Payroll" not in page.text
        answer = await browser.post(
            "/consent", data={**page.fields["/consent"], "select": "tickets"}
        )
        assert answer.status_code == 303

        page = Page((await browser.get(answer.headers["location"])).text)
        assert page.named() == ["not you?", "Show tools at this level", "Deny", "Allow"]
        assert "Allow Claude Code to use Tickets in your name?" in page.text
        assert "It registered itself, so nobody has checked the name." in page.text
        assert "localhost:33418, a program on this computer" in page.text
        assert "3 allowed, 6 not allowed" in page.text
        assert await consented(world) == [], "nothing is granted before Allow"

        answer = await allow(browser, page, level="medium", duration="1 week")
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("http://localhost:33418/callback?")
        said = query_of(answer.headers["location"])
        assert said["code"].startswith("sc_ac_")
        assert (said["state"], said["iss"]) == ("s1", world.host.origin)
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
    (consent,) = await consented(world)
    assert (consent.level, consent.server) == (Level.MEDIUM, "tickets")
    assert consent.expires_at == world.place.clock.now() + timedelta(weeks=1)


@pytest.mark.requirement("C-10")
async def test_deny_tells_the_client_and_grants_nothing(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)
        answer = await allow(browser, page, do="deny")

    assert query_of(answer.headers["location"])["error"] == "access_denied"
    assert await consented(world) == []


@pytest.mark.requirement("C-05", "C-29", "A-19")
async def test_with_nothing_granted_the_way_ends_clearly(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser, email="bob@acme.test")
        client = await world.register()
        page = Page((await browser.get(await come_to_consent(world, browser, client))).text)
        assert "No server is open to you yet" in page.text
        assert "Ask an admin of Acme to open a server to you" in page.text
        assert page.named() == ["not you?", "Deny"]

        path = await come_to_consent(world, browser, client, resource="/mcp/tickets")
        page = Page((await browser.get(path)).text)
        assert page.named() == ["not you?", "Deny"]
        answer = await allow(browser, page, server="tickets")
        assert answer.status_code == 403
        again = Page(answer.text)
        assert ("div", "alert") in [(tag, values.get("role")) for tag, values in again.tags]
        assert "is not open to you. Nothing was granted." in again.text
    assert await consented(world) == []


@pytest.mark.requirement("C-05", "C-18")
async def test_a_server_that_is_not_open_is_named_and_no_other_is_offered(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register()
        path = await come_to_consent(world, browser, client, resource="/mcp/payroll")
        page = Page((await browser.get(path)).text)

    assert "“payroll” is not open to you" in page.text
    assert "Ask an admin of Acme to open it to you" in page.text
    assert page.named() == ["not you?", "Deny"]


@pytest.mark.requirement("C-17")
@pytest.mark.parametrize(
    ("upstream", "buttons"),
    [
        ("https://wiki.acme.example/mcp", ["Show tools at this level", "Deny", "Allow"]),
        ("https://pay.acme.example/mcp", ["Select Tickets", "Select Wiki", "Deny"]),
        ("https://unknown.example/mcp", ["Select Tickets", "Select Wiki", "Deny"]),
    ],
    ids=["granted", "not-granted", "unknown"],
)
async def test_a_suggested_server_skips_the_choice_only_if_it_is_open(
    world: World, upstream: str, buttons: list[str]
) -> None:
    async with world.browser() as browser:
        client = await world.register()
        suggestion = f"/mcp?{urlencode({'upstream_mcp': upstream})}"
        path = await come_to_consent(world, browser, client, resource=suggestion)
        assert (await browser.get(path)).headers["location"].startswith("/login")

        await sign_in(browser)
        page = Page((await browser.get(path)).text)
        assert page.named() == ["not you?", *buttons]
        if "Allow" in buttons:
            other = Page((await browser.get(f"{path}&server=")).text)
            assert "Select Tickets" in other.named(), "a suggestion can be set aside"


@pytest.mark.requirement("C-07")
async def test_it_starts_at_low_and_what_is_above_the_ceiling_cannot_be_chosen(
    world: World,
) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser, scope="mcp:high")

    radios = {
        values["value"]: values
        for tag, values in page.tags
        if tag == "input" and values.get("type") == "radio"
    }
    assert [name for name, values in radios.items() if "checked" in values] == ["low"]
    assert [name for name, values in radios.items() if "disabled" in values] == ["high"]


@pytest.mark.requirement("C-12", "C-14")
async def test_an_edited_form_above_the_ceiling_is_refused_and_says_both_levels(
    world: World,
) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)
        answer = await allow(browser, page, level="high")
        assert answer.status_code == 403
        again = Page(answer.text)
        assert ("div", "alert") in [(tag, values.get("role")) for tag, values in again.tags]
        assert "You chose high, but the most you may allow here is medium." in again.text
        (group,) = (v for _, v in again.tags if v.get("role") == "radiogroup")
        assert group["aria-describedby"].split()[0] in [v.get("id") for _, v in again.tags]
        assert await consented(world) == []

        assert (await allow(browser, again, level="medium")).status_code == 303


@pytest.mark.requirement("C-13", "C-18")
async def test_a_server_that_is_not_open_cannot_be_slipped_in(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register()
        page = Page((await browser.get(await come_to_consent(world, browser, client))).text)
        for server in ("payroll", "nothing", ""):
            answer = await allow(browser, page, server=server)
            assert answer.status_code == 403
        fixed = await on_tickets(world, browser)
        answer = await allow(browser, fixed, server="wiki")
        assert answer.status_code == 303
    (consent,) = await consented(world)
    assert consent.server == ServerKey("tickets"), "the address fixes the server"


@pytest.mark.requirement("C-14")
async def test_the_ceiling_of_the_moment_counts_not_that_of_the_page(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)
        async with world.place.database.write() as tx:
            subject = relations.person(world.place.alice)
            for level in (Level.MEDIUM, Level.LOW):
                edge = relations.ceiling_tuple(ServerKey("tickets"), level, subject)
                await relations.remove(tx, world.host.key, edge)
            await relations.write(tx, world.host.key, edge, source="t", at=world.place.clock.now())

        answer = await allow(browser, page, level="medium")
        assert answer.status_code == 403
        assert "You chose medium, but the most you may allow here is low." in Page(answer.text).text


@pytest.mark.requirement("C-25", "SEC-03", "A-26")
@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"csrf": ""}, {}),
        ({"csrf": "0" * 64}, {}),
        ({}, {"sec-fetch-site": "cross-site"}),
        ({}, {"sec-fetch-site": "same-site"}),
        ({}, {"origin": "https://evil.example"}),
        ({}, {"origin": "null"}),
    ],
)
async def test_a_forged_decision_is_refused(
    world: World, fields: dict[str, str], headers: dict[str, str]
) -> None:
    """Pitfall 13."""
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)
        said = {**page.fields["/consent"], "level": "low", "duration": "1 day", "do": "allow"}
        answer = await browser.post("/consent", data={**said, **fields}, headers=headers)
        assert answer.status_code == 403
        assert await consented(world) == []

        assert (await browser.post("/consent", data=said)).status_code == 303


@pytest.mark.requirement("C-25")
async def test_a_token_of_one_request_or_browser_is_none_for_another(world: World) -> None:
    """Pitfall 13."""
    async with world.browser() as browser, world.browser() as stranger:
        await sign_in(browser)
        await sign_in(stranger, email="bob@acme.test")
        first, second = await on_tickets(world, browser), await on_tickets(world, browser)
        swapped = {**first.fields["/consent"], "csrf": second.fields["/consent"]["csrf"]}
        said = {"level": "low", "duration": "1 day", "do": "allow"}

        assert (await browser.post("/consent", data={**swapped, **said})).status_code == 403
        stolen = {**first.fields["/consent"], **said}
        assert (await stranger.post("/consent", data=stolen)).status_code == 403
    assert await consented(world) == []


@pytest.mark.requirement("C-01")
async def test_a_request_is_answered_once_by_the_one_who_saw_it_in_time(world: World) -> None:
    """Pitfall 14."""
    async with world.browser() as browser, world.browser() as stranger:
        await sign_in(browser)
        await sign_in(stranger, email="bob@acme.test")
        client = await world.register()
        path = await come_to_consent(world, browser, client, resource="/mcp/tickets")
        page = Page((await browser.get(path)).text)

        foreign = await stranger.get(path)
        assert foreign.status_code == 409
        assert "another browser or by another person" in Page(foreign.text).text
        assert (await allow(browser, page)).status_code == 303
        for answer in (await allow(browser, page), await browser.get(path)):
            assert answer.status_code == 409
            assert "already answered" in Page(answer.text).text
            assert "There is nothing to decide here" in Page(answer.text).text

        late = await come_to_consent(world, browser, client, resource="/mcp/tickets")
        page = Page((await browser.get(late)).text)
        world.place.clock.advance(timedelta(minutes=10))
        answer = await allow(browser, page)
        assert answer.status_code == 404
        assert "expired" in Page(answer.text).text
    assert len(await consented(world)) == 1


async def test_of_many_clicks_at_once_one_counts(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)
        answers = await asyncio.gather(*(allow(browser, page) for _ in range(8)))

    assert sorted(answer.status_code for answer in answers) == [303] + [409] * 7


@pytest.mark.parametrize(
    "path",
    ["/consent", "/consent?request=", "/consent?request=ask_unknown", "/consent?request=%22%3E"],
)
async def test_a_page_without_a_request_says_so(world: World, path: str) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        answer = await browser.get(path)

    assert answer.status_code == 404
    assert "Start again" in Page(answer.text).text


@pytest.mark.requirement("C-01")
async def test_showing_and_previewing_never_grant(world: World) -> None:
    """Pitfall 14: no GET approves, whatever it says."""
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register()
        path = await come_to_consent(world, browser, client, resource="/mcp/tickets")
        shown = await browser.get(f"{path}&do=allow&level=medium&duration=1+day")
        page = Page(shown.text)
        for do in ("preview", "", "ALLOW", "yes"):
            answer = await allow(browser, page, do=do, level="medium", duration="1 day")
            assert answer.status_code == 200
        assert await consented(world) == []
        again = Page(answer.text)
        checked = [v["value"] for tag, v in again.tags if tag == "input" and "checked" in v]
        assert checked == ["medium"]
        assert "6 allowed, 3 not allowed" in again.text


@pytest.mark.requirement("K-09", "C-15")
@pytest.mark.parametrize(
    ("duration", "until", "hours"),
    [
        ("1 hour", "", 1),
        ("1 day", "", 24),
        ("1 week", "", 168),
        ("30 days", "", 720),
        ("90 days", "2026-11-22T12:00", 2160),
        ("Custom", "2026-11-22T12:00", 24),
        ("Custom", "2027-02-19T12:00", 2160),
    ],
)
async def test_a_consent_ends_when_the_person_said(
    world: World, duration: str, until: str, hours: int
) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)
        await allow(browser, page, duration=duration, until=until)

    (consent,) = await consented(world)
    assert consent.expires_at == world.place.clock.now() + timedelta(hours=hours)


@pytest.mark.requirement("K-09", "C-15")
@pytest.mark.parametrize(
    ("duration", "until"),
    [
        ("", ""),
        ("Forever", ""),
        ("Until revoked", ""),
        ("Custom", ""),
        ("Custom", "tomorrow"),
        ("Custom", "2026-11-21T12:00"),
        ("Custom", "2027-02-19T12:01"),
        ("Custom", "9999-12-31T23:59"),
        ("Custom", "2026-11-22T12:00+23:59"),
        ("Custom", "0001-01-01T00:00"),
        ("Custom", "2026-W47"),
    ],
)
async def test_what_is_no_offered_duration_grants_nothing(
    world: World, duration: str, until: str
) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)
        answer = await allow(browser, page, duration=duration, until=until)

    again = Page(answer.text)
    assert answer.status_code == 422
    assert ("div", "alert") in [(tag, v.get("role")) for tag, v in again.tags]
    (wrong,) = (v for _, v in again.tags if v.get("aria-invalid") == "true")
    assert wrong["id"] == ("until" if duration == "Custom" else "duration")
    assert wrong["aria-describedby"].split()[0] == f"{wrong['id']}-error"
    assert f"{wrong['id']}-error" in [v.get("id") for _, v in again.tags], "said beside it, too"
    assert await consented(world) == []


@pytest.mark.requirement("K-09", "C-15")
async def test_a_limit_is_told_with_its_owner(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)
        answer = await allow(browser, page, duration="Custom", until="2027-02-19T12:01")

    assert "Choose a time within 90 days. An admin set that limit." in Page(answer.text).text


@pytest.mark.requirement("K-09")
async def test_until_revoked_is_offered_only_where_the_host_allows_it(world: World) -> None:
    await set_policy(world, ConsentPolicy(until_revoked=True, longest_days=7))
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)
        assert "Until revoked" in page.text
        assert "Ends by itself" not in page.text, "it may not"
        assert "30 days" not in page.text
        assert (await allow(browser, page, duration="30 days")).status_code == 422
        assert (await allow(browser, page, duration="Until revoked")).status_code == 303

    (consent,) = await consented(world)
    assert consent.expires_at is None


@pytest.mark.requirement("C-16")
async def test_asking_again_starts_at_the_old_level_and_never_above_the_ceiling(
    world: World,
) -> None:
    async def started_at() -> list[str]:
        page = await on_tickets(world, browser)
        return [v["value"] for tag, v in page.tags if tag == "input" and "checked" in v]

    async with world.browser() as browser:
        await sign_in(browser)
        await allow(browser, await on_tickets(world, browser), level="medium")
        assert await started_at() == ["medium"]

        async with world.place.database.write() as tx:
            subject = relations.person(world.place.alice)
            now = world.place.clock.now()
            edges = [
                relations.ceiling_tuple(ServerKey("tickets"), level, subject)
                for level in (Level.MEDIUM, Level.LOW)
            ]
            await relations.remove(tx, world.host.key, edges[0])
            await relations.write(tx, world.host.key, edges[1], source="t", at=now)
        assert await started_at() == ["low"]


@pytest.mark.requirement("C-28")
async def test_a_live_consent_is_not_asked_for_twice_towards_https(world: World) -> None:
    more = {"redirect_uri": WEB_CALLBACK, "resource": "/mcp/tickets"}
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register(redirect_uri=WEB_CALLBACK)
        first = await browser.get(await come_to_consent(world, browser, client, **more))
        assert first.status_code == 200
        await allow(browser, Page(first.text))

        again = await browser.get(await come_to_consent(world, browser, client, **more))
        assert again.status_code == 303
        assert again.headers["location"].startswith(f"{WEB_CALLBACK}?code=")
        higher = await browser.get(
            await come_to_consent(world, browser, client, scope="mcp:medium", **more)
        )
        assert higher.status_code == 200, "more than was given is asked for"
        other = await world.register(name="Other", redirect_uri=WEB_CALLBACK)
        foreign = await browser.get(await come_to_consent(world, browser, other, **more))
        assert foreign.status_code == 200, "another client is asked for itself (pitfall 19)"


@pytest.mark.requirement("C-28")
async def test_towards_this_computer_a_person_looks_every_time(world: World) -> None:
    """Pitfall 20."""
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register()
        for _ in range(2):
            path = await come_to_consent(world, browser, client, resource="/mcp/tickets")
            page = await browser.get(path)
            assert page.status_code == 200
            await allow(browser, Page(page.text))


@pytest.mark.requirement("C-08", "C-09")
async def test_tools_are_the_reviewed_ones_with_their_marks(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register()
        path = await come_to_consent(world, browser, client, resource="/mcp/tickets")
        text = (await browser.get(path)).text
    page = Page(text)
    tools = {v["data-tool"]: v["data-level"] for tag, v in page.tags if "data-tool" in v}

    assert tools["get_issue"] == "low"
    assert tools["create_issue"] == "medium"
    assert tools["delete_issue"] == "high"
    assert "get_secret" not in tools, "what an admin switched off is not listed"
    row = text[text.index('data-tool="add_comment"') :].partition("</li>")[0]
    assert "Not allowed at any level before an admin has looked at it." in row
    assert ">Not allowed</span>" in row
    assert ">Allowed" not in row
    assert "Comment in your name" in row, "the reviewed text, not the changed one"
    assert "High, because of the word “delete”" in page.text
    assert "hidden@" not in text
    assert "key=hidden" not in text


@pytest.mark.requirement("C-09")
async def test_the_level_an_admin_set_is_the_level_shown(world: World) -> None:
    async with world.place.database.write() as tx:
        known = await upstreams.wanted(tx, world.host.key, ServerKey("tickets"))
        assert known is not None
        raised = {**known.overrides, "list_projects": upstreams.Override(level=Level.HIGH)}
        await upstreams.save(tx, world.host.key, msgspec.structs.replace(known, overrides=raised))
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)

    tools = {v["data-tool"]: v["data-level"] for _, v in page.tags if "data-tool" in v}
    assert tools["list_projects"] == "high"
    assert "2 allowed, 7 not allowed" in page.text


@pytest.mark.requirement("SEC-03", "SEC-02", "C-25", "AS-10")
@pytest.mark.parametrize(
    ("redirect_uri", "target"),
    [
        ("http://localhost:33418/cb", "http://localhost:33418"),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1:1"),
        ("https://agent.example/cb;x=1", "https://agent.example"),
        ("https://xn--pple-43d.example/cb", "https://xn--pple-43d.example"),
        ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor:"),
    ],
)
async def test_the_page_names_one_place_to_go_back_to_and_cannot_be_framed(
    world: World, redirect_uri: str, target: str
) -> None:
    """Pitfalls 15, 16 and 18."""
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register(redirect_uri=redirect_uri)
        path = await come_to_consent(
            world, browser, client, redirect_uri=redirect_uri, resource="/mcp/tickets"
        )
        answer = await browser.get(path)

    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self'; "
        f"form-action 'self' {target}; base-uri 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    if "xn--" in redirect_uri:
        assert "xn--pple-43d.example, a name written in another alphabet" in Page(answer.text).text


@pytest.mark.requirement("C-25")
@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "A\u202eBC\u200b\u2066D",
        "x" * 3000,
        "line\nline\r\n\x00\x1b[31m",
        "{{ 7 * 7 }}",
        "e\u0301\u0302\u0303\u0304\u0305\u0306\u0307",
        "🦊",
    ],
)
async def test_a_hostile_name_is_plain_text_on_one_line(world: World, name: str) -> None:
    """Pitfall 17."""
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register(name=name)
        path = await come_to_consent(world, browser, client, resource="/mcp/tickets")
        answer = await browser.get(path)
    page = Page(answer.text)

    assert answer.status_code == 200
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not any("style" in values or "onerror" in values for _, values in page.tags)
    assert not set("\u202e\u2066\u200b\x00\x1b") & set(answer.text)
    assert "49" not in page.text
    assert "localhost:33418" in page.text


@pytest.mark.requirement("C-25")
async def test_a_name_nobody_can_see_is_called_none(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register(name="\u3164\u2800")
        path = await come_to_consent(world, browser, client, resource="/mcp/tickets")
        page = Page((await browser.get(path)).text)

    assert "Allow An agent without a name to use Tickets in your name?" in page.text


@pytest.mark.requirement("C-25")
async def test_a_name_written_from_right_to_left_turns_nothing_around_it(world: World) -> None:
    """Unicode Standard Annex 9, section 2.7: what others wrote stands in isolation."""
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register(name="שלום")
        path = await come_to_consent(world, browser, client)
        texts = [(await browser.get(path)).text, (await browser.get(f"{path}&server=wiki")).text]
        await allow(browser, Page(texts[1]))
        texts.append((await browser.get("/account")).text)

    for text in texts:
        body = text.partition("<body>")[2]
        isolated = body.count("<bdi>שלום</bdi>") + body.count('dir="auto">שלום<')
        assert isolated == body.count("שלום") > 0


@pytest.mark.requirement("C-03")
async def test_not_you_signs_out_and_comes_back_to_the_same_request(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register()
        path = await come_to_consent(world, browser, client, resource="/mcp/tickets")
        page = Page((await browser.get(path)).text)
        assert "Signed in as alice@acme.test" in page.text
        assert "acme.example" in page.text

        answer = await browser.post("/consent/leave", data=page.fields["/consent/leave"])
        assert answer.headers["location"].startswith("/login?return_to=/consent")
        assert (await browser.get(path)).headers["location"].startswith("/login")
        await sign_in(browser, email="bob@acme.test")
        again = await browser.get(path)
        assert again.status_code == 200
        assert "Signed in as bob@acme.test" in Page(again.text).text


@pytest.mark.requirement("A-02")
async def test_a_suspended_person_decides_nothing_more(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)
        async with world.place.database.write() as tx:
            await people.set_active(tx, world.host.key, world.place.alice, active=False)

        answer = await allow(browser, page)
        assert answer.headers["location"].startswith("/login")
    assert await consented(world) == []


@pytest.mark.requirement("C-06")
@pytest.mark.parametrize("resource", ["/mcp/tickets", None])
async def test_a_server_that_does_not_answer_is_not_decided_about(
    world: World, resource: str | None
) -> None:
    world.silent.add("tickets")
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register()
        path = await come_to_consent(world, browser, client, resource=resource)
        if resource is None:
            page = Page((await browser.get(path)).text)
            chosen = {**page.fields["/consent"], "select": "tickets"}
            path = (await browser.post("/consent", data=chosen)).headers["location"]
        answer = await browser.get(path)
        page = Page(answer.text)
        assert answer.status_code == 200
        assert "Tickets does not answer. Nothing was granted." in page.text
        assert page.named() == ["not you?", "Deny"]
        assert ("Choose another server" in page.text) == (resource is None)
        again = next(v["href"] for tag, v in page.tags if tag == "a" and "server=t" in v["href"])

        world.silent.clear()
        answered = Page((await browser.get(again)).text)
        assert answered.named()[-1] == "Allow"
        denied = await browser.post("/consent", data={**page.fields["/consent"], "do": "deny"})
        assert query_of(denied.headers["location"])["error"] == "access_denied"
    assert await consented(world) == []


@pytest.mark.requirement("C-06")
async def test_the_choice_says_which_server_was_silent(world: World) -> None:
    async with world.place.database.write() as tx:
        await upstreams.unreachable(
            tx,
            world.host.key,
            ServerKey("wiki"),
            problem="it is at 10.0.0.1",
            at=world.place.clock.now(),
        )
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register()
        text = (await browser.get(await come_to_consent(world, browser, client))).text

    first, wiki = text.split("<h2>Wiki<")
    assert "did not answer" not in first
    assert "It did not answer when it was last asked." in wiki
    assert "10.0.0.1" not in text


_RULES = """package safeconduct.host

import rego.v1

deny contains {"reason": "no_agents", "message": "Agents may not write tickets this week."} if {
	input.phase == "token"
	input.consent.level == "medium"
}

deny contains {"reason": "no_lists", "message": "Projects are nobody's business."} if {
	input.resource.name == "list_projects"
}

obligations contains {"type": "require_approval", "role": "approver"} if {
	input.resource.name == "search_issues"
}
"""
_NOBODY = """package safeconduct.host

import rego.v1

deny contains {"reason": "no_agents", "message": "Claude Code is not let in before the audit."} if {
	input.client.name == "Claude Code"
}
"""


def tool_of(page: Page, name: str) -> str:
    """Return what the page says of a tool, hidden or not."""
    return page.raw.partition(f'data-tool="{name}"')[2].partition("</li>")[0]


def shown(piece: str) -> str:
    """Return a piece of the page without what is hidden at the level it is drawn for."""
    return re.sub(r'<(span|strong) class="[^"]*" hidden>.*?</\1>', "", piece, flags=re.DOTALL)


async def test_the_page_says_what_the_rules_of_the_host_say_before_anything_is_allowed(
    world: World,
) -> None:
    world.rules.add(_RULES)
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)

        assert "refuse this.</strong> Agents may not write tickets this week." in page.raw
        assert 'value="medium" aria-labelledby="n-medium" aria-describedby="d-medium" disabled' in (
            page.raw
        )
        assert 'value="low" aria-labelledby="n-low" aria-describedby="d-low" checked' in page.raw
        assert "2 allowed, 7 not allowed" in page.text
        refused, held, free = (
            shown(tool_of(page, name)) for name in ("list_projects", "search_issues", "get_issue")
        )
        assert "Not allowed" in refused
        assert "The rules of Acme refuse it: Projects are nobody&#39;s business." in refused
        assert ">Allowed<" in held
        assert "An approver is asked each time." in held
        assert ">Allowed<" in free
        assert "approver" not in free

        answer = await allow(browser, page, level="medium")
        assert answer.status_code == 403
        assert "Agents may not write tickets this week." in answer.text
        assert await consented(world) == []
        assert (await allow(browser, page, level="low")).status_code == 303
        assert [each.level for each in await consented(world)] == [Level.LOW]


async def test_what_the_rules_refuse_altogether_cannot_be_allowed(world: World) -> None:
    world.rules.add(_NOBODY)
    async with world.browser() as browser:
        await sign_in(browser)
        page = await on_tickets(world, browser)

        assert "Claude Code is not let in before the audit." in page.text
        assert 'name="do" value="allow" disabled>Allow</button>' in page.raw
        assert page.named() == ["not you?", "Show tools at this level", "Deny", "Allow"]
        answer = await allow(browser, page)
        assert answer.status_code == 403
        assert "Claude Code is not let in before the audit." in answer.text
        assert await consented(world) == []
        answer = await browser.post("/consent", data={**page.fields["/consent"], "do": "deny"})
        assert query_of(answer.headers["location"])["error"] == "access_denied"


async def test_an_earlier_consent_is_not_resumed_against_the_rules(world: World) -> None:
    async with world.browser() as browser:
        await sign_in(browser)
        client = await world.register(redirect_uri=WEB_CALLBACK)
        path = await come_to_consent(
            world, browser, client, resource="/mcp/tickets", redirect_uri=WEB_CALLBACK
        )
        page = Page((await browser.get(path)).text)
        assert (await allow(browser, page)).status_code == 303
        world.rules.add(_NOBODY)

        link = world.authorize(client, resource="/mcp/tickets", redirect_uri=WEB_CALLBACK)
        again = await browser.get((await browser.get(link)).headers["location"])

        assert again.status_code == 200
        assert "Claude Code is not let in before the audit." in again.text
