"""The suite through the gateway, with enforcement on: as good as without it.

The suite cannot send a token, so the shim adds that of an agent Alice allowed everything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from safeconduct.rehearsal import Programs, free_port, get, post_json
from tests.conformance.suite import run_suite
from tests.e2e.conversation import MODULES, NODE, conversation
from tests.e2e.gateway import Site, installation, node_tools
from tests.fixtures.programs import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.slow

REQUIRED = {"2025-11-25": 30, "2026-07-28": 37}
SUITE = MODULES / "@modelcontextprotocol/conformance/dist/index.js"


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    problem = await node_tools()
    if problem:
        pytest.skip(f"the suite cannot be installed here: {problem}")
    directory = tmp_path_factory.mktemp("conformance")
    async with Programs(logs=directory / "upstreams") as upstreams:
        everything = await upstreams.module("everything", "tests.fixtures.everything")
        servers = {"everything": everything.url}
        async with installation(directory / "gateway", servers=servers) as running_site:
            yield running_site


@pytest.mark.requirement("P-02", "K-08")
@pytest.mark.parametrize("revision", sorted(REQUIRED))
async def test_the_gateway_meets_a_whole_requirement_set(
    site: Site, tmp_path: Path, revision: str
) -> None:
    """No scenario is expected to fail."""
    token, found = tmp_path / "token", tmp_path / "found"
    token.write_text(await site.token("everything", level="High"))
    command = ("--to", site.url("everything"), "--token-file", str(token), "--own-host")

    async with running("tests.conformance.shim", *command) as shim:
        results = await run_suite(
            *("server", "--url", shim.url, "--requirements", revision), results=found
        )

    assert {name: ids for name, ids in results.scored.items() if ids} == {}
    assert (results.status, len(results.scored)) == (0, REQUIRED[revision])


async def test_without_a_token_nothing_passes(site: Site, tmp_path: Path) -> None:
    """The nearest forbidden neighbour: what the shim adds is what lets the suite in."""
    token, found = tmp_path / "token", tmp_path / "found"
    token.write_text("sc_at_of_nobody")
    command = ("--to", site.url("everything"), "--token-file", str(token), "--own-host")

    async with running("tests.conformance.shim", *command) as shim:
        results = await run_suite(
            *("server", "--url", shim.url, "--requirements", "2025-11-25"), results=found
        )

    assert results.status == 1
    assert results.passed <= 1  # refusing strangers' origins needs no token


@pytest.mark.requirement("AS-01", "AS-03")
async def test_the_authorization_server_meets_its_scenarios(site: Site) -> None:
    port = free_port()
    wanted = {
        "client_name": "Conformance suite",
        "redirect_uris": [f"http://127.0.0.1:{port}/callback"],
        "token_endpoint_auth_method": "none",
    }
    client = post_json(f"{site.origin}/oauth/register", wanted).json()["client_id"]
    command = (NODE, SUITE, "authorization", "--url", site.origin, "--client-id", client)

    async with conversation(
        [*command, "--resource", site.url("everything"), "-p", str(port)]
    ) as suite:
        link = await suite.line(f"{site.origin}/oauth/authorize")
        landed = await site.allow(link, server="everything")
        await asyncio.to_thread(get, landed)
        status = await suite.ended()

    output = "\n".join(suite.said)
    assert status == 0, output
    assert "2 passed, 0 failed" in output, output
