"""The road with PostgreSQL beneath it, from sign-in to kill -9."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.road.served import ALICE, Served, served

pytestmark = pytest.mark.slow


@pytest.mark.requirement("Z-24", "S-01", "S-06")
async def test_an_installation_on_postgresql_keeps_everything_through_kill_9(
    tmp_path: Path, module_postgres: str
) -> None:
    async with served(tmp_path, database=module_postgres) as site:
        token, other = await site.token(), await site.token()
        allowed = await site.call(token)
        denied = await site.call(token, "delete_issue")
        assert "content" in allowed.json()["result"]
        assert denied.json()["error"]["code"] == 4030

        await _killed_and_restarted(site)

        assert "content" in (await site.call(token)).json()["result"]
        assert (await site.call(token, "delete_issue")).json()["error"]["code"] == 4030
        sessions = await site.command("sessions", "list")
        assert [each["person"] for each in sessions] == [ALICE] * 2

        await site.command("sessions", "revoke", "--person", ALICE)
        assert {(await site.call(each)).status for each in (token, other)} == {401}

        await _killed_and_restarted(site)

        assert {(await site.call(each)).status for each in (token, other)} == {401}
        assert await site.command("sessions", "list") == []
        assert "content" in (await site.call(await site.token())).json()["result"]
        assert len(site.upstream.calls()) == len(site.records("call.intent")) == 3
        assert (await site.command("audit", "verify"))["whole"] is True
        assert not list(site.trial.data.glob("*.db"))


async def _killed_and_restarted(site: Served) -> None:
    site.gateway.process.kill()
    await site.gateway.process.wait()
    await site.restart()
