"""The authorization endpoint: who may ask, and where a refusal may go."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import ClientId, Level
from safeconduct.hosts import ClientPolicy, PinnedDocument
from safeconduct.oauth import set_blocked
from tests.oauth.world import LEDGER, NATIVE, ORIGIN, WEB, World, answer_of, challenge


@pytest.mark.requirement("T-09", "AS-01")
@pytest.mark.parametrize("path", ["/oauth/authorize", "/authorize"])
async def test_a_request_leads_to_the_persons_decision(world: World, path: str) -> None:
    client = await world.register()
    query = urlencode(
        {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": NATIVE,
            "code_challenge": challenge(),
            "code_challenge_method": "S256",
        }
    )
    answer = await world.http.get(f"{path}?{query}")

    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{ORIGIN}/consent?request=ask_")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"  # pitfall 21


async def test_asking_twice_makes_two_asks_and_uses_nothing_up(world: World) -> None:
    """Some clients try the address themselves before they open the browser."""
    client = await world.register()
    first = await world.authorize(client)
    second = await world.authorize(client)
    assert first.headers["location"] != second.headers["location"]
    ask = await world.ask(client)
    assert (
        await world.redeem(client, answer_of(await world.allow(ask))["code"])
    ).status_code == 200


@pytest.mark.requirement("AS-05")
@pytest.mark.parametrize(
    "said",
    [
        {"client_id": None},
        {"client_id": "sc_client_unknown"},
        {"client_id": "https://unknown.example/client.json"},
        {"client_id": "https://127.0.0.1/client.json"},
        {"client_id": "x" * 3000},
        {"redirect_uri": "https://evil.example/cb"},
        {"redirect_uri": "http://127.0.0.1:33713/other"},
        {"redirect_uri": "http://localhost:33713/callback"},
        {"redirect_uri": "https://evil.example/cb", "response_type": "token"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "x" * 5000},
    ],
)
async def test_until_client_and_address_are_proven_nothing_is_redirected(
    world: World, said: dict[str, str | None]
) -> None:
    """Pitfalls 1 and 3; RFC 6749 section 4.1.2.1."""
    client = await world.register()
    answer = await world.authorize(client, **said)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "evil" not in answer.text


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_a_doubled_client_or_address_is_not_redirected(world: World, name: str) -> None:
    """Pitfalls 3 and 12."""
    client = await world.register()
    query = f"response_type=code&client_id={client}&redirect_uri={quote(NATIVE)}"
    value = client if name == "client_id" else quote(NATIVE)
    answer = await world.http.get(f"/oauth/authorize?{query}&{name}={value}")
    assert answer.status_code == 400


async def test_the_page_for_an_unknown_client_says_how_to_make_it_forget(world: World) -> None:
    answer = await world.authorize("sc_client_gone")
    for words in ("Claude Code: /mcp", "codex mcp logout", "~/.mcp-auth"):
        assert words in answer.text


async def test_a_blocked_client_is_told_so_on_our_page(world: World) -> None:
    client = await world.register()
    async with world.database.write() as tx:
        await set_blocked(tx, world.host.key, ClientId(client), blocked=True)
    answer = await world.authorize(client)
    assert answer.status_code == 403
    assert "location" not in answer.headers


@pytest.mark.requirement("T-05", "AS-04", "AS-06", "AS-13", "T-09")
@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "e30.e30."}, "request_not_supported"),
        ({"request_uri": "https://evil.example/r"}, "request_uri_not_supported"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": "a" * 42}, "invalid_request"),
        ({"code_challenge": "a" * 44}, "invalid_request"),
        ({"code_challenge": "a" * 42 + "="}, "invalid_request"),
        ({"scope": "mcp\x00"}, "invalid_request"),
        ({"resource": "https://evil.example/mcp"}, "invalid_target"),
        ({"resource": f"{ORIGIN}/mcp/nobody"}, "invalid_target"),
        ({"resource": f"{ORIGIN}/mcp2"}, "invalid_target"),
        ({"resource": ORIGIN}, "invalid_target"),
    ],
)
@pytest.mark.parametrize("secret", ["none", "client_secret_basic"])
async def test_every_refusal_after_that_goes_back_with_issuer_and_state(
    world: World, said: dict[str, str | None], error: str, secret: str
) -> None:
    """Pitfalls 5, 10 and 14; RFC 9207 section 2. PKCE is asked of confidential clients too."""
    client = await world.register(token_endpoint_auth_method=secret)
    answer = await world.authorize(client, **said)

    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location.startswith(f"{NATIVE}?error={error}&error_description=")
    assert "+" not in location
    got = answer_of(location)
    assert got["iss"] == ORIGIN
    assert got["state"] == "s t&te"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.requirement("AS-05")
@pytest.mark.parametrize(
    ("known_by", "status"),
    [("registration", 400), ("document", 400), ("pinned", 303), ("added", 303), ("operator", 303)],
)
async def test_a_link_to_us_leads_nobody_to_a_site_that_registered_itself(
    world: World, known_by: str, status: int
) -> None:
    """Pitfall 3; RFC 9700 section 4.11.2: no refusal goes there before a person signed in."""
    agent = ClientId("https://agent.example/client.json")
    document = {"client_id": agent, "client_name": "Agent", "redirect_uris": [WEB]}
    client, uri = str(agent), WEB
    match known_by:
        case "registration":
            client = await world.register(WEB)
        case "document":
            world.web.publish(agent, document)
        case "pinned":
            client = "https://claude.ai/oauth/mcp-oauth-client-metadata"
            uri = "https://claude.ai/api/mcp/auth_callback"
        case "added":
            added = PinnedDocument(url=agent, document=document)
            world.policies(clients=ClientPolicy(added_documents=(added,)))
        case "operator":
            client = "agent"
            async with world.database.write() as tx:
                await world.clients.register_configured(
                    tx, world.host.key, ClientId(client), "Agent", (WEB,), None
                )
    assert "/consent?" in (await world.authorize(client, redirect_uri=uri)).headers["location"]

    answer = await world.authorize(client, redirect_uri=uri, response_type="token")
    assert answer.status_code == status
    assert ("location" in answer.headers) == (status == 303)
    assert status == 303 or "only response_type=code is supported" in answer.text


@pytest.mark.parametrize("prompt", ["none", "none consent", "login none"])
@pytest.mark.parametrize("uri", [NATIVE, "http://localhost:631/jobs", "cursor://anysphere/cb"])
async def test_a_silent_request_opens_nothing_on_a_machine_without_earlier_consent(
    world: World, uri: str, prompt: str
) -> None:
    """Whoever registered may have registered anything that listens there, or a scheme's deed."""
    client = await world.register(uri)
    for person in (None, world.alice):
        if person is not None:
            await world.sign_in(person)
        answer = await world.authorize(client, redirect_uri=uri, prompt=prompt)
        assert (answer.status_code, answer.headers.get("location")) == (400, None)
        assert "Start again from the program itself" in answer.text

    await world.allow(await world.ask(client, redirect_uri=uri), level=Level.LOW)
    await world.sign_in(world.bob)
    answer = await world.authorize(client, redirect_uri=uri, prompt=prompt)
    assert (answer.status_code, answer.headers.get("location")) == (400, None)
    await world.sign_in(world.alice)
    answer = await world.authorize(client, redirect_uri=uri, prompt=prompt)
    expected = "login_required" if prompt == "none" else "invalid_request"
    assert answer_of(answer.headers["location"])["error"] == expected
    world.advance(minutes=11)  # from then on the same description is another client
    other = await world.register(uri)
    assert (await world.authorize(other, redirect_uri=uri, prompt=prompt)).status_code == 400


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ended", "error"), [("revoked", 400), ("other address", 400), ("lasting", 303)]
)
async def test_earlier_consent_is_one_that_still_holds_for_that_address(
    world: World, ended: str, error: int
) -> None:
    client = await world.register(NATIVE, "http://127.0.0.1/other")
    await world.allow(await world.ask(client), level=Level.LOW)
    await world.sign_in(world.alice)
    uri = NATIVE
    if ended == "revoked":
        await world.revocations.end_person(
            world.host.key, world.alice.id, by="alice", because="person.revoked"
        )
    elif ended == "other address":
        uri = "http://127.0.0.1/other"
    answer = await world.authorize(client, redirect_uri=uri, prompt="none")
    assert answer.status_code == error


async def test_a_silent_request_of_a_site_is_answered_as_openid_connect_says(world: World) -> None:
    """OpenID Connect Core section 3.1.2.6: the error goes to the site, and nothing is shown."""
    client = await world.register(WEB)
    answer = await world.authorize(client, redirect_uri=WEB, prompt="none")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{WEB}?error=login_required&")
    assert answer_of(answer.headers["location"])["iss"] == ORIGIN


@pytest.mark.parametrize("uri", [NATIVE, "http://localhost:12/cb", "cursor://anysphere/cb"])
@pytest.mark.parametrize(
    "more",
    [
        "response_type=token&prompt=none",
        "response_type=code&prompt=none&prompt=login",
        "response_type=code&prompt=login&prompt=none",
        "response_type=code&prompt=none%09",
        "response_type=code&prompt=none%00",
        "response_type=code&prompt=%6eone&response_type=code",
    ],
)
async def test_a_request_that_may_be_silent_reaches_no_machine_where_nobody_was_asked(
    world: World, uri: str, more: str
) -> None:
    """The port is the link's to choose, so what listens there need not be the client's."""
    client = await world.register(uri.replace(":12/", "/"))
    query = urlencode({"client_id": client, "redirect_uri": uri})
    path = f"/oauth/authorize?{query}&{more}"
    answer = await world.http.get(path)
    assert (answer.status_code, answer.headers.get("location")) == (400, None)
    assert "Start again from the program itself" in answer.text

    await world.allow(await world.ask(client, redirect_uri=uri), level=Level.LOW)
    await world.sign_in(world.alice)
    answer = await world.http.get(path)
    assert answer.headers["location"].startswith(f"{uri}?error=")


@pytest.mark.parametrize("said", [{"response_type": "token"}, {"code_challenge": None}])
async def test_no_refusal_opens_a_scheme_that_was_registered_by_anybody(
    world: World, said: dict[str, str | None]
) -> None:
    client = await world.register("cursor://anysphere/cb")
    answer = await world.authorize(client, redirect_uri="cursor://anysphere/cb", **said)
    assert (answer.status_code, answer.headers.get("location")) == (400, None)
    async with world.database.write() as tx:
        await world.clients.register_configured(
            tx, world.host.key, ClientId("editor"), "Editor", ("cursor://anysphere/cb",), None
        )
    answer = await world.authorize("editor", redirect_uri="cursor://anysphere/cb", **said)
    assert answer.status_code == 303


async def test_a_live_document_does_not_borrow_the_trust_of_the_pinned_one(world: World) -> None:
    client = "https://claude.ai/oauth/mcp-oauth-client-metadata"
    said = {"client_id": client, "client_name": "Claude", "redirect_uris": [WEB]}
    world.web.publish(client, said)
    answer = await world.authorize(client, redirect_uri=WEB, response_type="token")
    assert answer.status_code == 400


async def test_a_repeated_parameter_is_refused(world: World) -> None:
    """Pitfall 12."""
    client = await world.register()
    query = urlencode({"response_type": "code", "client_id": client, "redirect_uri": NATIVE})
    answer = await world.http.get(f"/oauth/authorize?{query}&scope=mcp&scope=mcp")
    got = answer_of(answer.headers["location"])
    assert got["error"] == "invalid_request"
    assert "state" not in got


async def test_without_a_state_none_comes_back(world: World) -> None:
    """Pitfall 10."""
    client = await world.register()
    for state in (None, ""):
        refused = await world.authorize(client, state=state, response_type="token")
        assert "state" not in answer_of(refused.headers["location"])
        got = answer_of(await world.allow(await world.ask(client, state=state)))
        assert got.keys() == {"code", "iss"}
        assert got["iss"] == ORIGIN


async def test_a_client_with_one_address_may_leave_it_out(world: World) -> None:
    client = await world.register()
    ask = await world.ask(client, redirect_uri=None)
    assert ask.redirect_uri == NATIVE
    several = await world.register(NATIVE, WEB)
    assert (await world.authorize(several, redirect_uri=None)).status_code == 400


@pytest.mark.requirement("AS-13", "T-11", "C-17", "C-18")
async def test_the_resource_fixes_the_server_suggests_one_or_lets_the_person_choose(
    world: World,
) -> None:
    client = await world.register()
    fixed = await world.ask(client, resource=f"{ORIGIN.upper()}/mcp/ledger/")
    assert (fixed.resource, fixed.server, fixed.suggested) == (LEDGER, "ledger", None)
    for resource in (None, f"{ORIGIN}/mcp", f"{ORIGIN}/mcp/"):
        free = await world.ask(client, resource=resource)
        assert (free.resource, free.server, free.suggested) == (f"{ORIGIN}/mcp", None, None)
    for upstream, server in (("https://notes.test/mcp", "notes"), ("https://x.test/", None)):
        resource = f"{ORIGIN}/mcp?{urlencode({'upstream_mcp': upstream})}"
        suggested = await world.ask(client, resource=resource)
        assert (suggested.server, suggested.suggested) == (None, server)
        assert suggested.resource == f"{ORIGIN}/mcp"


async def test_several_resources_are_refused_unless_they_are_one(world: World) -> None:
    """Pitfall 12."""
    client = await world.register()
    query = urlencode(
        {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": NATIVE,
            "code_challenge": challenge(),
            "code_challenge_method": "S256",
            "resource": [LEDGER, f"{LEDGER}/"],
        },
        doseq=True,
    )
    answer = await world.http.get(f"/oauth/authorize?{query}")
    assert "/consent?" in answer.headers["location"]
    answer = await world.http.get(f"/oauth/authorize?{query}&resource={quote(ORIGIN)}%2Fmcp")
    assert answer_of(answer.headers["location"])["error"] == "invalid_target"


async def test_what_clients_add_out_of_habit_is_tolerated(world: World) -> None:
    client = await world.register()
    ask = await world.ask(
        client,
        scope="mcp offline_access tools:call mcp:medium",
        prompt="consent select_account sing",
        login_hint="alice@acme.test",
        nonce="x",
    )
    assert ask.level is Level.MEDIUM
    assert ask.request.prompt == ("consent", "select_account")


async def test_waiting_asks_are_bounded_and_purged(world: World) -> None:
    """Pitfall 35; the world allows twenty of a host."""
    client = await world.register()
    for _ in range(20):
        await world.ask(client)  # seen, each by somebody who signed in
    full = await world.authorize(client)
    assert answer_of(full.headers["location"])["error"] == "temporarily_unavailable"

    world.advance(minutes=11)
    assert "/consent?" in (await world.authorize(client)).headers["location"]


async def test_nobody_keeps_others_from_signing_in_by_asking_often(world: World) -> None:
    """Pitfall 35: what no person has seen makes room, oldest first, what one has seen stays."""
    client = await world.register()
    seen = await world.ask(client)
    oldest = (await world.authorize(client)).headers["location"].partition("=")[2]
    for _ in range(30):
        world.advance(seconds=1)
        assert "/consent?" in (await world.authorize(client)).headers["location"]
    assert "code=" in await world.allow(seen)
    assert "code=" in await world.allow(await world.ask(client))
    with pytest.raises(Refused) as error:
        await world.authorizations.ask(world.host, oldest, browser="b", subject=world.alice.id)
    assert error.value.code is Code.NOT_FOUND


@pytest.mark.requirement("AS-05", "T-07")
@pytest.mark.parametrize("known_by", ["registration", "document"])
async def test_a_host_without_private_schemes_sends_nobody_to_one(
    world: World, known_by: str
) -> None:
    """Pitfall 4: neither a document nor an older registration goes round the setting."""
    uri = "cursor://anysphere.cursor-mcp/oauth/callback"
    if known_by == "registration":
        client = await world.register(uri, WEB)
    else:
        client = "https://agent.example/client.json"
        said = {"client_id": client, "client_name": "Agent", "redirect_uris": [uri, WEB]}
        world.web.publish(client, said)
    allowed = await world.authorize(client, redirect_uri=uri)
    assert allowed.status_code == 303

    world.policies(clients=ClientPolicy(private_schemes=False))
    answer = await world.authorize(client, redirect_uri=uri)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert (await world.authorize(client, redirect_uri=WEB)).status_code == 303
