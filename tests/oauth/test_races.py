"""What many may try at once and one may have, on each store."""

from __future__ import annotations

import asyncio

import pytest

from safeconduct.core.errors import Refused
from safeconduct.core.model import ClientId
from tests.oauth.test_assertions import AGENT, Signer
from tests.oauth.world import WEB, World


@pytest.mark.requirement("AS-17")
async def test_of_twenty_parallel_redemptions_one_succeeds(racing: World) -> None:
    """Pitfall 8."""
    client = await racing.register()
    code = await racing.code(client)
    answers = await asyncio.gather(*(racing.redeem(client, code) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 19
    (tokens,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert not await racing.alive(tokens["access_token"])  # pitfall 7: it was replayed


@pytest.mark.requirement("T-12")
async def test_parallel_refreshes_all_get_pairs_that_work(racing: World) -> None:
    """Pitfall 25: several processes of one agent share a store."""
    client = await racing.register()
    tokens = await racing.tokens(client)
    answers = await asyncio.gather(
        *(racing.refresh(client, tokens["refresh_token"]) for _ in range(6))
    )
    assert [answer.status_code for answer in answers] == [200] * 6
    pairs = [answer.json() for answer in answers]
    assert len({pair["refresh_token"] for pair in pairs}) == 6
    for pair in pairs:
        assert await racing.alive(pair["access_token"])
        assert (await racing.refresh(client, pair["refresh_token"])).status_code == 200


async def test_of_parallel_answers_to_one_ask_one_counts(racing: World) -> None:
    """Pitfall 14: double submit."""
    client = await racing.register()
    ask = await racing.ask(client)
    answers = await asyncio.gather(*(racing.allow(ask) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) == 1
    assert sum(isinstance(answer, Refused) for answer in answers) == 5
    assert len(racing.events("session.opened")) == 1


async def test_of_two_people_at_one_ask_one_has_it(racing: World) -> None:
    """Pitfall 13."""
    client = await racing.register()
    location = (await racing.authorize(client)).headers["location"]
    seen = await asyncio.gather(
        *(
            racing.authorizations.ask(
                racing.host, location.partition("=")[2], browser=f"b{n}", subject=person.id
            )
            for n, person in enumerate([racing.alice, racing.bob])
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Refused) for one in seen) == 1


async def test_a_document_many_ask_for_at_once_is_one_client(racing: World) -> None:
    racing.web.publish(AGENT, {"client_id": AGENT, "client_name": "Agent", "redirect_uris": [WEB]})
    found = await asyncio.gather(
        *(racing.clients.get(racing.host, ClientId(AGENT)) for _ in range(6))
    )
    assert len(set(found)) == 1
    assert found[0] is not None


async def test_an_assertion_sent_many_times_at_once_proves_once(racing: World) -> None:
    """Pitfall 23."""
    signer = Signer(racing)
    assertion = signer.assertion()
    codes = [await racing.code(AGENT, redirect_uri=WEB) for _ in range(5)]
    answers = await asyncio.gather(
        *(
            racing.redeem(
                AGENT,
                code,
                redirect_uri=WEB,
                client_assertion=assertion,
                client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            for code in codes
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 4


async def test_a_whole_life_passes_on_each_store(racing: World) -> None:
    client = await racing.register()
    assert await racing.register() == client
    tokens = await racing.tokens(client)
    tokens = (await racing.refresh(client, tokens["refresh_token"])).json()
    assert await racing.alive(tokens["access_token"])
    await racing.post("/oauth/revoke", client_id=client, token=tokens["refresh_token"])
    assert not await racing.alive(tokens["access_token"])
    await racing.code(client)
    for days in (1, 8, 130):
        racing.advance(days=days)
        await racing.housekeeping.clean()
    assert await racing.clients.get(racing.host, ClientId(client)) is None
