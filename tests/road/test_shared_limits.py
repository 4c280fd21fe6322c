"""Limits that several workers keep together: what one of them counted holds in the other."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.road.served import served
from tests.road.test_workers import PARAMS, answering, post, standing
from tests.road.upstream import PATIENCE_SECONDS

pytestmark = pytest.mark.slow
LIMIT = 7
RULES = f"""
package safeconduct.host.rate

import rego.v1

rate := {{"type": "throttle", "count": {LIMIT}, "seconds": 3600, "per": "person"}}

obligations contains rate if input.resource.name == "get_issue"
"""


@pytest.mark.requirement("Z-37")
async def test_a_throttle_is_one_count_over_all_workers_and_outlives_a_restart(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, workers=2) as site, AsyncExitStack() as stack:
        token = await site.token()
        clients = await standing(site, stack, token)
        before = answering(site)
        assert len(before) == 2
        config = yaml.safe_load(site.trial.config.read_text())
        config["hosts"][0]["policy"] = {"directory": "policies"}
        site.trial.config.write_text(yaml.safe_dump(config))
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "rate.rego").write_text(RULES)
        await site.command("apply", "--no-crawl")

        answers = await asyncio.gather(*(post(site, each, token, PARAMS) for each in clients))

        went = [each for each in answers if "result" in each.json()]
        codes = {each.json()["error"]["code"] for each in answers if "error" in each.json()}
        assert (len(went), codes) == (LIMIT, {4290})
        assert len(answering(site) - before) == 2  # both took some, or the test shows nothing


async def test_attempts_to_register_are_one_count_over_all_workers(tmp_path: Path) -> None:
    limits = {"register_per_minute": LIMIT, "writes_per_minute": 1_000_000}
    async with served(tmp_path, workers=2, rate_limits=limits) as site:

        async def register() -> int:
            async with httpx2.AsyncClient(timeout=PATIENCE_SECONDS) as client:
                body = {"redirect_uris": ["https://agent.test/cb"], "client_name": "Agent"}
                answer = await client.post(f"{site.origin}/oauth/register", json=body)
                return answer.status_code

        codes = [
            code for _ in range(6) for code in await asyncio.gather(*(register() for _ in "12345"))
        ]

        assert codes.count(201) == LIMIT
        assert codes.count(429) == len(codes) - LIMIT
