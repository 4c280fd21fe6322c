"""Tokens are decided by the same rules as calls: at issuance, and again at each use."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from safeconduct.policy import Bundle, Embedded

from .world import World

pytestmark = pytest.mark.slow  # a process judges each set of rules

RULES = """package safeconduct.host

import rego.v1

deny contains {"reason": "night", "message": "Not at night. Come back in the morning."} if {
\tinput.phase == "token"
\ttime.clock(time.parse_rfc3339_ns(input.environment.time))[0] >= 20
}

obligations contains {"type": "ttl", "seconds": 60} if input.client.kind == "dynamic"
"""


def decide_by(world: World, directory: Path, rules: str = RULES, data: str = "{}") -> None:
    """Let the host have rules of its own from here on."""
    directory.mkdir(exist_ok=True)
    (directory / "own.rego").write_text(rules)
    (directory / "data.yaml").write_text(data)
    world.bundle = Bundle.shipped().with_directory(directory)
    world.engine = Embedded(world.bundle)


@pytest.mark.requirement("T-15", "T-31")
async def test_a_listed_agent_gets_no_more_tokens(world: World, tmp_path: Path) -> None:
    client, other = await world.register(), await world.register(client_name="Another")
    tokens, others = await world.tokens(client), await world.tokens(other)
    decide_by(world, tmp_path / "rules", data=f"denylists: {{clients: ['{client}']}}")

    refused = await world.refresh(client, tokens["refresh_token"])

    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert world.events("token.refused")[-1]["reason"] == "denylist.listed"
    assert (await world.refresh(other, others["refresh_token"])).status_code == 200


@pytest.mark.requirement("T-21", "T-15")
async def test_a_provider_in_no_tier_gets_no_tokens(world: World, tmp_path: Path) -> None:
    client = await world.register()
    tokens = await world.tokens(client)
    tiers = "trust_tiers: {developer: [claude-code]}, tier_levels: {developer: {ledger: low}}"
    decide_by(world, tmp_path / "rules", data="agents: {" + tiers + "}")

    refused = await world.refresh(client, tokens["refresh_token"])
    assert refused.json()["error"] == "invalid_grant"
    assert world.events("token.refused")[-1]["reason"] == "tier.none"

    known = tiers + ", providers: {'" + client + "': claude-code}"
    decide_by(world, tmp_path / "rules", data="agents: {" + known + "}")
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


@pytest.mark.requirement("T-15", "Z-23")
async def test_a_rule_of_the_hour_refuses_and_the_client_keeps_its_token(
    world: World, tmp_path: Path
) -> None:
    """`invalid_grant` would make it throw the token away, and its person sign in again."""
    client = await world.register()
    tokens = await world.tokens(client)
    decide_by(world, tmp_path / "rules")
    now = world.clock.now()
    evening = now.replace(hour=20, minute=0, second=0, microsecond=0)
    world.clock.advance(evening - now if evening > now else timedelta())

    refused = await world.refresh(client, tokens["refresh_token"])

    assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")
    assert "Come back in the morning" in refused.json()["error_description"]
    world.clock.advance(timedelta(hours=12))
    assert (await world.refresh(client, tokens["refresh_token"])).status_code == 200


@pytest.mark.requirement("T-27")
async def test_a_rule_may_shorten_the_life_of_tokens(world: World, tmp_path: Path) -> None:
    client = await world.register()
    assert (await world.tokens(client))["expires_in"] == 900
    decide_by(world, tmp_path / "rules", rules=RULES.replace(">= 20", ">= 24"))

    tokens = await world.tokens(client)

    assert tokens["expires_in"] == 60
    assert await world.alive(tokens["access_token"])
    world.clock.advance(timedelta(seconds=60))
    assert not await world.alive(tokens["access_token"])
