"""A person's answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from safeconduct import people
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import ClientId, Level, ServerKey
from safeconduct.hosts import ConsentPolicy, SessionPolicy
from safeconduct.oauth import Ask, set_blocked
from safeconduct.people import Person
from tests.oauth.world import NATIVE, ORIGIN, WEB, World, answer_of


async def refused(world: World, ask: Ask, **said: object) -> Refused:
    with pytest.raises(Refused) as error:
        await world.allow(ask, **said)  # type: ignore[arg-type]  # each case passes its own
    return error.value


@pytest.mark.requirement("T-09", "AS-06", "S-01", "S-02", "S-03", "SEC-01", "L-05", "L-06", "S-08")
async def test_a_yes_grants_opens_and_answers_at_once(world: World) -> None:
    client = await world.register()
    location = await world.allow(await world.ask(client), level=Level.MEDIUM, days=1)

    assert location.startswith(f"{NATIVE}?code=sc_ac_")
    got = answer_of(location)
    assert (got["state"], got["iss"]) == ("s t&te", ORIGIN)
    consent = await world.consents.get(
        world.host.key, world.alice.id, ClientId(client), ServerKey("ledger")
    )
    assert consent is not None
    assert consent.level is Level.MEDIUM
    (granted,) = world.events("consent.granted")
    (opened,) = world.events("session.opened")
    assert granted["granted_level"] == "medium"
    assert granted["consent"] == consent.id
    assert opened["session"] == granted["session"]
    assert got["code"] not in str(world.events())


@pytest.mark.requirement("AS-12")
async def test_an_ask_belongs_to_the_first_browser_and_person_that_see_it(world: World) -> None:
    """Pitfalls 13 and 14."""
    client = await world.register()
    ask = await world.ask(client)
    again = await world.authorizations.ask(world.host, ask.id, browser="b", subject=world.alice.id)
    assert again == ask
    for browser, person in (("other", world.alice), ("b", world.bob)):
        with pytest.raises(Refused) as error:
            await world.authorizations.ask(world.host, ask.id, browser=browser, subject=person.id)
        assert error.value.code is Code.CONFLICT
        assert (await refused(world, ask, browser=browser, person=person)).code is Code.CONFLICT
    with pytest.raises(Refused) as error:
        await world.authorizations.ask(world.other, ask.id, browser="b", subject=world.alice.id)
    assert error.value.code is Code.NOT_FOUND
    assert "code=" in await world.allow(ask)


async def test_an_ask_given_back_can_be_answered_by_another_person(world: World) -> None:
    client = await world.register()
    ask = await world.ask(client)
    for browser, person in (("other", world.alice), ("b", world.bob)):
        await world.authorizations.release(
            world.host, ask.id, browser=browser, subject=person.id
        )  # only its holder may
    with pytest.raises(Refused):
        await world.authorizations.ask(world.host, ask.id, browser="b2", subject=world.bob.id)

    await world.authorizations.release(world.host, ask.id, browser="b", subject=world.alice.id)
    ask = await world.authorizations.ask(world.host, ask.id, browser="b2", subject=world.bob.id)
    assert "code=" in await world.allow(ask, browser="b2", person=world.bob)


@pytest.mark.requirement("AS-17")
@pytest.mark.parametrize("second", ["allow", "deny"])
async def test_an_ask_is_answered_once(world: World, second: str) -> None:
    """Pitfall 14: double submit, back button."""
    client = await world.register()
    ask = await world.ask(client)
    await world.allow(ask)
    denied = world.authorizations.deny(
        world.host, ask, person=world.alice, browser="b", ip=None, user_agent=None
    )
    answer = world.allow(ask) if second == "allow" else denied
    with pytest.raises(Refused) as error:
        await answer
    denied.close()
    assert error.value.code is Code.CONFLICT
    with pytest.raises(Refused) as error:
        await world.authorizations.ask(world.host, ask.id, browser="b", subject=world.alice.id)
    assert error.value.code is Code.CONFLICT
    assert len(world.events("session.opened")) == 1


async def test_an_ask_expires(world: World) -> None:
    client = await world.register()
    ask = await world.ask(client)
    world.advance(minutes=9, seconds=59)
    await world.authorizations.ask(world.host, ask.id, browser="b", subject=world.alice.id)
    world.advance(seconds=1)
    with pytest.raises(Refused) as error:
        await world.authorizations.ask(world.host, ask.id, browser="b", subject=world.alice.id)
    assert error.value.code is Code.NOT_FOUND
    assert (await refused(world, ask)).code is Code.CONFLICT
    with pytest.raises(Refused) as error:
        await world.authorizations.ask(
            world.host, "ask_unknown", browser="b", subject=world.alice.id
        )
    assert error.value.code is Code.NOT_FOUND


async def test_a_no_goes_back_and_is_not_remembered(world: World) -> None:
    client = await world.register()
    ask = await world.ask(client)
    location = await world.authorizations.deny(
        world.host, ask, person=world.alice, browser="b", ip="203.0.113.9", user_agent="x"
    )
    assert location.startswith(f"{NATIVE}?error=access_denied&error_description=the%20person")
    got = answer_of(location)
    assert (got["state"], got["iss"]) == ("s t&te", ORIGIN)
    assert len(world.events("consent.denied")) == 1
    assert "code=" in await world.allow(await world.ask(client))


@pytest.mark.requirement("K-16", "T-42")
@pytest.mark.parametrize("ceiling", [None, *Level])
@pytest.mark.parametrize("level", list(Level))
async def test_nobody_grants_above_the_ceiling(
    world: World, ceiling: Level | None, level: Level
) -> None:
    client = await world.register()
    await world.ceiling(world.alice, ceiling)
    ask = await world.ask(client)
    if ceiling is not None and level <= ceiling:
        assert "code=" in await world.allow(ask, level=level)
        return
    error = await refused(world, ask, level=level)
    assert error.code is Code.FORBIDDEN
    if ceiling is not None:
        assert level.word in error.public
        assert ceiling.word in error.public
    assert world.events("session.opened") == []


@pytest.mark.requirement("K-09", "T-28")
async def test_a_duration_is_within_what_the_host_allows(world: World) -> None:
    client = await world.register()
    ask = await world.ask(client)
    for days in (0, -1, 90.01, None):
        assert (await refused(world, ask, days=days)).code is Code.INVALID_PARAMS
    assert "code=" in await world.allow(ask, days=90)
    world.policies(consent=ConsentPolicy(until_revoked=True, longest_days=7))
    ask = await world.ask(client)
    assert (await refused(world, ask, days=8)).code is Code.INVALID_PARAMS
    assert "code=" in await world.allow(ask, days=None)


@pytest.mark.requirement("C-18")
async def test_a_fixed_server_cannot_be_exchanged_and_an_unknown_one_not_chosen(
    world: World,
) -> None:
    client = await world.register()
    await world.ceiling(world.alice, Level.LOW, server="notes")
    ask = await world.ask(client)
    assert (await refused(world, ask, server="notes")).code is Code.INVALID_PARAMS
    free = await world.ask(client, resource=None)
    assert (await refused(world, free, server="nobody")).code is Code.FORBIDDEN
    assert "code=" in await world.allow(free, server="notes")


async def test_a_suspended_person_grants_nothing(world: World) -> None:
    """Pitfall 26."""
    client = await world.register()
    ask = await world.ask(client)
    async with world.database.write() as tx:
        await people.set_active(tx, world.host.key, world.alice.id, active=False)
    alice = await world.people.get(world.host.key, world.alice.id)
    assert (await refused(world, ask, person=alice)).code is Code.FORBIDDEN


async def test_a_client_blocked_or_changed_after_the_page_gets_nothing(world: World) -> None:
    """Pitfall 13."""
    agent = ClientId("https://agent.example/client.json")
    said = {"client_id": agent, "client_name": "Agent", "redirect_uris": [WEB]}
    world.web.publish(agent, said, max_age=0)
    ask = await world.ask(agent, redirect_uri=WEB)
    world.web.publish(agent, {**said, "client_name": "Bank"}, max_age=0)
    await world.clients.get(world.host, agent)
    assert (await refused(world, ask)).code is Code.CONFLICT

    ask = await world.ask(agent, redirect_uri=WEB)
    async with world.database.write() as tx:
        await set_blocked(tx, world.host.key, agent, blocked=True)
    assert (await refused(world, ask)).code is Code.CONFLICT


@pytest.mark.requirement("AS-08", "SEC-02")
@pytest.mark.parametrize(
    "changed",
    [{"client_name": "Bank"}, {"redirect_uris": [WEB, WEB + "2"]}, {"jwks": {"keys": []}}],
    ids=lambda changed: next(iter(changed)),
)
async def test_a_client_is_shown_and_answered_as_it_was_when_it_asked(
    world: World, changed: dict[str, object]
) -> None:
    """Pitfalls 13 and 40: a document that changes while a person reads is asked about anew.

    Each page and each answer looks the ask up again, so the answer alone would not notice.
    """
    agent = ClientId("https://agent.example/client.json")
    said = {"client_id": agent, "client_name": "Agent", "redirect_uris": [WEB]}
    world.web.publish(agent, said, max_age=0)
    ask = await world.ask(agent, redirect_uri=WEB)
    world.web.publish(agent, {**said, **changed}, max_age=0)

    with pytest.raises(Refused) as error:
        await world.authorizations.ask(world.host, ask.id, browser="b", subject=world.alice.id)

    assert error.value.code is Code.CONFLICT
    assert "code=" in await world.allow(await world.ask(agent, redirect_uri=WEB))


@pytest.mark.requirement("S-04", "S-05", "S-07")
async def test_a_session_never_outlives_its_consent_or_the_hosts_limit(world: World) -> None:
    world.policies(sessions=SessionPolicy(idle_days=3, absolute_days=10))
    client = await world.register()
    for days, lives in ((4, 4), (30, 10)):
        tokens = await world.redeem(
            client, answer_of(await world.allow(await world.ask(client), days=days))["code"]
        )
        access = await world.verifier.find(world.host.key, tokens.json()["access_token"])
        assert access is not None
        session = await world.sessions.get(world.host.key, access.session)
        assert session is not None
        assert session.ends_at == world.clock.now() + timedelta(days=lives)
        assert session.idle_seconds == 3 * 86_400


class TestReuse:
    """C-28: a second connection of a web client needs no second screen."""

    async def connected(self, world: World, redirect_uri: str = WEB) -> str:
        client = await world.register(redirect_uri)
        ask = await world.ask(client, redirect_uri=redirect_uri)
        await world.allow(ask, level=Level.MEDIUM)
        return client

    async def reusable(self, world: World, client: str, **said: str | None) -> bool:
        person: Person = world.alice
        ask = await world.ask(client, **({"redirect_uri": WEB} | said))
        return await world.authorizations.reusable(world.host, ask, person) is not None

    @pytest.mark.requirement("C-28")
    async def test_a_live_consent_with_a_live_session_answers_again(self, world: World) -> None:
        client = await self.connected(world)
        ask = await world.ask(client, redirect_uri=WEB, scope="mcp mcp:medium")
        location = await world.authorizations.resume(
            world.host, ask, person=world.alice, browser="b", ip=None, user_agent=None
        )
        assert location is not None
        answer = await world.redeem(client, answer_of(location)["code"], redirect_uri=WEB)
        assert answer.json()["scope"] == "mcp mcp:medium"
        assert len(world.events("consent.granted")) == 1
        assert len(world.events("session.opened")) == 2

    @pytest.mark.parametrize(
        "said",
        [
            {"prompt": "consent"},
            {"prompt": "login"},
            {"scope": "mcp:high"},
            {"resource": f"{ORIGIN}/mcp/notes"},
            {"resource": f"{ORIGIN}/mcp"},
        ],
    )
    @pytest.mark.requirement("C-28")
    async def test_what_is_more_than_was_allowed_is_asked_again(
        self, world: World, said: dict[str, str | None]
    ) -> None:
        """Pitfall 20."""
        client = await self.connected(world)
        assert await self.reusable(world, client)
        assert not await self.reusable(world, client, **said)

    @pytest.mark.parametrize("redirect_uri", [NATIVE, "cursor://x/cb"])
    async def test_a_program_on_this_machine_is_asked_about_every_time(
        self, world: World, redirect_uri: str
    ) -> None:
        """Pitfall 20; RFC 8252 section 8.6."""
        client = await self.connected(world, redirect_uri)
        assert not await self.reusable(world, client, redirect_uri=redirect_uri)

    async def test_another_address_of_the_same_client_is_asked_about(self, world: World) -> None:
        """Pitfall 20."""
        other = "https://agent.example/other"
        client = await world.register(WEB, other)
        await world.allow(await world.ask(client, redirect_uri=WEB), level=Level.MEDIUM)
        assert await self.reusable(world, client)
        assert not await self.reusable(world, client, redirect_uri=other)

    async def test_nothing_is_reused_for_anybody_or_anything_else(self, world: World) -> None:
        """Pitfalls 19 and 20: another person, client, ended session or consent, no ceiling."""
        client = await self.connected(world)
        other = await world.register(WEB, client_name="Other")
        assert not await self.reusable(world, other)
        ask = await world.ask(client, person=world.bob, redirect_uri=WEB)
        assert await world.authorizations.reusable(world.host, ask, world.bob) is None
        assert (
            await world.authorizations.resume(
                world.host, ask, person=world.bob, browser="b", ip=None, user_agent=None
            )
            is None
        )
        await world.ceiling(world.alice, None)
        assert not await self.reusable(world, client)
        await world.ceiling(world.alice, Level.MEDIUM)
        assert await self.reusable(world, client)
        (opened,) = world.events("session.opened")
        await world.revocations.end_session(
            world.host.key, opened["session"], by="alice", because="test"
        )
        assert not await self.reusable(world, client)

    async def test_an_expired_consent_is_asked_again(self, world: World) -> None:
        client = await self.connected(world)
        world.advance(days=31)
        assert not await self.reusable(world, client)

    @pytest.mark.parametrize(
        "changed",
        [
            {"redirect_uris": [WEB, WEB + "2"]},
            {"client_name": "Bank"},
            {"jwks_uri": "https://agent.example/other.json"},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    async def test_a_client_that_changed_is_asked_about_again(
        self, world: World, changed: dict[str, object]
    ) -> None:
        """Pitfalls 20 and 40."""
        agent = ClientId("https://agent.example/client.json")
        said = {"client_id": agent, "client_name": "Agent", "redirect_uris": [WEB]}
        world.web.publish(agent, said, max_age=0)
        await world.allow(await world.ask(agent, redirect_uri=WEB), level=Level.MEDIUM)
        assert await self.reusable(world, agent)
        world.web.publish(agent, {**said, **changed}, max_age=0)
        assert not await self.reusable(world, agent)
