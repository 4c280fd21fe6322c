"""The commands against a real installation: each a process, as a person or a pipeline runs it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from safeconduct import consent as consents
from safeconduct import people, sessions
from safeconduct.app import open_installation
from safeconduct.approvals import Approval
from safeconduct.core.clock import SystemClock
from safeconduct.core.model import (
    ClientId,
    ConsentId,
    HostId,
    Level,
    ServerKey,
    SessionId,
    SubjectId,
)
from safeconduct.core.sealed_calls import AskedCall, SealedCalls
from safeconduct.settings import load
from safeconduct.storage import Database, Epoch, Feed
from tests.cli.conftest import FILE, SECRETS, Shell
from tests.cli.upstream import Upstream

pytestmark = pytest.mark.slow
ACME = HostId("acme")


async def connect_alice(directory: Path, client: str) -> str:
    """Give alice's agent a live session, as signing in would."""
    epoch = Epoch(directory / "data" / "epoch")
    clock = SystemClock()
    feed = Feed(epoch)
    url = f"sqlite+aiosqlite:///{directory}/data/safeconduct.db"
    database = Database(url, feed=feed, clock=clock)
    now = clock.now()
    async with database.write() as tx:
        found = await people.by_email(tx, ACME, "alice@acme.test")
        assert found is not None
        await consents.grant(
            tx,
            consents.Consent(
                host=ACME,
                subject=found[0].id,
                client=ClientId(client),
                server=ServerKey("tickets"),
                id=ConsentId(f"con_{client}"),
                level=Level.LOW,
                granted_at=now,
                expires_at=now + timedelta(days=30),
                redirect_uri="http://localhost/cb",
                client_digest="d",
            ),
        )
        await sessions.open_session(
            tx,
            sessions.Session(
                host=ACME,
                id=SessionId(f"ses_{client}"),
                subject=found[0].id,
                client=ClientId(client),
                server=ServerKey("tickets"),
                opened_at=now,
                used_at=now,
                ends_at=now + timedelta(days=90),
                idle_seconds=86_400,
            ),
        )
    await database.close()
    epoch.close()
    return f"ses_{client}"


def test_a_plan_of_what_was_applied_is_empty(installed: Shell) -> None:
    assert installed("plan").out == "Nothing to change.\n"
    assert installed("plan", "--json").json == {"steps": [], "imported": [], "warnings": []}


def test_apply_does_what_plan_showed(shell: Shell, upstream: Upstream) -> None:
    (shell.directory / "safeconduct.yaml").write_text(FILE.format(url=upstream.url))

    planned = shell("plan", "--json").json
    done = shell("apply", "--json").json

    assert done["steps"] == planned["steps"]
    assert [step["noun"] for step in planned["steps"]] == [
        *("host", "server", "person", "operator", "client", "ceiling")
    ]
    (imported,) = done["imported"]
    assert (imported["low"], imported["medium"], imported["high"]) == (1, 0, 1)


def _files(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.relative_to(directory).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_a_plan_changes_nothing_on_disk(shell: Shell, upstream: Upstream) -> None:
    file = shell.directory / "safeconduct.yaml"
    file.write_text(FILE.format(url=upstream.url))
    shell("plan")
    assert sorted(path.name for path in shell.directory.iterdir()) == ["safeconduct.yaml"]
    shell("apply")
    file.write_text(file.read_text().replace("name: Alice", "name: Alicia"))
    before = _files(shell.directory)
    listed = sorted(path.name for path in (shell.directory / "data").iterdir())

    assert "Alicia" in shell("plan").out

    assert _files(shell.directory) == before
    assert sorted(path.name for path in (shell.directory / "data").iterdir()) == listed


def test_a_plan_without_the_key_says_to_restore_it(shell: Shell, upstream: Upstream) -> None:
    (shell.directory / "safeconduct.yaml").write_text(FILE.format(url=upstream.url))
    shell("apply", "--no-crawl")
    (shell.directory / "data" / "master.key").unlink()

    for command in ("plan", "apply"):
        ran = shell(command, code=1)
        assert "data/master.key is missing" in ran.err
        assert "Restore it from a backup" in ran.err
    assert not (shell.directory / "data" / "master.key").exists()


def test_the_doctor_makes_no_database_in_an_empty_directory(
    shell: Shell, upstream: Upstream
) -> None:
    (shell.directory / "safeconduct.yaml").write_text(FILE.format(url=upstream.url))
    (shell.directory / "data").mkdir(mode=0o700)

    shell("doctor")

    assert list((shell.directory / "data").iterdir()) == []


@pytest.mark.requirement("S-12")
async def test_apply_ends_sessions_that_lost_their_ceiling(
    shell: Shell, upstream: Upstream
) -> None:
    file = shell.directory / "safeconduct.yaml"
    file.write_text(FILE.format(url=upstream.url))
    await asyncio.to_thread(shell, "apply", "--no-crawl")
    session = await connect_alice(shell.directory, "ci")
    listed = await asyncio.to_thread(shell, "sessions", "list", "--json")
    assert [each["id"] for each in listed.json] == [session]
    text = file.read_text()
    file.write_text("\n".join(line for line in text.splitlines() if "ceiling" not in line))
    file.write_text(file.read_text().replace("    access:\n", ""))

    done = await asyncio.to_thread(shell, "apply")

    assert f"- acme: session {session}: of alice@acme.test on tickets ends" in done.out
    assert (await asyncio.to_thread(shell, "sessions", "list", "--json")).json == []
    tail = await asyncio.to_thread(shell, "audit", "tail")
    assert "session.ended" in tail.out
    assert f"by={shell.user}" in tail.out


async def test_suspending_a_person_ends_what_they_allowed_and_restoring_gives_nothing_back(
    installed: Shell,
) -> None:
    await connect_alice(installed.directory, "suspended")

    done = await asyncio.to_thread(installed, "people", "suspend", "alice@acme.test")

    assert done.out == "alice@acme.test is suspended; 1 consent ended.\n"
    again = await asyncio.to_thread(installed, "people", "suspend", "alice@acme.test", code=1)
    assert again.err == "alice@acme.test is suspended already; nothing was changed.\n"
    listed = await asyncio.to_thread(installed, "people", "list", "--json")
    assert [(each["active"], each["sessions"]) for each in listed.json] == [(False, 0)]
    await asyncio.to_thread(installed, "people", "restore", "Alice@acme.test")
    listed = await asyncio.to_thread(installed, "people", "list", "--json")
    assert [(each["active"], each["sessions"]) for each in listed.json] == [(True, 0)]
    tail = (await asyncio.to_thread(installed, "audit", "tail", "--json")).out.splitlines()
    records = [json.loads(line) for line in tail]
    kinds = [each["kind"] for each in records if each["kind"] != "configuration.applied"]
    assert kinds[:4] == ["person.suspended", "session.ended", "consent.ended", "person.restored"]
    assert {each["detail"]["by"] for each in records} == {installed.user}


@pytest.mark.requirement("Z-26")
async def test_sessions_end_one_by_one_or_by_person_and_server_or_by_agent(
    installed: Shell,
) -> None:
    one = await connect_alice(installed.directory, "one")
    two = await connect_alice(installed.directory, "two")

    await asyncio.to_thread(installed, "sessions", "revoke", one)
    left = await asyncio.to_thread(installed, "sessions", "list", "--json")
    assert [each["id"] for each in left.json] == [two]
    gone = await asyncio.to_thread(installed, "sessions", "revoke", one, code=1)
    assert gone.err == "Nothing of the kind is live; nothing was changed.\n"
    await asyncio.to_thread(
        installed, "sessions", "revoke", "--person", "alice@acme.test", "--server", "tickets"
    )
    assert (await asyncio.to_thread(installed, "sessions", "list", "--json")).json == []


@pytest.mark.parametrize(
    "arguments", [(), ("ses_1", "--agent", "ci"), ("--server", "tickets"), ("--person", "a", "x")]
)
def test_what_to_revoke_must_be_said_once(installed: Shell, arguments: tuple[str, ...]) -> None:
    assert (
        "Name one session, or --person" in installed("sessions", "revoke", *arguments, code=1).err
    )


async def test_blocking_an_agent_ends_what_it_was_allowed(installed: Shell) -> None:
    await connect_alice(installed.directory, "ci")

    done = await asyncio.to_thread(installed, "agents", "block", "ci", "--json")

    assert done.json == {"client": "ci", "blocked": True, "ended": 1}
    listed = await asyncio.to_thread(installed, "agents", "list", "--json")
    assert [(each["id"], each["blocked"], each["sessions"]) for each in listed.json] == [
        ("ci", True, 0)
    ]
    await asyncio.to_thread(installed, "agents", "unblock", "ci")
    again = await asyncio.to_thread(installed, "agents", "unblock", "ci", code=1)
    assert again.err == "This agent is not blocked; nothing was changed.\n"


def test_a_changed_tool_waits_until_it_is_accepted(installed: Shell, upstream: Upstream) -> None:
    upstream.descriptions["get_issue"] = "Reads an issue, and your mail."

    checked = installed("servers", "check", "tickets")

    assert "for review: get_issue" in checked.out
    unread = installed("servers", "accept", "tickets", "get_issue", code=1)
    assert "Name what you read with --digest" in unread.err
    (waiting,) = installed("servers", "review", "--json").json
    assert (waiting["server"], waiting["name"], waiting["state"]) == (
        *("tickets", "get_issue"),
        "changed",
    )
    read = installed("servers", "review", "tickets", "get_issue")
    assert "/description:" in read.out
    assert "Reads an issue{+, and your mail+}." in read.out
    digest = ("--digest", waiting["digest"])
    assert f"safeconduct servers accept tickets get_issue {' '.join(digest)}" in read.out
    refused = installed("servers", "refuse", "tickets", "get_issue", *digest)
    assert "stays out" in refused.out
    assert (
        "refused already"
        in installed("servers", "refuse", "tickets", "get_issue", *digest, code=1).err
    )
    shown = {each["name"]: each for each in installed("servers", "show", "tickets", "--json").json}
    assert shown["get_issue"]["state"] == "changed"
    stale = installed("servers", "accept", "tickets", "get_issue", "--digest", "0" * 64, code=1)
    assert "no longer what was read" in stale.err
    short = installed(
        "servers", "accept", "tickets", "get_issue", "--digest", digest[1][:12], code=1
    )
    assert "A digest has 64 characters and this one has 12" in short.err
    installed("servers", "accept", "tickets", "get_issue", *digest)
    shown = {each["name"]: each for each in installed("servers", "show", "tickets", "--json").json}
    assert (shown["get_issue"]["state"], shown["get_issue"]["description"]) == (
        "pinned",
        "Reads an issue, and your mail.",
    )
    again = installed("servers", "accept", "tickets", "get_issue", *digest, code=1)
    assert "does not wait for review" in again.err
    kinds = [
        json.loads(line)["kind"] for line in installed("audit", "tail", "--json").out.splitlines()
    ]
    assert kinds[-4:] == ["server.checked", "tool.changed", "tool.refused", "tool.accepted"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("servers", "show", "nope"),
            "Host acme has no server nope. See: safeconduct servers list",
        ),
        (("servers", "accept", "tickets", "x"), "Server tickets has no tool x."),
        (("people", "suspend", "x@y.test"), "Host acme knows nobody by that address."),
        (("agents", "block", "nope"), "Host acme knows no agent by that id or name."),
        (("hosts", "show", "nope"), "There is no host nope. There are: acme"),
        (("audit", "tail", "--decision", "maybe"), "--decision is one of: allow, deny"),
        (("audit", "tail", "--since", "1h", "--until", "2h"), "--since is not before --until"),
        (("audit", "tail", "--since", "soon"), "--since is a time such as"),
        (("audit", "tail", "--since", "999999d"), "--since is a time such as"),
        (("audit", "export", "--until", "0001-01-01T00:00+14:00"), "--until is a time such as"),
    ],
)
def test_a_mistake_is_one_sentence_and_code_1(
    installed: Shell, arguments: tuple[str, ...], said: str
) -> None:
    ran = installed(*arguments, code=1)

    assert ran.err.startswith(said)
    assert len(ran.err.splitlines()) == 1
    assert ran.out == ""


@pytest.mark.parametrize(
    ("arguments", "code"), [(("hosts", "show"), 0), (("hosts", "show", "nope"), 1)]
)
def test_a_command_of_these_tests_is_what_an_interpreter_of_its_own_says(
    installed: Shell, arguments: tuple[str, ...], code: int
) -> None:
    anew = subprocess.run(
        [sys.executable, "-W", "error", "-m", "safeconduct", *arguments],
        cwd=installed.directory,
        env=installed.environ,
        capture_output=True,
        timeout=60,
        check=False,
    )

    ran = installed(*arguments, code=code)

    found = (anew.returncode, anew.stdout.decode(), anew.stderr.decode())
    assert found == (ran.code, ran.out, ran.err)


def test_every_list_is_a_table_or_json(installed: Shell) -> None:
    for noun in ("hosts", "servers", "people", "agents"):
        assert isinstance(installed(noun, "list", "--json").json, list)
        assert "acme" in installed(noun, "list").out or noun in {"agents", "servers"}
    assert installed("hosts", "show", "--json").json["origin"] == "http://localhost:8420"
    assert "policies.tokens.access_seconds: 900" in installed("hosts", "show").out


def test_a_tail_of_nothing_says_so_to_people(installed: Shell) -> None:
    told = installed("audit", "tail", "--host", "acmee")

    hint = "No record has the host acmee; did you mean 'acme'?\n"
    assert told.out == ""
    assert told.err == f"{hint}Nothing of host acmee is written down that fits.\n"
    as_json = installed("audit", "tail", "--host", "acmee", "--json")
    assert (as_json.out, as_json.err) == ("", hint)


def test_the_trail_is_exported_and_proven(installed: Shell) -> None:
    out = installed.directory / "trail.csv"
    done = installed("audit", "export", "--format", "csv", "-o", str(out), "--json").json
    assert done["records"] == len(out.read_text().splitlines()) - 1 > 0
    assert out.stat().st_mode & 0o077 == 0
    again = installed("audit", "export", "-o", str(out), code=1)
    assert again.err == f"File exists: {out}\n"
    lines = installed("audit", "export").out.splitlines()
    assert len(lines) == done["records"]

    proven = installed("audit", "verify", "--json")
    assert proven.json["whole"] is True
    anchors = installed.directory / "anchors.json"
    anchors.write_text(proven.out)
    installed("audit", "verify", "--anchors", str(anchors))


def test_the_seals_of_heads_are_checked_with_the_installations_key(installed: Shell) -> None:
    data = installed.directory / "data"
    copy = installed.directory / "copy"
    shutil.copytree(data / "audit", copy / "audit")

    assert "--key" not in installed("audit", "verify").err
    assert "--anchors" in installed("audit", "verify").err
    assert "--key" in installed("audit", "verify", "--data-dir", str(copy)).err
    with_key = installed(
        "audit", "verify", "--data-dir", str(copy), "--key", str(data / "master.key"), "--json"
    )
    assert with_key.json["whole"] is True
    assert not any("--key" in sentence for sentence in with_key.json["unproven"])

    other = installed.directory / "other.key"
    other.write_bytes(b"x" * 32)
    told = installed("audit", "verify", "--data-dir", str(copy), "--key", str(other), code=1)
    assert "the head was rewritten" in told.err
    other.write_bytes(b"short")
    told = installed("audit", "verify", "--data-dir", str(copy), "--key", str(other), code=1)
    assert "is no key of an installation" in told.err


def test_an_altered_trail_is_told(shell: Shell, upstream: Upstream) -> None:
    (shell.directory / "safeconduct.yaml").write_text(FILE.format(url=upstream.url))
    shell("apply", "--no-crawl")
    (segment, *_) = sorted((shell.directory / "data" / "audit").glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes().replace(b"configuration", b"compensation.", 1))

    told = shell("audit", "verify", "--data-dir", "data", code=1)

    assert "altered" in told.err


def test_the_doctor_finds_what_is_wrong(shell: Shell, upstream: Upstream) -> None:
    text = FILE.format(url=upstream.url).replace("8420", "8787")
    (shell.directory / "safeconduct.yaml").write_text(text)
    before = {each["check"]: each for each in shell("doctor", "--json").json["checks"]}
    assert before["data directory"]["state"] == "warn"
    assert "Cursor listens on 8787" in before["port"]["message"] or before["port"]["state"] == "ok"
    assert not (shell.directory / "data").exists()
    shell("apply")

    well = shell("doctor")
    assert "warn  port: Cursor listens on 8787" in well.out
    assert "ok    server tickets: legacy; 2 tools" in well.out
    (shell.directory / "data").chmod(0o755)
    (shell.directory / "safeconduct.yaml").write_text(text.replace("/mcp", "/mcp/nope/../.."))
    told = shell("doctor", "--json", code=1).json
    failed = {each["check"] for each in told["checks"] if each["state"] == "fail"}
    assert "data directory" in failed
    assert told["ok"] is False


def test_the_doctor_reads_what_plain_apis_declare(shell: Shell, upstream: Upstream) -> None:
    http = "{base: 'http://127.0.0.1:9', openapi: o.json}"
    more = f"      - {{key: plain, http: {http}}}\n    access:\n"
    text = FILE.format(url=upstream.url).replace("    access:\n", more, 1)
    (shell.directory / "safeconduct.yaml").write_text(text)
    (shell.directory / "o.json").write_text('{"openapi": "3.1.0", "paths": {"/a": {"get": {}}}}')
    shell("apply")

    well = shell("doctor")
    (shell.directory / "o.json").write_text("{}")
    ill = shell("doctor", code=1)

    assert "ok    server plain: 1 tools declared" in well.out
    assert "fail  HTTP APIs of acme: Server plain of host acme cannot be used: o.json" in ill.out
    assert "ok    server tickets" in ill.out


def test_nothing_secret_was_ever_printed(installed: Shell) -> None:
    """Looks at every output of this module's shared installation."""
    for ran in installed.seen:
        for secret in SECRETS.values():
            assert secret not in ran.out + ran.err


@pytest.mark.requirement("H-10")
async def test_a_request_is_decided_once_and_shows_as_what_it_has_become(
    shell: Shell, upstream: Upstream
) -> None:
    (shell.directory / "safeconduct.yaml").write_text(FILE.format(url=upstream.url))
    await asyncio.to_thread(shell, "apply", "--no-crawl")
    for name in ("apr_yes", "apr_no"):
        await ask(shell.directory, name)

    table = await asyncio.to_thread(shell, "approvals", "list")
    assert "apr_yes" in table.out
    assert "spring cleaning" in table.out
    assert 'id="T-7", force=true' in table.out
    whole = await asyncio.to_thread(shell, "approvals", "show", "apr_yes")
    assert '"id": "T-7"' in whole.out
    assert '"example.test/tenant": "blue"' in whole.out
    for shown in (table, whole):
        assert 'task="all", _meta.example.test/tenant="blue"' in shown.out
    assert '        "note": "a\\u2028b\\u202ec"' in whole.out.splitlines()  # one line, in its order
    as_json = (await asyncio.to_thread(shell, "approvals", "show", "apr_no", "--json")).json
    assert as_json["call"] == msgspec.to_builtins(SAID)
    looks = await asyncio.to_thread(shell, "audit", "export", "--kind", "approval.read")
    found = [json.loads(line) for line in looks.out.splitlines()]
    assert [each["approval"] for each in found] == ["apr_yes", "apr_no", "apr_yes", "apr_no"]
    assert {each["detail"]["by"] for each in found} == {shell.user}
    assert "T-7" not in looks.out
    assert "delete\ufffd[31m_issue" in table.out  # what would colour the line does not
    yes = await asyncio.to_thread(shell, "approvals", "approve", "apr_yes", "--reason", "ok")
    assert yes.out.startswith("Approved. The call goes through once;")
    no = await asyncio.to_thread(
        shell, "approvals", "refuse", "apr_no", "--reason", "not today", "--json"
    )
    assert (no.json["id"], no.json["state"]) == ("apr_no", "refused")

    again = await asyncio.to_thread(shell, "approvals", "approve", "apr_no", code=1)
    assert again.err == (
        f"This request is refused already (decided by {shell.user}); nothing was changed.\n"
    )
    nobody = await asyncio.to_thread(shell, "approvals", "approve", "apr_0", code=1)
    assert nobody.err == "Host acme has no such request. See: safeconduct approvals list\n"
    why = await asyncio.to_thread(shell, "approvals", "refuse", "apr_no", "--reason", " ", code=1)
    assert why.err == "The reason is a text of 1 to 500 characters.\n"
    assert (await asyncio.to_thread(shell, "approvals", "list", "--json")).json == []
    history = (await asyncio.to_thread(shell, "approvals", "list", "--all", "--json")).json
    assert {each["id"]: (each["state"], each["reason"]) for each in history} == {
        "apr_yes": ("approved", "ok"),
        "apr_no": ("refused", "not today"),
    }
    assert {each["decided_by"] for each in history} == {shell.user}


SAID = AskedCall(
    params={
        "name": "delete\x1b[31m_issue",
        "arguments": {"id": "T-7", "force": True, "note": "a\u2028b\u202ec"},
        "task": "all",
    },
    meta={"example.test/tenant": "blue"},
)


async def ask(directory: Path, name: str) -> None:
    """Ask for an approval, as a held call would."""
    settings = load(directory / "safeconduct.yaml", SECRETS)
    async with open_installation(settings) as parts:
        now = parts.clock.now()
        await parts.approvals.ask(
            Approval(
                host=ACME,
                id=name,
                subject=SubjectId("p_alice"),
                client=ClientId("ci"),
                session=SessionId("s_1"),
                server=ServerKey("tickets"),
                method="tools/call",
                name="delete\x1b[31m_issue",
                level=Level.HIGH,
                role="approver",
                arguments={"id": "string(3)"},
                fingerprint=name,
                decision_id="dec_1",
                asked_at=now,
                expires_at=now + timedelta(minutes=5),
                purpose="spring cleaning",
                sealed=SealedCalls(parts.root_key).seal(ACME, name, SAID),
            )
        )
