"""What was decided can be explained, computed again, and compared with what other rules say."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.road.served import ALICE, served

RULE = """package safeconduct.host

import rego.v1

deny contains {"reason": "no_t7", "message": "Not that one."} if input.arguments.id == "T-7"
"""


def kept(data: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(data / "safeconduct.db")) as database:
        return [digest for (digest,) in database.execute("SELECT digest FROM built_in_rules")]


@pytest.mark.slow
@pytest.mark.requirement("L-11", "L-22", "Z-42")
async def test_the_log_is_explained_and_replayed_against_other_rules(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "own.rego").write_text(RULE)
    async with served(tmp_path / "site") as site:
        token = await site.token()
        for _ in range(3):
            assert "result" in (await site.call(token)).json()
        assert "error" in (await site.call(token, "delete_issue")).json()
        (allowed, *_), (denied,) = site.records("call.intent"), site.records("call.denied")

        why = await site.command("policy", "eval", "--decision", allowed["decision_id"])
        assert why["same"] is True
        assert why["bundle"] in kept(site.trial.data)  # also when another version serves
        assert why["computed"]["allow"] is True
        assert set(why["conditions"].values()) == {True}
        why_not = await site.command("policy", "eval", "--decision", denied["decision_id"])
        assert why_not["same"] is True
        assert why_not["recorded"]["reason"] == "ceiling.exceeded"
        failed = [name for name, holds in why_not["conditions"].items() if not holds]
        assert failed == ["within_ceiling", "within_consent"]

        flips = await site.command("policy", "diff", str(rules), "--since", "1h")
        assert flips["decisions"] == 4
        assert flips["unknown"] == {}
        (flip,) = flips["flips"]
        assert (flip["subject"], flip["resource"], flip["times"]) == (ALICE, "get_issue", 3)
        assert (flip["before"], flip["after"]) == ("allow", "deny (policy.no_t7)")
        assert flip["decision"] in {each["decision_id"] for each in site.records("call.intent")}
