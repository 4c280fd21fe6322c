"""Who may ask, in which form, and how everything else is refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from safeconduct.api.callers import Stranger, point_of
from safeconduct.api.refusals import STATUS
from safeconduct.core.errors import Code
from tests.api.asking import FOREIGN, SECOND, SECRET, Point, question
from tests.road.world import ACME, OTHER, Tokens

pytestmark = pytest.mark.requirement("Z-38")

PATHS = ("evaluation", "evaluations", "search/subject", "search/resource", "search/action")


def basic(name: str, secret: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{secret}'.encode()).decode()}"


@pytest.mark.parametrize(
    "authorization", [f"Bearer {SECRET}", f"bearer {SECOND}", basic("mesh", SECRET)]
)
async def test_an_enforcement_point_shows_its_secret_in_either_way(
    point: Point, authorization: str
) -> None:
    answer = await point.post("evaluation", question(), authorization=authorization)

    assert answer.status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {SECRET[:-1]}t",
        f"Bearer {SECRET}s",
        f"Bearer {SECRET[:-1]}",
        f"Bearer {FOREIGN}",
        f"Digest {SECRET}",
        basic("mesh", SECOND),
        basic("second", SECRET),
        basic("", SECRET),
        basic("foreign", FOREIGN),
        f"Basic {SECRET}",
        "Basic !",
    ],
)
async def test_nobody_else_may_ask(point: Point, path: str, authorization: str | None) -> None:
    """AuthZEN 1.0, sender authentication failure: 401 with a challenge, whatever the body is."""
    before = len(point.world.events())
    answer = await point.post(path, content=b"{", authorization=authorization)

    assert answer.status_code == 401
    challenges = answer.headers.get_list("www-authenticate")
    assert [each.split(" ")[0] for each in challenges] == ["Basic", "Bearer"]
    assert isinstance(answer.json(), str)
    assert len(point.world.events()) == before


async def test_an_agents_token_is_no_credential_here(point: Point, tokens: Tokens) -> None:
    for token in (tokens.access, tokens.refresh):
        answer = await point.post("evaluation", question(), authorization=f"Bearer {token}")
        assert answer.status_code == 401
    refused = await point.world.call(SECRET)
    assert refused.status_code == 401  # nor is the secret one on the road


async def test_a_secret_counts_on_its_own_host_only(point: Point) -> None:
    world = point.world

    assert (await Point(world, SECRET, OTHER).post("evaluation", question())).status_code == 401
    assert (await Point(world, FOREIGN, ACME).post("evaluation", question())).status_code == 401
    assert not await Point(world, FOREIGN, OTHER).decides(question())  # acme's people are nobody


async def test_a_secret_sent_twice_is_none(point: Point) -> None:
    from starlette.datastructures import Headers

    one = (b"authorization", f"Bearer {SECRET}".encode())
    host = point.world.host()
    assert point_of(host, Headers(raw=[one])).id == "mesh"
    with pytest.raises(Stranger):
        point_of(host, Headers(raw=[one, one]))


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"content_type": None}, 415),
        (b"{}", {"content_type": "text/plain"}, 415),
        (b"{}", {"content_type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"content_encoding": "gzip"}, 415),
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b"{", {}, 400),
        (b'{"subject":{},"subject":{}}', {}, 400),
        (b"\xef\xbb\xbf{}", {}, 400),
        (b"[" * 100 + b"]" * 100, {}, 400),
        (b" " * (256 * 1024) + b"{", {}, 413),
    ],
)
async def test_a_body_that_is_not_one_json_object_is_refused(
    point: Point, content: bytes, headers: dict[str, Any], status: int
) -> None:
    answer = await point.post("evaluation", content=content, **headers)

    assert answer.status_code == status


@pytest.mark.parametrize("member", ["subject", "action", "resource"])
@pytest.mark.parametrize("value", [None, "x", {}, [], {"id": "x"}, {"type": 1, "id": "x"}])
async def test_what_is_required_has_its_type(point: Point, member: str, value: Any) -> None:
    asked = question()

    assert (await point.post("evaluation", asked | {member: value})).status_code == 400
    del asked[member]
    assert (await point.post("evaluation", asked)).status_code == 400


@pytest.mark.parametrize(
    "more",
    [
        {"context": None},
        {"context": {"agent": 1}},
        {"context": {"agent": "agent", "arguments": []}},
        {"subject": {"type": "user", "id": "a\x00b"}},
        {"resource": {"type": "tool", "id": "x" * 2049}},
        {"subject": {"type": "user", "id": "alice@acme.test", "properties": []}},
    ],
)
async def test_what_may_be_left_out_has_its_type_too(point: Point, more: dict[str, Any]) -> None:
    assert (await point.post("evaluation", question() | more)).status_code == 400


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (None, {}, 200),
        (None, {"authorization": None}, 401),
        (b"{", {}, 400),
        (b"{}", {"content_type": "text/plain"}, 415),
        (b"x" * 300_000, {}, 413),
    ],
)
async def test_a_request_id_comes_back_with_every_answer(
    point: Point, content: bytes | None, headers: dict[str, Any], status: int
) -> None:
    """AuthZEN 1.0, request identification."""
    body = question() if content is None else None
    answer = await point.post("evaluation", body, content=content, x_request_id="a-1", **headers)

    assert answer.status_code == status
    assert answer.headers.get_list("x-request-id") == ["a-1"]
    if status == 200:
        assert point.world.events()[-1]["request_id"] == "a-1"


async def test_other_methods_and_addresses_are_refused(point: Point) -> None:
    get = point.world.http.get

    assert (await get(f"{ACME}/access/v1/evaluation")).status_code == 405
    assert (await get(f"{ACME}/access/v1/search/group")).status_code == 404


@pytest.mark.parametrize("origin", [ACME, OTHER])
async def test_the_metadata_names_every_endpoint_of_its_own_host(point: Point, origin: str) -> None:
    """AuthZEN 1.0, metadata: the identifier is the one the address was made of."""
    answer = await point.world.http.get(f"{origin}/.well-known/authzen-configuration")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()
    ours = said.pop("safeconduct")
    assert said == {
        "policy_decision_point": origin,
        "access_evaluation_endpoint": f"{origin}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{origin}/access/v1/evaluations",
        "search_subject_endpoint": f"{origin}/access/v1/search/subject",
        "search_resource_endpoint": f"{origin}/access/v1/search/resource",
        "search_action_endpoint": f"{origin}/access/v1/search/action",
    }
    assert "must deny" in ours["obligations"]
    assert "require_approval" in ours["obligation_types"]


def test_every_refusal_has_an_answer() -> None:
    assert STATUS.keys() == set(Code)
