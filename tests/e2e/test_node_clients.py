"""The TypeScript SDKs as clients, both generations, signing in by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.conversation import conversation, script

if TYPE_CHECKING:
    from tests.e2e.gateway import Site

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("node")]

CLIENTS = [
    (("sdk1",), "2025-11-25"),
    (("sdk2", "legacy"), "2025-11-25"),
    (("sdk2", "auto"), "2026-07-28"),
    (("sdk2", "modern"), "2026-07-28"),
]
NAMES = ["sdk1", "sdk2-legacy", "sdk2-auto", "sdk2-modern"]


@pytest.mark.parametrize(("client", "version"), CLIENTS, ids=NAMES)
async def test_it_signs_in_and_does_what_it_may(
    site: Site, client: tuple[str, ...], version: str
) -> None:
    program, *mode = client
    async with conversation(script(program, site.url("tickets"), *mode)) as talk:
        found = await talk.result(lambda url: site.allow(url, server="tickets"))

    assert found["version"] == version
    assert found["visits"] == 1
    assert "get_issue" in found["tools"]
    assert "delete_issue" not in found["tools"]
    assert "T-7" in found["called"]
    assert found["refusal"]["code"] == 4030
    assert "high" in found["refusal"]["message"].lower()


@pytest.mark.parametrize(("client", "version"), CLIENTS, ids=NAMES)
async def test_streams_questions_and_the_rest_pass(
    site: Site, client: tuple[str, ...], version: str
) -> None:
    program, *mode = client
    async with conversation(script(program, site.url("everything"), *mode)) as talk:
        found = await talk.result(lambda url: site.allow(url, server="everything", level="High"))

    assert found["version"] == version
    assert len(found["progress"]) == 3
    assert "alice" in found["asked"]
    assert found["greeted"] == "Hello, Alice!"
    assert found["resource"]
    assert found["prompts"] > 0
