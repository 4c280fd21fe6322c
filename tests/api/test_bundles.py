"""The bundle service: who may download what decides, what is told apart, and what is refused."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest
from sqlalchemy import text

from safeconduct.core.model import HostId
from safeconduct.hosts import save
from safeconduct.policy import PENDING, Bundle, OwnRules, keep
from tests.api.asking import FOREIGN, SECOND, SECRET
from tests.road.world import ACME, OTHER, Tokens, World

pytestmark = pytest.mark.requirement("D-06")

URL = "/policy/bundle.tar.gz"
SHIPPED = Bundle.shipped()


@pytest.fixture(autouse=True)
async def as_before(world: World) -> AsyncIterator[None]:
    before = world.host().policies.policy_bundle
    yield
    await world.policies(policy_bundle=before)


def basic(name: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"


async def get(
    world: World, authorization: str | None = f"Bearer {SECRET}", origin: str = ACME, **more: str
) -> httpx2.Response:
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    if authorization is not None:
        headers["authorization"] = authorization
    return await world.http.get(f"{origin}{URL}", headers=headers)


def member(answer: httpx2.Response, name: str) -> Any:
    with tarfile.open(fileobj=io.BytesIO(answer.content), mode="r:gz") as archive:
        return json.load(archive.extractfile(name))  # type: ignore[arg-type]  # it is a file


async def test_an_enforcement_point_downloads_what_decides_now(world: World) -> None:
    own = OwnRules(data={"limit": 3})
    await world.rules(own)

    for authorization in (f"Bearer {SECRET}", f"Bearer {SECOND}", basic("mesh", SECRET)):
        answer = await get(world, authorization)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/gzip"
        assert answer.headers["etag"] == f'"{own.upon(SHIPPED).digest}"'
        assert answer.headers["cache-control"] == "private, no-cache"
        assert member(answer, ".manifest")["revision"] == own.upon(SHIPPED).digest
        assert member(answer, "data.json") == {"limit": 3}


async def test_nobody_else_gets_anything(world: World, tokens: Tokens) -> None:
    etag = (await get(world)).headers["etag"]
    strangers = [None, "", "Bearer ", f"Bearer {FOREIGN}", basic("mesh", SECOND)]

    for authorization in (*strangers, f"Bearer {tokens.access}", f"Bearer {tokens.refresh}"):
        for more in ({}, {"if_none_match": etag}, {"if_none_match": "*"}):
            answer = await get(world, authorization, **more)
            assert answer.status_code == 401
            assert len(answer.headers.get_list("www-authenticate")) == 2
            assert "etag" not in answer.headers
    assert (await get(world, origin=OTHER)).status_code == 401
    assert (await get(world, f"Bearer {FOREIGN}", OTHER)).status_code == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("{}", 304),
        ("W/{}", 304),
        ('"x", {}', 304),
        ("*", 304),
        ('"x"', 200),
        ("x{}", 200),
        ("", 200),
    ],
)
async def test_who_has_it_already_is_told_so(world: World, sent: str, status: int) -> None:
    """RFC 9110 section 13.1.2."""
    etag = (await get(world)).headers["etag"]

    answer = await get(world, if_none_match=sent.format(etag))

    assert (answer.status_code, answer.headers["etag"]) == (status, etag)
    assert answer.headers["cache-control"] == "private, no-cache"
    assert bool(answer.content) == (status == 200)


async def test_one_row_of_data_changes_the_name_on_the_very_next_request(world: World) -> None:
    await world.rules(OwnRules(data={"owners": {"T-7": "bob"}}))
    before = await get(world)
    await _without_refresh(world, OwnRules(data={"owners": {"T-7": "ann"}}))

    after = await get(world, if_none_match=before.headers["etag"])

    assert after.status_code == 200
    assert after.headers["etag"] != before.headers["etag"]
    assert member(after, "data.json") == {"owners": {"T-7": "ann"}}


async def _without_refresh(world: World, own: OwnRules) -> None:
    """Activate as another process does: this one has to find out."""
    host = world.host()
    policies = msgspec.structs.replace(host.policies, policy_bundle=own.digest)
    async with world.parts.database.write() as tx:
        about: dict[str, Any] = {"source": "a test", "version": None, "at": world.clock.now()}
        await keep(tx, HostId("acme"), own, signer=world.parts.shelf.signer, **about)
        await save(tx, msgspec.structs.replace(host, policies=policies))


@pytest.mark.parametrize("missing", [PENDING, "0" * 64])
async def test_a_host_whose_rules_are_missing_has_nothing_to_give(
    world: World, missing: str
) -> None:
    etag = (await get(world)).headers["etag"]
    await world.policies(policy_bundle=missing)

    for more in ({}, {"if_none_match": etag}, {"if_none_match": "*"}):
        answer = await get(world, **more)
        assert answer.status_code == 503
        assert "etag" not in answer.headers
    assert (await get(world, None)).status_code == 401


async def test_a_stored_bundle_that_was_altered_is_not_given_out(world: World) -> None:
    own = OwnRules(data={"limit": 5})
    before = world.host().policies.policy_bundle
    await world.rules(own)
    assert (await get(world)).status_code == 200
    await world.policies(policy_bundle=before)
    await world.parts.hosts.refresh()  # what decided a moment ago is forgotten
    altered = text("UPDATE bundles SET signature = 'x' WHERE digest = :digest")
    async with world.parts.database.write() as tx:
        await tx.execute(altered.bindparams(digest=own.digest))

    await world.policies(policy_bundle=own.digest)

    assert (await get(world)).status_code == 503
