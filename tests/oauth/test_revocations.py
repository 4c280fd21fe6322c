"""Ending what was granted, and what a token stands for."""

from __future__ import annotations

from typing import Any

import pytest

from safeconduct import consent, sessions
from safeconduct.core.model import ClientId, ConsentId, Level, ServerKey, SessionId
from safeconduct.core.secrets import digest
from tests.oauth.world import World


class Connected:
    """One person's connection through one client."""

    def __init__(self, world: World, client: str, tokens: dict[str, Any]) -> None:
        self.world = world
        self.client = client
        self.tokens = tokens
        (opened,) = [one for one in world.events("session.opened") if one["client"] == client]
        self.session = SessionId(opened["session"])
        self.consent = ConsentId(opened["consent"])

    async def dead(self) -> bool:
        """Say whether neither the access token nor a refresh works any more."""
        gone = (
            await self.world.verifier.find(self.world.host.key, self.tokens["access_token"])
        ) is None
        held = self.world.verifier.held(self.world.host.key, digest(self.tokens["access_token"]))
        refreshed = await self.world.refresh(self.client, self.tokens["refresh_token"])
        assert (refreshed.status_code != 200) == gone
        return gone and held is None


async def connected(world: World, name: str = "Agent") -> Connected:
    client = await world.register(client_name=name)
    tokens = await world.tokens(client)
    await world.verifier.find(world.host.key, tokens["access_token"])
    assert world.verifier.held(world.host.key, digest(tokens["access_token"])) is not None
    return Connected(world, client, tokens)


@pytest.mark.requirement("S-06", "T-13", "Z-24", "L-05", "S-08")
@pytest.mark.parametrize("what", ["session", "consent", "access", "person", "client"])
async def test_what_is_ended_is_dead_when_the_call_returns(world: World, what: str) -> None:
    one, other = await connected(world), await connected(world, "Other")
    revocations, host = world.revocations, world.host.key
    said = {"by": "alice@acme.test", "because": "person.revoked"}
    match what:
        case "session":
            assert await revocations.end_session(host, one.session, **said)
            assert not await revocations.end_session(host, one.session, **said)
        case "consent":
            assert await revocations.end_consent(host, one.consent, **said)
            assert not await revocations.end_consent(host, one.consent, **said)
        case "access":
            ended = await revocations.end_access(host, world.alice.id, ServerKey("ledger"), **said)
            assert ended == 2
        case "person":
            assert await revocations.end_person(host, world.alice.id, **said) == 2
        case "client":
            assert await revocations.end_client(host, ClientId(one.client), **said) == 1

    assert await one.dead()
    assert await other.dead() == (what in ("access", "person"))
    event = next(one for one in world.events("session.ended"))
    assert (event["reason"], event["detail"]) == ("person.revoked", {"by": "alice@acme.test"})
    consent = await world.consents.get(
        host, world.alice.id, ClientId(one.client), ServerKey("ledger")
    )
    assert consent is not None
    assert (consent.ended_at is None) == (what == "session")


async def test_ending_the_access_to_one_server_leaves_the_others(world: World) -> None:
    one = await connected(world)
    said = {"by": "x", "because": "x"}
    host, alice = world.host.key, world.alice.id
    assert await world.revocations.end_access(host, alice, ServerKey("notes"), **said) == 0
    assert await world.revocations.end_access(host, world.bob.id, ServerKey("ledger"), **said) == 0
    assert not await one.dead()


@pytest.mark.requirement("T-42", "S-06")
@pytest.mark.parametrize("what", ["session", "consent"])
async def test_a_row_that_ended_by_any_hand_refuses_the_next_refresh(
    world: World, what: str
) -> None:
    """Pitfall 26: the token request looks at the row, not at who ended it."""
    one = await connected(world)
    host, now = world.host.key, world.clock.now()
    async with world.database.write() as tx:
        if what == "session":
            await sessions.end(tx, host, one.session, at=now, because="test")
        else:
            found = await consent.by_id(tx, host, one.consent)
            assert found is not None
            await consent.end(tx, found, at=now, because="test")
    answer = await world.refresh(one.client, one.tokens["refresh_token"])
    assert answer.json()["error"] == "invalid_grant"


async def test_nothing_of_another_host_is_ended(world: World) -> None:
    one = await connected(world)
    host, said = world.other.key, {"by": "x", "because": "x"}
    assert not await world.revocations.end_session(host, one.session, **said)
    assert not await world.revocations.end_consent(host, one.consent, **said)
    assert await world.revocations.end_person(host, world.alice.id, **said) == 0
    assert not await one.dead()


async def test_nothing_is_ended_that_is_not_written_down(world: World) -> None:
    one = await connected(world)
    world.trail.close()
    with pytest.raises(Exception, match="audit trail"):
        await world.revocations.end_session(world.host.key, one.session, by="alice", because="x")
    assert await world.verifier.find(world.host.key, one.tokens["access_token"]) is not None


class TestEndpoint:
    @pytest.mark.requirement("T-13")
    async def test_a_client_gives_its_session_back(self, world: World) -> None:
        """RFC 7009; pitfall 32: public clients can revoke."""
        one = await connected(world)
        answer = await world.post(
            "/oauth/revoke",
            client_id=one.client,
            token=one.tokens["refresh_token"],
            token_type_hint="access_token",
        )
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert await one.dead()
        assert world.events("session.ended")[0]["reason"] == "client.revoked"

    @pytest.mark.requirement("T-13")
    async def test_an_access_token_goes_alone(self, world: World) -> None:
        one = await connected(world)
        await world.post("/oauth/revoke", client_id=one.client, token=one.tokens["access_token"])
        assert await world.verifier.find(world.host.key, one.tokens["access_token"]) is None
        assert (await world.refresh(one.client, one.tokens["refresh_token"])).status_code == 200

    async def test_anybody_elses_token_stays(self, world: World) -> None:
        """Pitfall 32; RFC 7009 section 2.2: the answer does not tell."""
        one, other = await connected(world), await connected(world, "Other")
        for token in (*one.tokens.values(), "unknown", "sc_at_unknown"):
            answer = await world.post("/oauth/revoke", client_id=other.client, token=str(token))
            assert answer.status_code == 200
        assert not await one.dead()

    async def test_an_unknown_client_or_no_token_is_refused(self, world: World) -> None:
        one = await connected(world)
        answer = await world.post(
            "/oauth/revoke", client_id="nobody", token=one.tokens["access_token"]
        )
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        answer = await world.post("/oauth/revoke", client_id=one.client)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.requirement("Z-22", "S-08")
async def test_housekeeping_ends_the_session_of_a_code_nobody_came_for(world: World) -> None:
    client = await world.register()
    await world.code(client)
    kept = await connected(world, "Kept")
    (opened,) = [one for one in world.events("session.opened") if one["client"] == client]
    world.advance(seconds=61)
    for _ in range(2):
        await world.housekeeping.clean()
    session = await world.sessions.get(world.host.key, SessionId(opened["session"]))
    assert session is not None
    assert session.ended_because == "code.unused"
    (ended,) = world.events("session.ended")
    assert (ended["session"], ended["reason"]) == (session.id, "code.unused")
    assert (ended["subject"], ended["client"], ended["server"]) == (
        session.subject,
        client,
        session.server,
    )
    assert not await kept.dead()


async def test_a_late_token_is_still_found_and_says_that_it_is_late(world: World) -> None:
    """Pitfall 59: expiry is the caller's to judge, by one clock."""
    one = await connected(world)
    world.advance(seconds=900)
    access = world.verifier.held(world.host.key, digest(one.tokens["access_token"]))
    assert access is not None
    assert access.expires_at <= world.clock.seconds()


async def test_a_new_consent_does_not_end_what_runs(world: World) -> None:
    one = await connected(world)
    await world.allow(await world.ask(one.client), level=Level.MEDIUM)
    assert not await one.dead()
