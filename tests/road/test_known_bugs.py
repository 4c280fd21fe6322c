"""Bugs that gateways like this one shipped, each as the test that would have caught it.

What has its own module is named here: an older revision that skips the check and a call of a
hidden tool (test_calls, test_lists), content types and media that skip it (test_input,
test_lists), headers and bodies of two eras (test_eras), an empty PKCE challenge and a consent
borrowed from another client (tests/oauth), capabilities that are not the caller's
(tests/conformance).
"""

from __future__ import annotations

import asyncio
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.consent import change_key
from safeconduct.core.model import Level
from tests.road.upstream import Seen, Wire
from tests.road.world import ACME, World

_IDS = st.text(st.characters(exclude_characters="\x1f", exclude_categories=("Cs",)), min_size=1)


@pytest.mark.requirement("Z-11", "K-03")
@given(one=st.tuples(_IDS, _IDS, _IDS), other=st.tuples(_IDS, _IDS, _IDS))
def test_two_consents_never_share_a_name(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """Two resource names that map to one policy id let one person use another's."""
    assert (change_key(*one) == change_key(*other)) == (one == other)


@pytest.mark.requirement("Z-01", "Z-03")
@pytest.mark.parametrize(
    "name",
    [
        "GET_ISSUE",
        "get_issue ",
        " get_issue",
        "get_issue\u200b",
        "get-issue",
        "get_issue\u0000",
        unicodedata.normalize("NFKC", "\uff47et_issue") + "\u0301",
        "\uff47et_issue",
        "tickets/get_issue",
    ],
)
async def test_a_name_that_only_looks_like_a_tool_is_none(road: World, name: str) -> None:
    """Names are compared exactly; nothing is trimmed, folded or normalised on the way."""
    tokens = await road.tokens()

    answer = await road.call(tokens.access, name, version="2025-11-25")

    assert answer.json()["error"]["code"] == -32602
    assert road.upstream.seen == []


@pytest.mark.requirement("SEC-12", "Z-11")
async def test_answers_of_two_people_on_one_connection_pool_never_cross(road: World) -> None:
    """A reused connection to the upstream must not carry one caller's context to the next."""
    await road.ceiling(Level.HIGH, person="bob")
    alice, bob = await road.tokens(), await road.tokens(person="bob")

    async def echo(seen: Seen, wire: Wire) -> None:
        message = json.loads(seen.body)
        await asyncio.sleep(0)
        text = message["params"]["arguments"]["id"]
        result = {"content": [{"type": "text", "text": text}], "resultType": "complete"}
        said = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        await wire.answer(json.dumps(said).encode())

    road.upstream.scripts["tools/call"] = echo

    async def ask(token: str, secret: str) -> str:
        answer = await road.call(token, arguments={"id": secret})
        return str(answer.json()["result"]["content"][0]["text"])

    questions = [
        (tokens.access, f"{who}-{number}")
        for number in range(40)
        for who, tokens in (("alice", alice), ("bob", bob))
    ]
    answers = await asyncio.gather(*(ask(token, secret) for token, secret in questions))

    assert answers == [secret for _, secret in questions]


@pytest.mark.requirement("Z-01", "P-18", "C-29")
async def test_the_common_endpoint_refuses_what_the_servers_own_does(road: World) -> None:
    """Every way to a tool shares one check: the other address is no way around it."""
    await road.ceiling(Level.MEDIUM, person="bob")
    own = await road.tokens(person="bob", level=Level.LOW)
    common = await road.tokens(person="bob", level=Level.LOW, resource=f"{ACME}/mcp")

    answers = [
        await road.call(own.access, "delete_issue"),
        await road.call(common.access, "delete_issue", path="/mcp"),
    ]
    await road.ceiling(Level.HIGH, person="bob")

    assert [answer.json()["error"]["code"] for answer in answers] == [4030, 4030]
    assert road.upstream.seen == []
