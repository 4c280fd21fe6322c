"""Two hosts in one installation: no command shows or changes anything of the one not named."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from safeconduct.cli.program import run
from tests.cli.conftest import Ran
from tests.cli.test_installation import connect_alice

pytestmark = pytest.mark.slow
WORD = re.compile(r"\w+")
HOST = """\
  - key: {key}
    origin: https://{key}.test
    people: [{{email: {person}@{key}.test}}]
    servers: [{{key: {server}, url: "http://127.0.0.1:1/mcp"}}]
    access: [{{person: {person}@{key}.test, server: {server}, ceiling: medium}}]
    clients: [{{id: {client}, redirect_uris: ["http://localhost/cb"]}}]
"""
ACME = {"key": "acme", "person": "alice", "server": "tickets", "client": "ci"}
GLOBEX = {"key": "globex", "person": "gina", "server": "notes", "client": "cd"}
LISTS = [(noun, "list") for noun in ("servers", "people", "relations", "agents", "sessions")]

Typed = Callable[..., Ran]


@pytest.fixture
def typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Typed:
    """Type commands at an installation of acme and globex; in this process, to be quick."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # put back afterwards
    file = tmp_path / "safeconduct.yaml"
    server = "server: {allow_loopback_upstreams: true, data_dir: data}\nhosts:\n"
    file.write_text(server + "".join(HOST.format(**each) for each in (ACME, GLOBEX)))

    def typed(*arguments: str, code: int = 0) -> Ran:
        with ThreadPoolExecutor(1) as thread:  # the tests' own event loop stays untouched
            ended = thread.submit(run, [*arguments, "-c", str(file)]).result()
        out, err = capsys.readouterr()
        assert (ended, arguments) == (code, arguments), err
        return Ran(ended, out, err)

    typed("apply", "--no-crawl")
    return typed


@pytest.fixture
def session(typed: Typed, tmp_path: Path) -> str:
    """Alice of acme has a live session with an agent that was made known to acme alone."""
    assert "ci" in words(typed("agents", "list", "--host", "acme"))
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(connect_alice(tmp_path, "ci"))).result()


def words(ran: Ran) -> set[str]:
    return set(WORD.findall(ran.out))


@pytest.mark.requirement("X-01", "L-19", "S-10")
@pytest.mark.parametrize(
    "look", [*LISTS, ("audit", "tail", "-n", "1000"), ("audit", "export")], ids=" ".join
)
def test_every_list_holds_one_host(typed: Typed, session: str, look: tuple[str, ...]) -> None:
    here = words(typed(*look, "--host", "acme", "--json"))
    there = words(typed(*look, "--host", "globex", "--json"))

    assert here & {*ACME.values(), session}
    assert there & {*GLOBEX.values()} or look == ("sessions", "list")
    assert not here & {*GLOBEX.values()}
    assert not there & {*ACME.values(), session}


@pytest.mark.requirement("X-01")
def test_what_is_shown_of_a_host_is_its_own(typed: Typed) -> None:
    assert words(typed("hosts", "show", "globex")) & {*ACME.values()} == set()
    assert words(typed("connect", "cursor", "--host", "globex")) & {*ACME.values()} == set()


@pytest.mark.requirement("X-01", "L-19", "S-10", "Z-26")
@pytest.mark.parametrize(
    "change",
    [
        ("sessions", "revoke", "ses_ci"),
        ("sessions", "revoke", "--person", "alice@acme.test"),
        ("sessions", "revoke", "--agent", "ci"),
        ("people", "suspend", "alice@acme.test"),
        ("people", "restore", "alice@acme.test"),
        ("agents", "block", "ci"),
        ("agents", "unblock", "ci"),
        ("servers", "show", "tickets"),
        ("servers", "check", "tickets"),
        ("servers", "accept", "tickets", "get_issue"),
        ("servers", "refuse", "tickets", "get_issue"),
        ("connect", "cursor", "--server", "tickets"),
    ],
    ids=" ".join,
)
def test_a_change_on_one_host_finds_nothing_of_the_other(
    typed: Typed, session: str, change: tuple[str, ...]
) -> None:
    typed(*change, "--host", "globex", code=1)

    live = json.loads(typed("sessions", "list", "--host", "acme", "--json").out)
    assert [each["id"] for each in live] == [session]


@pytest.mark.requirement("X-01", "L-19")
@pytest.mark.parametrize(
    "command",
    [
        *LISTS,
        *(("audit", "tail"), ("audit", "export"), ("hosts", "show"), ("connect", "cursor")),
        *(("sessions", "revoke", "--agent", "ci"), ("agents", "block", "ci")),
    ],
    ids=" ".join,
)
def test_a_command_about_one_host_wants_it_named(typed: Typed, command: tuple[str, ...]) -> None:
    told = typed(*command, code=1)

    assert told.out == ""
    assert "acme, globex" in told.err
