"""Rules in shadow mode decide nothing, and what they would flip is known before they do."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from safeconduct.rehearsal import get
from tests.road.served import served

RULES = """package safeconduct.host

import rego.v1

deny contains {"reason": "not_mine"} if not data.safeconduct.questions.answers.mine
"""
DATA = """
questions:
  mine: {path: arguments.id, object: "ticket:{value}", permission: assignee}
"""


@pytest.mark.slow
@pytest.mark.requirement("Z-42")
async def test_a_shadow_flips_nothing_and_tells_what_it_would(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "own.rego").write_text(RULES)
    (rules / "data.yaml").write_text(DATA)
    async with served(tmp_path / "site") as site:
        token = await site.token()
        assert (await site.command("policy", "shadow")) == {"bundle": None, "flips": []}

        begun = await site.command("policy", "shadow", str(rules))
        for _ in range(2):
            assert "result" in (await site.call(token)).json()
        assert "error" in (await site.call(token, "delete_issue")).json()

        found = await site.command("policy", "shadow")
        assert found["bundle"] == begun["bundle"]
        (flip,) = found["flips"]
        assert (flip["resource"], flip["decision"], flip["would"]) == ("get_issue", "allow", "deny")
        assert (flip["reason"], flip["times"]) == ("policy.not_mine", 2)
        (shadowed,) = site.records("policy.shadowed")
        assert shadowed["bundle"] == begun["bundle"]
        # Both decided by the rules in force, which asked for nothing of the kind.
        assert {each["bundle"] for each in site.records("call.intent")} != {begun["bundle"]}
        counted = await asyncio.to_thread(get, f"{site.trial.origin}/metrics")
        assert re.search(rb'safeconduct_shadow_flips_total\{to="deny"\} 2\.0', counted.body)

        await site.command("policy", "shadow", "--off")
        assert "result" in (await site.call(token)).json()
        assert len(site.records("policy.flip")) == 2
