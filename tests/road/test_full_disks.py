"""A disk that takes nothing more is said everywhere somebody looks, and nothing happens unseen."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from safeconduct.rehearsal import Answer, exchange
from safeconduct.rehearsal.browser import Browser
from safeconduct.rehearsal.pages import Page
from tests.fixtures.disks import SmallDisk, small_disk
from tests.fixtures.logs import clean_lines
from tests.road.served import ALICE, Served, served
from tests.road.upstream import PATIENCE_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.requirement("L-01", "Z-37")]


@pytest.fixture
def disk(tmp_path: Path) -> Any:
    with small_disk(tmp_path / "gateway", megabytes=96) as mounted:
        yield mounted


@pytest.fixture
async def site(disk: SmallDisk) -> AsyncIterator[Served]:
    async with served(disk.path.parent) as running:
        running.may_log += ["The audit trail in", "Installation", "Sessions.flush"]
        yield running


async def ask(site: Served, path: str, **more: Any) -> Answer:
    headers = {"host": site.authority, **more.pop("headers", {})}
    return await asyncio.to_thread(exchange, f"{site.origin}{path}", headers=headers, **more)


async def readiness(site: Served, status: int) -> Answer:
    """Ask until it is so; what was looked at is told again for a second."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (answer := await ask(site, "/readyz")).status != status:
            await asyncio.sleep(0.05)  # there is nothing else to wait for
    return answer


async def metric(site: Served, name: str) -> float:
    text = (await ask(site, "/metrics")).body.decode()
    (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(value)


async def doctor(site: Served) -> list[dict[str, str]]:
    """Run the doctor; returns its findings that are not well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "safeconduct", "doctor", "-c", str(site.trial.config), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, errors = await process.communicate()
    assert b"Traceback" not in errors
    return [each for each in json.loads(said)["checks"] if each["state"] == "fail"]


async def sign_in(site: Served) -> Page:
    """Fill the sign-in form in and send it, as a browser does."""

    def signed_in() -> Page | str:
        browser = Browser(site.origin)
        page = browser.open("/account")
        assert isinstance(page, Page)
        password, _ = site.trial.password("alice")
        return browser.press(page, "Sign in", {"Email": ALICE, "Password": password})

    page = await asyncio.to_thread(signed_in)
    assert isinstance(page, Page)
    return page


async def test_a_full_disk_is_said_everywhere_and_space_mends_it(
    site: Served, disk: SmallDisk
) -> None:
    token = await site.token()
    assert (await site.call(token)).status == 200
    assert (await sign_in(site)).status == 200
    assert await metric(site, "safeconduct_audit_writable") == 1
    allowed = await metric(site, 'safeconduct_decisions_total{decision="allow"}')

    disk.fill()
    answers = [await site.call(token) for _ in range(30)]

    assert {each.status for each in answers[8:]} == {503}  # what is left of a block may be used
    went = sum(each.status == 200 for each in answers)
    ready = await readiness(site, 503)
    assert re.search(r"free of the 64\.0 MiB it needs, so .* missing", ready.json()["audit"])
    assert "its disk is full" in ready.json()["database"]
    assert await metric(site, "safeconduct_audit_writable") == 0
    assert await metric(site, "safeconduct_audit_refused_total") >= 30 - went
    decided = await metric(site, 'safeconduct_decisions_total{decision="allow"}')
    assert decided == allowed + went
    (found,) = [each for each in await doctor(site) if each["check"] == "disk"]
    assert "missing" in found["message"]
    assert str(disk.path) in found["fix"]

    disk.free()
    await readiness(site, 200)
    assert (await site.call(token)).status == 200
    assert (await sign_in(site)).status == 200
    lines = clean_lines(site.gateway.log, secrets=site.secrets)
    told = [line for line in lines if "audit trail" in line["message"]]
    assert re.search(r"No space left on device \(.* missing\)", told[0]["message"])
    assert any("is written again" in line["message"] for line in told)
    assert len(told) <= 12
    assert not any("exception" in line for line in lines)
    assert (await site.command("audit", "verify"))["whole"] is True


async def test_pages_and_endpoints_answer_with_a_sentence_while_the_disk_is_full(
    site: Served, disk: SmallDisk
) -> None:
    disk.fill()
    registration = {"redirect_uris": ["https://agent.test/cb"], "client_name": "Agent " * 200}

    for _ in range(20):  # the first ones may fit into what is left of a block
        registered = await ask(
            site,
            "/oauth/register",
            method="POST",
            headers={"content-type": "application/json"},
            body=json.dumps(registration).encode(),
        )
        if registered.status != 201:
            break
    page = await sign_in(site)

    assert registered.status == 503
    assert registered.json()["error"] == "temporarily_unavailable"
    assert registered.header("retry-after")
    assert page.status == 503
    assert re.search("database is full|audit trail cannot be written", page.text)
    disk.free()
    assert (await sign_in(site)).status == 200
    lines = clean_lines(site.gateway.log, secrets=site.secrets)
    assert not any("exception" in line for line in lines)


async def test_a_directory_that_can_only_be_read_is_said_at_the_start_and_by_the_doctor(
    site: Served, disk: SmallDisk
) -> None:
    site.gateway.process.terminate()
    await site.gateway.process.wait()
    disk.remount("ro")

    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "safeconduct", "serve", "-c", str(site.trial.config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await started.communicate()
    assert started.returncode in {1, 2}
    assert b"Read-only file system" in errors
    assert b"Traceback" not in errors
    messages = {each["message"] for each in await doctor(site)}
    assert messages >= {"cannot be used", "safeconduct.db can only be read"}
    disk.remount("rw")
