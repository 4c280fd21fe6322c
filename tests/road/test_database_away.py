"""While the database is away everybody is told so, in their own words, and when to come back."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from safeconduct.rehearsal import Answer, exchange
from tests.fixtures.postgres import Postgres
from tests.road.served import Served, served
from tests.road.test_nodes import between_them

pytestmark = pytest.mark.slow

_FORM = {"content-type": "application/x-www-form-urlencoded"}
_JSON = {"content-type": "application/json"}
_PAGE = {"accept": "text/html"}
# What goes on beside requests may meet the outage too, and says that it will try again.
_AT_WORK = (
    *("Sessions.", "Housekeeping.", "Expiring.", "Repositories."),
    *("Upkeep.", "Database."),
)
_LONGEST_SECONDS = 25.0  # the store's own patience, ours beyond it, and a busy machine
_REGISTRATION = json.dumps(
    {"redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"}
).encode()
_AUTHORIZE = urlencode(
    {
        "response_type": "code",
        "redirect_uri": "http://127.0.0.1/cb",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
)


async def _asked(site: Served, path: str, body: bytes | None, **headers: str) -> Answer:
    method = "GET" if body is None else "POST"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{site.trial.origin}{path}"
    return await asyncio.to_thread(exchange, url, method=method, headers=named, body=body)


async def _client(site: Served) -> str:
    answer = await _asked(site, "/oauth/register", _REGISTRATION, **_JSON)
    return str(answer.json()["client_id"])


def _for_programs(client: str) -> dict[str, tuple[bytes | None, dict[str, str]]]:
    """What programs ask that needs the database, by address."""
    refresh = f"grant_type=refresh_token&refresh_token=sc_rt_x&client_id={client}".encode()
    other = _REGISTRATION.replace(b"/cb", b"/other")
    authorize = f"/oauth/authorize?client_id={client}&{_AUTHORIZE}"
    return {
        "/oauth/register": (other, _JSON),
        authorize: (None, {}),
        "/oauth/token": (refresh, _FORM),
        "/oauth/revoke": (f"token=sc_rt_x&client_id={client}".encode(), _FORM),
    }


def _check_refusal(answer: Answer) -> None:
    assert answer.status == 503
    assert int(answer.header("retry-after") or "") > 0
    said = answer.json()
    assert said["error"] in {"temporarily_unavailable", "unavailable"}
    sentence = said.get("error_description") or said["message"]
    assert "Try again in a few seconds" in sentence
    assert "Traceback" not in json.dumps(said)


async def _check_everybody_is_told(site: Served, client: str, *, reads_too: bool) -> None:
    programs = _for_programs(client)
    if not reads_too:  # what only reads goes on where only writing is held up
        programs = {path: each for path, each in programs.items() if "register" in path}
    began = time.perf_counter()
    path = f"/oauth/authorize?client_id={client}&{_AUTHORIZE}"
    page, *answers = await asyncio.gather(
        _asked(site, path, None, **_PAGE),
        *(_asked(site, path, body, **headers) for path, (body, headers) in programs.items()),
    )
    assert time.perf_counter() - began < _LONGEST_SECONDS
    for answer in answers:
        _check_refusal(answer)
    assert (page.status, page.header("content-type")) == (503, "text/html; charset=utf-8")
    assert int(page.header("retry-after") or "") > 0
    assert "Try again in a few seconds" in page.body.decode()
    await _ready(site, 503)
    assert "database" in (await _asked(site, "/readyz", None)).json()


async def _ready(site: Served, status: int) -> None:
    """Wait until `/readyz` answers so; it looks once a second at most."""
    async with asyncio.timeout(_LONGEST_SECONDS):
        while (await _asked(site, "/readyz", None)).status != status:
            await asyncio.sleep(0.1)


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Hold SQLite's lock for writing, as a copy or a repair in another process does."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_a_locked_database_is_said_and_done_with(tmp_path: Path) -> None:
    async with served(tmp_path) as site:
        client = await _client(site)
        with _locked(site.trial.data / "safeconduct.db"):
            await _check_everybody_is_told(site, client, reads_too=False)
        answer = await _asked(site, "/oauth/register", _REGISTRATION, **_JSON)
        assert answer.status == 201
        await _ready(site, 200)


@pytest.mark.parametrize("how", ["stalls", "breaks"])
async def test_a_database_that_is_stopped_is_said_to_everybody(
    tmp_path: Path, postgres: Postgres, how: str
) -> None:
    async with AsyncExitStack() as stack:
        between, through = await stack.enter_async_context(between_them(postgres.create()))
        site = await stack.enter_async_context(served(tmp_path, database=through))
        client = await _client(site)
        site.may_log += _AT_WORK
        between.fail(how)  # type: ignore[arg-type]  # the two ways it has
        await _check_everybody_is_told(site, client, reads_too=True)
        between.heal()
        await _ready(site, 200)
        answer = await _asked(site, "/oauth/register", _REGISTRATION, **_JSON)
        assert answer.status == 201
