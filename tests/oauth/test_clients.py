"""Metadata documents and configured clients."""

from __future__ import annotations

from typing import Any

import pytest

from safeconduct.core.model import ClientId
from safeconduct.core.secrets import Secret
from safeconduct.hosts import ClientPolicy, PinnedDocument
from safeconduct.oauth import documents, set_blocked
from safeconduct.oauth.documents import NotADocument
from tests.oauth.world import WEB, World

AGENT = ClientId("https://agent.example/client.json")
CODE = ClientId("https://claude.ai/oauth/claude-code-client-metadata")


def document(**said: object) -> dict[str, object]:
    return {"client_id": AGENT, "client_name": "Agent", "redirect_uris": [WEB], **said}


@pytest.mark.requirement("T-07", "AS-07", "AS-08")
async def test_a_client_is_what_stands_at_its_address(world: World) -> None:
    world.web.publish(AGENT, document(logo_uri="http://169.254.169.254/"))
    client = await world.clients.get(world.host, AGENT)
    assert client is not None
    assert (client.kind, client.name, client.document_host) == (
        "document",
        "Agent",
        "agent.example",
    )
    assert client.redirect_uris == (WEB,)
    assert client.auth_method == "none"
    assert world.web.asked == [AGENT]


@pytest.mark.requirement("T-07", "AS-08")
@pytest.mark.parametrize(
    "said",
    [
        {"client_id": "https://agent.example/other.json"},
        {"client_id": AGENT + "/"},
        {"client_id": None},
        {"client_name": None},
        {"client_name": 7},
        {"redirect_uris": []},
        {"redirect_uris": WEB},
        {"redirect_uris": [7]},
        {"redirect_uris": [WEB, "javascript:alert(1)"]},
        {"redirect_uris": ["http://agent.example/cb"]},
        {"client_secret": "x"},
        {"client_secret_expires_at": 0},
        {"token_endpoint_auth_method": "client_secret_post"},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"grant_types": ["client_credentials"]},
        {"response_types": ["token"]},
    ],
)
async def test_a_document_that_is_not_this_clients_is_no_document(
    world: World, said: dict[str, object]
) -> None:
    """Pitfalls 4 and 40."""
    world.web.publish(AGENT, document(**said))
    assert await world.clients.get(world.host, AGENT) is None

    world.web.publish(AGENT, document())  # pitfall 40: the failure is not remembered
    assert await world.clients.get(world.host, AGENT) is not None


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"<html>", b'{"client_id":1,"client_id":1}'])
async def test_what_is_not_one_json_object_is_no_document(world: World, body: bytes) -> None:
    world.web.documents[AGENT] = (body, None)
    assert await world.clients.get(world.host, AGENT) is None


@pytest.mark.requirement("SEC-20")
@pytest.mark.parametrize(
    "address",
    [
        "http://agent.example/client.json",
        "https://agent.example",
        "https://agent.example/",
        "https://agent.example/a/../client.json",
        "https://agent.example/a/%2e%2E/client.json",
        "https://agent.example/./client.json",
        "https://agent.example/client.json?x=1",
        "https://agent.example/client.json#f",
        "https://u@agent.example/client.json",
        "https://Agent.example/client.json",
        "https://agent.example\\x/client.json",
        "https://agent.example/cli ent.json",
        "https://agent.example/" + "x" * 512,
        "https://ägent.example/client.json",
    ],
)
async def test_only_plain_https_addresses_with_a_path_are_asked(world: World, address: str) -> None:
    """Pitfalls 39 and 40."""
    world.web.publish(address, {**document(), "client_id": address})
    assert await world.clients.get(world.host, ClientId(address)) is None
    assert world.web.asked == []


@pytest.mark.requirement("AS-09")
async def test_a_copy_is_used_for_as_long_as_its_server_says(world: World) -> None:
    world.web.publish(AGENT, document(), max_age=60)
    await world.clients.get(world.host, AGENT)
    world.advance(seconds=59)
    await world.clients.get(world.host, AGENT)
    assert len(world.web.asked) == 1

    world.advance(seconds=2)
    world.web.publish(AGENT, document(client_name="Renamed"), max_age=60)
    client = await world.clients.get(world.host, AGENT)
    assert client is not None
    assert client.name == "Renamed"
    assert len(world.web.asked) == 2


@pytest.mark.requirement("T-07")
async def test_the_last_good_copy_serves_while_the_live_one_fails(world: World) -> None:
    world.web.publish(AGENT, document(), max_age=60)
    before = await world.clients.get(world.host, AGENT)
    world.advance(hours=1)
    del world.web.documents[AGENT]
    assert await world.clients.get(world.host, AGENT) == before
    world.web.documents[AGENT] = (b"<html>", 60)
    assert await world.clients.get(world.host, AGENT) == before


@pytest.mark.requirement("T-07", "AS-07")
async def test_a_pinned_copy_serves_when_nothing_can_be_fetched_and_the_live_one_wins(
    world: World,
) -> None:
    client = await world.clients.get(world.host, CODE)
    assert client is not None
    assert client.name == "Claude Code"
    assert client.redirect_uris == ("http://localhost/callback", "http://127.0.0.1/callback")

    world.web.publish(CODE, {**document(), "client_id": CODE, "client_name": "Live"})
    live = await world.clients.get(world.host, CODE)
    assert live is not None
    assert live.name == "Live"

    del world.web.documents[CODE]
    world.advance(days=1)
    assert await world.clients.get(world.host, CODE) == live  # not the older, pinned one


async def test_pinning_is_by_exact_address(world: World) -> None:
    for near in (f"{CODE}/", f"{CODE}2", "https://claude.ai/oauth/other"):
        assert await world.clients.get(world.host, ClientId(near)) is None


@pytest.mark.requirement("T-07")
async def test_admins_choose_which_documents_may_come(world: World) -> None:
    world.web.publish(AGENT, document(), max_age=60)
    assert await world.clients.get(world.host, AGENT) is not None
    for policy in (
        ClientPolicy(dropped_documents=(AGENT,)),
        ClientPolicy(document_hosts=("claude.ai",)),
        ClientPolicy(fetch_documents=False, pinned_documents=False),
    ):
        world.policies(clients=policy)
        assert await world.clients.get(world.host, AGENT) is None
        assert await world.clients.known(world.host, AGENT) is None
        assert world.clients.held(world.host, AGENT) is None  # nor with a token it already has
    world.policies(clients=ClientPolicy(document_hosts=("agent.example",)))
    assert await world.clients.get(world.host, AGENT) is not None


async def test_a_host_without_a_way_out_uses_what_it_pins_and_asks_nobody(world: World) -> None:
    added = PinnedDocument(url=AGENT, document=document(client_name="Ours"))
    world.policies(
        clients=ClientPolicy(
            fetch_documents=False, pinned_documents=False, added_documents=(added,)
        )
    )
    client = await world.clients.get(world.host, AGENT)
    assert client is not None
    assert client.name == "Ours"
    assert await world.clients.get(world.host, CODE) is None
    assert world.web.asked == []


async def test_a_block_outlives_a_new_copy_of_the_document(world: World) -> None:
    world.web.publish(AGENT, document(), max_age=0)
    await world.clients.get(world.host, AGENT)
    async with world.database.write() as tx:
        assert await set_blocked(tx, world.host.key, AGENT, blocked=True)
    world.web.publish(AGENT, document(client_name="New face"), max_age=0)
    client = await world.clients.get(world.host, AGENT)
    assert client is not None
    assert client.name == "New face"
    assert client.blocked


async def test_clients_of_one_host_are_nothing_to_another(world: World) -> None:
    mine = ClientId(await world.register())
    assert await world.clients.get(world.host, mine) is not None
    assert await world.clients.get(world.other, mine) is None


@pytest.mark.requirement("AS-09")
async def test_documents_that_nobody_consented_to_do_not_pile_up(world: World) -> None:
    """Pitfall 35: anybody can have any number of documents fetched."""
    addresses = [ClientId(f"https://agent.example/{n}.json") for n in range(3)]
    for address in addresses:
        world.web.publish(address, {**document(), "client_id": address}, max_age=86_400)
        await world.clients.get(world.host, address)
    used, blocked, unused = addresses
    await world.allow(await world.ask(used, redirect_uri=WEB))
    async with world.database.write() as tx:
        await set_blocked(tx, world.host.key, blocked, blocked=True)
    world.advance(minutes=59)
    await world.housekeeping.clean()
    assert world.clients.held(world.host, unused) is not None

    world.advance(minutes=2)
    await world.housekeeping.clean()
    known = [await world.clients.known(world.host, address) for address in addresses]
    assert [entry is not None for entry in known] == [True, True, False]
    assert await world.clients.get(world.host, unused) is not None  # it is simply fetched again


@pytest.mark.requirement("T-08")
async def test_an_operator_may_describe_a_client(world: World) -> None:
    async with world.database.write() as tx:
        for secret in (None, Secret("correct horse")):
            await world.clients.register_configured(
                tx, world.host.key, ClientId("demo"), "Demo", (WEB,), secret
            )
    client = await world.clients.get(world.host, ClientId("demo"))
    assert client is not None
    assert (client.kind, client.confidential) == ("registered", True)
    assert world.clients.held(world.host, ClientId("demo")) == client
    assert world.clients.held(world.other, ClientId("demo")) is None


def test_every_pinned_document_is_one_we_would_accept() -> None:
    pinned: dict[str, Any] = dict(documents.pinned())
    assert len(pinned) == 7
    assert pinned["https://chatgpt.com/oauth/client.json"].auth_methods == (
        "none",
        "private_key_jwt",
    )


def test_a_document_is_data_and_its_name_is_cleaned() -> None:
    """Pitfall 17."""
    body = b'{"client_id":"%s","client_name":"a\\u202eb","redirect_uris":["%s"]}'
    assert documents.read(AGENT, body % (AGENT.encode(), WEB.encode())).name == "ab"
    with pytest.raises(NotADocument):
        documents.read(AGENT, b"\xff")
