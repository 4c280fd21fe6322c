"""Rules that change beside a running gateway: every worker and node decides by them at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from safeconduct.rehearsal import exchange
from tests.fixtures.repositories import Repository
from tests.road.served import Served, another, served

pytestmark = pytest.mark.slow
RULES = """\
package safeconduct.host

import rego.v1

deny contains {{"reason": "{0}", "message": "No."}} if input.resource.name == "get_issue"
"""
_CALLS = 12  # on connections of their own, so that each of two workers answers some


async def reasons(*nodes: Served, token: str) -> set[str]:
    found = set()
    for _ in range(_CALLS):
        for node in nodes:
            said = (await node.call(token)).json()
            found.add(said["error"]["data"]["reason"] if "error" in said else "allowed")
    return found


def configure(site: Served, repository: Repository) -> None:
    config = yaml.safe_load(site.trial.config.read_text())
    config["hosts"][0]["policy"] = {"git": {"url": repository.url}}
    site.trial.config.write_text(yaml.safe_dump(config))


async def _changed_and_gone_back(directory: Path, site: Served, *nodes: Served) -> None:
    token = await site.token()
    assert await reasons(site, *nodes, token=token) == {"allowed"}
    repository = Repository(directory / "repository")
    repository.commit({"x.rego": RULES.format("first")})
    configure(site, repository)

    await site.command("apply", "--no-crawl")

    assert await reasons(site, *nodes, token=token) == {"policy.first"}
    repository.commit({"x.rego": RULES.format("second")})
    await site.command("apply", "--no-crawl")
    assert await reasons(site, *nodes, token=token) == {"policy.second"}
    await site.command("policy", "rollback")
    assert await reasons(site, *nodes, token=token) == {"policy.first"}
    past = [each for each in site.records("call.denied") if each["reason"] == "policy.second"]
    why = await site.command("policy", "eval", "--decision", past[-1]["decision_id"])
    assert (why["bundle"], why["computed"]["reason"]) == (past[-1]["bundle"], "policy.second")
    history = await site.command("policy", "history")
    assert [each["kind"] for each in history] == ["rolled_back", "fetched", "fetched"]
    assert (await site.command("audit", "verify"))["whole"] is True


@pytest.mark.requirement("Z-32", "Z-24")
async def test_a_command_changes_what_every_worker_decides_by(tmp_path: Path) -> None:
    async with served(tmp_path / "site", workers=2) as site:
        await _changed_and_gone_back(tmp_path, site)


@pytest.mark.requirement("Z-32", "Z-24")
async def test_a_command_changes_what_every_node_decides_by(
    tmp_path: Path, module_postgres: str
) -> None:
    async with (
        served(tmp_path / "first", database=module_postgres) as site,
        another(site, tmp_path / "second", database=module_postgres) as node,
    ):
        await _changed_and_gone_back(tmp_path, site, node)


@pytest.mark.requirement("Z-31", "Z-24")
async def test_what_is_put_by_request_decides_on_every_worker_at_once(tmp_path: Path) -> None:
    async with served(tmp_path / "site", workers=2) as site:
        token = await site.token()
        secret = tmp_path / "secret"
        secret.write_text("s" * 20)
        secret.chmod(0o600)
        config = yaml.safe_load(site.trial.config.read_text())
        point = {"id": "ci", "secret": {"file": str(secret)}, "policy": "write"}
        config["hosts"][0] |= {"policy": {"by": "api"}, "enforcement_points": [point]}
        site.trial.config.write_text(yaml.safe_dump(config))
        await site.command("apply", "--no-crawl")
        assert await reasons(site, token=token) == {"allowed"}, "what decided stays"

        async def ask(verb: str, path: str, body: Any) -> Any:
            answer = await asyncio.to_thread(
                exchange,
                f"{site.trial.origin}/api/v1/policy{path}",
                method=verb,
                headers={
                    "host": site.authority,
                    "authorization": f"Bearer {'s' * 20}",
                    "content-type": "application/json",
                },
                body=json.dumps(body).encode(),
            )
            assert answer.status == 200, answer
            return answer.json()

        first = await ask("PUT", "", {"files": {"x.rego": RULES.format("first")}})
        assert await reasons(site, token=token) == {"policy.first"}
        await ask("PUT", "", {"files": {"x.rego": RULES.format("second")}})
        assert await reasons(site, token=token) == {"policy.second"}
        await ask("POST", "/rollback", {"bundle": first["bundle"]})
        assert await reasons(site, token=token) == {"policy.first"}
        kinds = [each["kind"] for each in await site.command("policy", "history")]
        assert kinds == ["rolled_back", "put", "put"]
        assert (await site.command("audit", "verify"))["whole"] is True
