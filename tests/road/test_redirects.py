"""A server that has moved: an error that says what to do, and where it points to those who act."""

from __future__ import annotations

import logging

import pytest

from safeconduct.egress import UpstreamFailed
from safeconduct.upstreams import CrawlFailed
from tests.road.upstream import Seen, Wire
from tests.road.world import LEGACY, MODERN, Tokens, World

TARGET = "https://moved.test/mcp"


def moved(status: int, *headers: str) -> object:
    async def script(_seen: Seen, wire: Wire) -> None:
        await wire.answer(b"", status=status, kind="", headers=headers)

    return script


@pytest.mark.requirement("SEC-21")
@pytest.mark.parametrize("version", [LEGACY, MODERN])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_who_can_mend_it_learns_where_it_points(
    road: World, tokens: Tokens, caplog: pytest.LogCaptureFixture, version: str, status: int
) -> None:
    where = f"https://us:secret@moved.test/{status}/{version}"
    road.upstream.scripts["tools/call"] = moved(status, f"location: {where}?token=secret")
    road.gateway._answers.returns._redirects._noted.clear()

    with caplog.at_level(logging.WARNING):
        answers = [await road.call(tokens.access, version=version) for _ in range(3)]

    for answer in answers:
        message = answer.json()["error"]["message"]
        assert f"HTTP {status}, a redirect" in message
        assert "set its url" in message
        assert "moved.test" not in message
    assert caplog.text.count(f"https://moved.test/{status}/{version}") == 1, "said once"
    assert "secret" not in caplog.text
    assert len(road.upstream.calls()) == 3


@pytest.mark.parametrize("headers", [(), ("location: ",), ("location: \x01",)])
async def test_a_redirect_to_nowhere_is_one_too(
    road: World, tokens: Tokens, headers: tuple[str, ...]
) -> None:
    road.upstream.scripts["tools/call"] = moved(302, *headers)

    assert "error" in (await road.call(tokens.access)).json()


async def test_import_names_where_a_redirect_points_and_what_to_set(world: World) -> None:
    for method in ("server/discover", "initialize"):
        world.upstream.scripts[method] = moved(308, f"location: {TARGET}?x=1")

    with pytest.raises((CrawlFailed, UpstreamFailed)) as caught:
        await world.parts.crawler.crawl(world.upstream.url)

    assert f"HTTP 308 and points to {TARGET};" in caught.value.public
    assert "set its url to that" in caught.value.public
