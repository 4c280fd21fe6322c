"""The token endpoint: codes, refresh tokens, and what keeps them from working."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct import people
from safeconduct.core.model import ClientId, Level, ServerKey, SessionId
from safeconduct.core.secrets import Secret, digest
from safeconduct.hosts import SessionPolicy, TokenPolicy
from safeconduct.oauth import remove_client, set_blocked
from safeconduct.oauth.token import VERIFIER as VERIFIERS
from tests.oauth.basic import strict_basic
from tests.oauth.world import LEDGER, NATIVE, ORIGIN, VERIFIER, WEB, World, answer_of, challenge


def basic(client: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}


@pytest.mark.requirement("T-09", "T-12", "AS-14", "AS-15", "T-10")
@pytest.mark.parametrize(("level", "scope"), [(Level.LOW, "mcp"), (Level.MEDIUM, "mcp mcp:medium")])
async def test_a_code_becomes_tokens(world: World, level: Level, scope: str) -> None:
    client = await world.register()
    answer = await world.redeem(client, await world.code(client, level=level, scope=scope))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"  # pitfall 33
    said = answer.json()
    assert said["access_token"].startswith("sc_at_")
    assert said["refresh_token"].startswith("sc_rt_")
    assert (said["token_type"], said["expires_in"], said["scope"]) == ("Bearer", 900, scope)
    access = await world.verifier.find(world.host.key, said["access_token"])
    assert access is not None
    assert (access.subject, access.client, access.server) == (world.alice.id, client, "ledger")
    assert (access.resource, access.scope) == (LEDGER, tuple(scope.split()))
    assert access.expires_at == world.clock.seconds() + 900


async def test_a_client_is_not_told_of_more_than_it_asked_for(world: World) -> None:
    """Clients in the field refuse an answer with a scope they did not ask for."""
    client = await world.register()
    tokens = await world.tokens(client, level=Level.HIGH, person=world.bob, scope="mcp mcp:medium")
    assert tokens["scope"] == "mcp mcp:medium"
    again = await world.refresh(client, tokens["refresh_token"])
    assert again.json()["scope"] == "mcp mcp:medium"


@pytest.mark.requirement("AS-17", "T-05", "T-11")
@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"code_verifier": None}, "invalid_grant"),
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": "v" * 42}, "invalid_grant"),
        ({"code_verifier": challenge()}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:1/callback"}, "invalid_grant"),
        ({"redirect_uri": WEB}, "invalid_grant"),
        ({"resource": f"{ORIGIN}/mcp"}, "invalid_target"),
        ({"resource": f"{ORIGIN}/mcp/notes"}, "invalid_target"),
        ({"resource": "https://evil.example/mcp"}, "invalid_target"),
    ],
)
async def test_a_code_is_bound_to_its_request_and_one_wrong_try_uses_it_up(
    world: World, said: dict[str, str | None], error: str
) -> None:
    """Pitfalls 5 and 6."""
    client = await world.register()
    code = await world.code(client)
    answer = await world.redeem(client, code, **said)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert (await world.redeem(client, code)).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("resource", [None, f"{LEDGER}/", "HTTPS://ACME.TEST/mcp/ledger"])
async def test_the_resource_may_be_left_out_or_repeated_in_another_form(
    world: World, resource: str | None
) -> None:
    client = await world.register()
    answer = await world.redeem(client, await world.code(client), resource=resource)
    assert answer.status_code == 200


@pytest.mark.parametrize("length", [43, 86, 128])
async def test_a_verifier_may_be_as_long_as_the_standard_says(world: World, length: int) -> None:
    """RFC 7636 section 4.1."""
    client = await world.register()
    verifier = "~" * length
    code = await world.code(client, code_challenge=challenge(verifier))
    assert (await world.redeem(client, code, code_verifier=verifier)).status_code == 200


@pytest.mark.requirement("T-05")
@pytest.mark.parametrize("verifier", ["v" * 42, "v" * 129, "v" * 42 + "+", "v" * 42 + "\u00e9"])
async def test_a_verifier_of_another_form_is_refused_even_if_it_fits(
    world: World, verifier: str
) -> None:
    """Pitfall 5."""
    client = await world.register()
    code = await world.code(client, code_challenge=challenge(verifier))
    answer = await world.redeem(client, code, code_verifier=verifier)
    assert answer.json()["error"] == "invalid_grant"


@given(st.text(max_size=140))
def test_only_unreserved_characters_make_a_verifier(text: str) -> None:
    """Pitfall 5."""
    if VERIFIERS.fullmatch(text):
        assert 43 <= len(text) <= 128
        assert text.isascii()


@pytest.mark.requirement("AS-17")
async def test_another_clients_attempt_neither_works_nor_uses_the_code_up(world: World) -> None:
    """Pitfall 9, by choice: it proves nothing about the client the code belongs to."""
    mine, other = await world.register(), await world.register(client_name="Other")
    code = await world.code(mine)
    assert (await world.redeem(other, code)).json()["error"] == "invalid_grant"
    assert (await world.redeem(mine, code)).status_code == 200


@pytest.mark.requirement("T-09")
async def test_a_code_lives_for_sixty_seconds(world: World) -> None:
    """Pitfall 9."""
    client = await world.register()
    early, late = await world.code(client), await world.code(client)
    world.advance(seconds=59)
    assert (await world.redeem(client, early)).status_code == 200
    world.advance(seconds=1)
    assert (await world.redeem(client, late)).json()["error"] == "invalid_grant"
    world.advance(seconds=-60)  # pitfall 59: a leap to the past does not revive it
    assert (await world.redeem(client, late)).json()["error"] == "invalid_grant"


@pytest.mark.requirement("AS-17")
async def test_a_replayed_code_kills_what_came_of_it(world: World) -> None:
    """Pitfall 7; RFC 6749 section 4.1.2. The end survives the refusal."""
    client = await world.register()
    code = await world.code(client)
    tokens = (await world.redeem(client, code)).json()
    assert await world.alive(tokens["access_token"])

    assert (await world.redeem(client, code)).json()["error"] == "invalid_grant"

    assert not await world.alive(tokens["access_token"])
    assert await world.verifier.find(world.host.key, tokens["access_token"]) is None
    refreshed = await world.refresh(client, tokens["refresh_token"])
    assert refreshed.json()["error"] == "invalid_grant"
    assert len(world.events("code.reuse")) == 1


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"code": None}, "invalid_request"),
        ({"code": "sc_ac_unknown"}, "invalid_grant"),
        ({"code": "é" * 50}, "invalid_grant"),
        ({"code": "x" * 4000}, "invalid_grant"),
    ],
)
async def test_other_requests_are_refused_in_oauths_words(
    world: World, said: dict[str, str | None], error: str
) -> None:
    """RFC 6749 section 5.2."""
    client = await world.register()
    form: dict[str, str | None] = {
        "grant_type": "authorization_code",
        "code": await world.code(client),
        "code_verifier": VERIFIER,
        "client_id": client,
        "redirect_uri": NATIVE,
    }
    answer = await world.post("/oauth/token", **(form | said))
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_tokens_are_not_each_other(world: World) -> None:
    """Pitfall 31."""
    client = await world.register()
    tokens = await world.tokens(client)
    code = await world.code(client)
    for wrong in (tokens["access_token"], code):
        assert (await world.refresh(client, wrong)).json()["error"] == "invalid_grant"
    for wrong in (tokens["refresh_token"], code, "", "x" * 9999):
        assert await world.verifier.find(world.host.key, wrong) is None
        assert world.verifier.held(world.host.key, digest(wrong)) is None
    assert (await world.redeem(client, tokens["refresh_token"])).status_code == 400


async def test_a_token_of_one_host_is_nothing_to_another(world: World) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    assert await world.verifier.find(world.other.key, tokens["access_token"]) is None
    assert world.verifier.held(world.other.key, digest(tokens["access_token"])) is None
    mine, world.host = world.host, world.other
    answer = await world.refresh(client, tokens["refresh_token"])
    assert answer.json()["error"] == "invalid_client"
    world.host = mine
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


class TestClientAuthentication:
    @pytest.mark.requirement("T-29", "AS-01")
    async def test_an_unknown_client_gets_the_answer_that_makes_it_register_anew(
        self, world: World
    ) -> None:
        """Clients in the field recover from exactly this, and from nothing else."""
        answer = await world.refresh("sc_client_forgotten", "sc_rt_x")
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
        assert "www-authenticate" not in answer.headers

    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    async def test_the_registered_method_and_secret_are_needed(
        self, world: World, method: str
    ) -> None:
        """Pitfalls 22 and 24."""
        body = {
            "client_name": "C",
            "redirect_uris": [NATIVE],
            "token_endpoint_auth_method": method,
        }
        said = (await world.http.post("/oauth/register", json=body)).json()
        client, secret = said["client_id"], said["client_secret"]
        code = await world.code(client)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": VERIFIER,
            "redirect_uri": NATIVE,
        }
        by_basic = method == "client_secret_basic"
        wrong: list[tuple[dict[str, str], dict[str, str | None]]] = [
            ({}, {"client_id": client}),
            ({}, {"client_id": client, "client_secret": "sc_cs_wrong"}),
            ({}, {"client_id": client, "client_secret": "\u00e9\U0001f600"}),
            (basic(client, "wrong"), {}),
            (basic(client, "\u00e9"), {}),
            (basic(client, ""), {}),
            (basic("nobody", secret), {}),
            ({"authorization": f"Bearer {secret}"}, {"client_id": client}),
            ({"authorization": "Basic ???"}, {"client_id": client}),
            ({"authorization": "Basic"}, {"client_id": client}),
            # the right secret in the wrong place
            ({}, {"client_id": client, "client_secret": secret})
            if by_basic
            else (basic(client, secret), {}),
        ]
        for headers, extra in wrong:
            answer = await world.post("/oauth/token", headers=headers, **form, **extra)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
            assert ("www-authenticate" in answer.headers) == ("authorization" in headers)
        right = basic(client, secret) if by_basic else {}
        more = {} if by_basic else {"client_id": client, "client_secret": secret}
        answer = await world.post("/oauth/token", headers=right, **form, **more)
        assert answer.status_code == 200

    async def test_basic_credentials_are_form_decoded_at_every_endpoint(self, world: World) -> None:
        """RFC 6749 section 2.3.1, as strict clients encode them; otherwise encoded, another's."""
        secret = "s-e_c.r~e!t*'()+ %25:&=/ \u00fc"
        async with world.database.write() as tx:
            await world.clients.register_configured(
                tx, world.host.key, ClientId("c-l_i.e~n+t"), "C", (NATIVE,), Secret(secret)
            )
        form = {"grant_type": "refresh_token", "refresh_token": "sc_rt_x"}
        right = {"authorization": strict_basic("c-l_i.e~n+t", secret)}
        padded = {"authorization": right["authorization"] + "="}
        for wrong in (basic("c-l_i.e~n+t", secret), padded):
            answer = await world.post("/oauth/token", headers=wrong, **form)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
            answer = await world.post("/oauth/revoke", headers=wrong, token="sc_rt_x")
            assert answer.status_code == 401

        answer = await world.post("/oauth/token", headers=right, **form)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        answer = await world.post("/oauth/revoke", headers=right, token="sc_rt_x")
        assert answer.status_code == 200

    async def test_two_methods_or_two_ids_at_once_are_refused(self, world: World) -> None:
        """Pitfall 22."""
        async with world.database.write() as tx:
            await world.clients.register_configured(
                tx, world.host.key, ClientId("c"), "C", (NATIVE,), Secret("s")
            )
        form = {"grant_type": "refresh_token", "refresh_token": "sc_rt_x"}
        both = await world.post(
            "/oauth/token", headers=basic("c", "s"), client_id="c", client_secret="s", **form
        )
        assert both.json()["error"] == "invalid_request"
        other = await world.post("/oauth/token", headers=basic("c", "s"), client_id="d", **form)
        assert other.json()["error"] == "invalid_client"
        one = await world.post("/oauth/token", headers=basic("c", "s"), client_id="c", **form)
        assert one.json()["error"] == "invalid_grant"

    async def test_a_public_client_may_not_send_a_secret(self, world: World) -> None:
        """Pitfall 22."""
        client = await world.register()
        answer = await world.refresh(client, "sc_rt_x", client_secret="x")
        assert answer.json()["error"] == "invalid_client"


class TestRefresh:
    @pytest.mark.requirement("T-12", "AS-14")
    async def test_a_refresh_token_is_rotated(self, world: World) -> None:
        """Pitfall 25; mcpc sends neither resource nor scope, others add words we drop."""
        client = await world.register()
        tokens = await world.tokens(client)
        for said in ({}, {"resource": LEDGER}, {"scope": "mcp mcp:high offline_access"}):
            before = tokens["refresh_token"]
            answer = await world.refresh(client, before, **said)
            assert answer.status_code == 200
            tokens = answer.json()
            assert tokens["refresh_token"] != before
            assert tokens["scope"] == "mcp"  # asking for more widens nothing
            access = await world.verifier.find(world.host.key, tokens["access_token"])
            assert access is not None
            assert access.resource == LEDGER

    async def test_another_audience_is_refused(self, world: World) -> None:
        """Pitfall 25."""
        client = await world.register()
        tokens = await world.tokens(client)
        for resource in (f"{ORIGIN}/mcp", f"{ORIGIN}/mcp/notes", "https://evil.example/"):
            answer = await world.refresh(client, tokens["refresh_token"], resource=resource)
            assert answer.json()["error"] == "invalid_target"
        assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200

    async def test_another_clients_refresh_token_is_refused(self, world: World) -> None:
        """Pitfall 25."""
        client, other = await world.register(), await world.register(client_name="Other")
        tokens = await world.tokens(client)
        answer = await world.refresh(other, tokens["refresh_token"])
        assert answer.json()["error"] == "invalid_grant"
        assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200

    @pytest.mark.requirement("T-12")
    async def test_past_the_cap_of_the_grace_period_the_session_ends(self, world: World) -> None:
        """Pitfall 25."""
        client = await world.register()
        tokens = await world.tokens(client)
        answers = [await world.refresh(client, tokens["refresh_token"]) for _ in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 6 + [400]
        said = [event.get("reason") for event in world.events("token.issued")]
        assert said == [None, None] + ["refresh.again"] * 5  # by the code, by its refresh, again
        for answer in answers[:6]:
            assert not await world.alive(answer.json()["access_token"])
        (event,) = world.events("token.reuse")
        assert event["decision"] == "deny"

    @pytest.mark.requirement("T-12", "AS-14")
    @pytest.mark.parametrize(("seconds", "status"), [(29, 200), (30, 400), (3600, 400)])
    async def test_reuse_after_the_grace_period_ends_the_session(
        self, world: World, seconds: int, status: int
    ) -> None:
        """Pitfall 25; RFC 9700 section 4.14.2."""
        client = await world.register()
        tokens = await world.tokens(client)
        successor = (await world.refresh(client, tokens["refresh_token"])).json()
        world.advance(seconds=seconds)
        assert (await world.refresh(client, tokens["refresh_token"])).status_code == status
        survivor = await world.refresh(client, successor["refresh_token"])
        assert survivor.status_code == status
        assert len(world.events("token.reuse")) == (status == 400)

    async def test_a_clock_that_leaps_back_does_not_open_the_grace_period_again(
        self, world: World
    ) -> None:
        """Pitfall 59."""
        client = await world.register()
        tokens = await world.tokens(client)
        assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200
        world.advance(seconds=-60)
        assert (await world.refresh(client, tokens["refresh_token"])).status_code == 400

    async def test_a_host_may_do_without_grace(self, world: World) -> None:
        world.policies(tokens=TokenPolicy(refresh_grace_seconds=0))
        client = await world.register()
        tokens = await world.tokens(client)
        assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200
        assert (await world.refresh(client, tokens["refresh_token"])).status_code == 400

    @pytest.mark.requirement("T-12", "S-05", "T-28")
    async def test_refreshing_ends_with_the_session(self, world: World) -> None:
        client = await world.register()
        tokens = await world.tokens(client)  # consented to for 30 days
        world.advance(days=29, hours=23, minutes=50)
        tokens = (await world.refresh(client, tokens["refresh_token"])).json()
        assert tokens["expires_in"] == 600  # no longer than the session
        world.advance(minutes=10)
        answer = await world.refresh(client, tokens["refresh_token"])
        assert answer.json()["error"] == "invalid_grant"

    @pytest.mark.requirement("S-04", "T-28")
    async def test_a_refresh_token_that_rested_too_long_is_late(self, world: World) -> None:
        world.policies(sessions=SessionPolicy(idle_days=3))
        client = await world.register()
        tokens = await world.tokens(client)
        (opened,) = world.events("session.opened")
        world.advance(days=2)  # the session is used meanwhile, the token is not
        session = await world.sessions.get(world.host.key, SessionId(opened["session"]))
        assert session is not None
        world.sessions.touch(session, world.clock.seconds())
        await world.sessions.flush()
        world.advance(days=1)
        answer = await world.refresh(client, tokens["refresh_token"])
        assert answer.json()["error"] == "invalid_grant"

    async def test_a_client_that_did_not_register_for_it_does_not_refresh(
        self, world: World
    ) -> None:
        client = await world.register(grant_types=["authorization_code"])
        assert "refresh_token" not in await world.tokens(client)

    async def test_a_client_that_says_it_does_not_refresh_any_more_does_not(
        self, world: World
    ) -> None:
        agent = ClientId("https://agent.example/client.json")
        said = {"client_id": agent, "client_name": "Agent", "redirect_uris": [NATIVE]}
        world.web.publish(agent, said, max_age=0)
        tokens = await world.tokens(agent)
        tokens = (await world.refresh(agent, tokens["refresh_token"])).json()
        world.web.publish(agent, {**said, "grant_types": ["authorization_code"]}, max_age=0)
        await world.clients.get(world.host, agent)
        answer = await world.refresh(agent, tokens["refresh_token"])
        assert answer.json()["error"] == "unauthorized_client"

    @pytest.mark.requirement("T-42", "S-06", "Z-24")
    @pytest.mark.parametrize(
        "what",
        ["person", "client", "session", "consent", "ceiling", "server ceiling moved", "expiry"],
    )
    async def test_a_token_request_needs_everything_it_stands_on(
        self, world: World, what: str
    ) -> None:
        """Pitfall 26."""
        client = await world.register()
        tokens = await world.tokens(client)
        host, alice = world.host.key, world.alice.id
        (opened,) = world.events("session.opened")
        async with world.database.write() as tx:
            if what == "person":
                await people.set_active(tx, host, alice, active=False)
            if what == "client":
                await set_blocked(tx, host, ClientId(client), blocked=True)
        match what:
            case "session":
                await world.revocations.end_session(host, opened["session"], by="a", because="t")
            case "consent":
                await world.revocations.end_consent(host, opened["consent"], by="a", because="t")
            case "ceiling":
                await world.ceiling(world.alice, None)
            case "server ceiling moved":
                await world.ceiling(world.alice, None)
                await world.ceiling(world.alice, Level.HIGH, server="notes")
            case "expiry":
                world.advance(days=30)
        answer = await world.refresh(client, tokens["refresh_token"])
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")

    async def test_a_code_needs_everything_it_stands_on(self, world: World) -> None:
        """Pitfall 26."""
        client = await world.register()
        code = await world.code(client)
        await world.ceiling(world.alice, None)
        assert (await world.redeem(client, code)).json()["error"] == "invalid_grant"
        assert world.events("token.refused")[0]["reason"] == "ceiling.none"

    async def test_a_forgotten_client_is_told_that_it_is_unknown(self, world: World) -> None:
        """Pitfall 26."""
        client = await world.register()
        tokens = await world.tokens(client)
        async with world.database.write() as tx:
            await remove_client(tx, world.host.key, ClientId(client))
        answer = await world.refresh(client, tokens["refresh_token"])
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")

    @pytest.mark.requirement("K-03", "T-29")
    async def test_people_who_share_a_client_share_nothing_else(self, world: World) -> None:
        client = await world.register()
        alice = await world.tokens(client, level=Level.LOW)
        bob = await world.tokens(client, level=Level.HIGH, person=world.bob, scope="mcp mcp:high")
        assert bob["scope"] == "mcp mcp:medium mcp:high"
        assert (await world.refresh(client, alice["refresh_token"])).json()["scope"] == "mcp"
        await world.revocations.end_person(
            world.host.key, world.bob.id, by="bob", because="person.revoked"
        )
        assert not await world.alive(bob["access_token"])
        assert await world.alive(alice["access_token"])

    async def test_a_narrowed_consent_narrows_the_next_token(self, world: World) -> None:
        client = await world.register()
        tokens = await world.tokens(client, level=Level.MEDIUM)
        await world.allow(await world.ask(client), level=Level.LOW)
        answer = await world.refresh(client, tokens["refresh_token"])
        assert answer.json()["scope"] == "mcp"


async def test_nothing_usable_stands_in_the_database_the_trail_or_an_error(world: World) -> None:
    """Pitfalls 57 and 58: every handle of a whole life, searched for afterwards."""
    client = await world.register()
    code = await world.code(client)
    tokens = (await world.redeem(client, code)).json()
    more = (await world.refresh(client, tokens["refresh_token"])).json()
    errors = (await world.redeem(client, code)).text + (await world.refresh(client, code)).text
    stored = b"".join(path.read_bytes() for path in world.directory.glob("t.db*"))
    written = str(world.events()).encode()
    for handle in (
        code,
        VERIFIER,
        *(pair[name] for pair in (tokens, more) for name in ("access_token", "refresh_token")),
    ):
        assert handle.encode() not in stored + written + errors.encode()


async def test_a_person_may_hold_several_servers_through_one_client(world: World) -> None:
    await world.ceiling(world.alice, Level.LOW, server="notes")
    client = await world.register()
    first = await world.tokens(client)
    ask = await world.ask(client, resource=f"{ORIGIN}/mcp")
    code = answer_of(await world.allow(ask, server="notes"))["code"]
    second = (await world.redeem(client, code, resource=f"{ORIGIN}/mcp")).json()
    found = [
        await world.verifier.find(world.host.key, pair["access_token"]) for pair in (first, second)
    ]
    assert [one.server for one in found if one] == [ServerKey("ledger"), ServerKey("notes")]
