"""Names that nothing has: said where they are written or asked for, with the nearest one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from safeconduct.audit import Event, Trail
from safeconduct.cli.work.auditing import Place, export_to, filters
from safeconduct.core.clock import SystemClock
from tests.cli.conftest import FILE, Shell
from tests.cli.upstream import Upstream

HINT = "the server has no tool of this name; did you mean 'get_issue'?"


def _configured(shell: Shell, upstream: Upstream, more: str) -> None:
    text = FILE.format(url=upstream.url)
    line = f'      - {{key: tickets, name: Tickets, url: "{upstream.url}"'
    assert line in text
    (shell.directory / "safeconduct.yaml").write_text(text.replace(line, f"{line}, {more}"))


@pytest.mark.parametrize(
    ("more", "member"),
    [
        ("tools: {get-issue: {level: high}}", "tools: get-issue"),
        ("import: [delete_issue, get_isue]", "import: get_isue"),
    ],
)
def test_a_name_that_no_tool_of_the_server_has_is_said_with_the_nearest(
    shell: Shell, upstream: Upstream, more: str, member: str
) -> None:
    _configured(shell, upstream, more)

    applied = shell("apply")
    listed = shell("servers", "list", "--json").json
    checked = shell("servers", "check")
    doctor = {each["check"]: each for each in shell("doctor", "--json").json["checks"]}

    said = f"setting {member}: {HINT}"
    assert said in applied.err + applied.out
    assert said in listed[0]["left_out"]
    assert said in checked.out
    assert doctor["server tickets"]["state"] == "warn"
    assert said in doctor["server tickets"]["message"]
    if "tools" in more:
        assert said in shell("plan").err


def test_names_that_the_server_has_are_not_worth_a_word(shell: Shell, upstream: Upstream) -> None:
    _configured(shell, upstream, "import: [get_issue], tools: {get_issue: {level: high}}")

    applied = shell("apply")

    assert "no tool of this name" not in applied.err + applied.out
    assert shell("servers", "list", "--json").json[0]["left_out"] == []
    assert "no tool of this name" not in shell("plan").err


def test_commands_tell_the_nearest_name(shell: Shell, upstream: Upstream) -> None:
    _configured(shell, upstream, "description: x")
    shell("apply")

    assert "did you mean 'tickets'?" in shell("servers", "show", "ticket", code=1).err
    assert "did you mean 'tickets'?" in shell("servers", "review", "ticket", code=1).err
    assert "did you mean 'tickets'?" in shell("sessions", "list", "--server", "ticket", code=1).err
    assert (
        "did you mean 'get_issue'?"
        in shell("servers", "review", "tickets", "get-issue", code=1).err
    )


def test_people_and_agents_are_found_by_what_they_are_called_or_the_nearest_is_said(
    shell: Shell, upstream: Upstream
) -> None:
    _configured(shell, upstream, "description: x")
    shell("apply", "--no-crawl")

    for command in (("sessions", "list", "--person"), ("people", "suspend")):
        assert "did you mean 'alice@acme.test'?" in shell(*command, "alcie@acme.test", code=1).err
    for command in (("sessions", "list", "--agent"), ("agents", "block")):
        assert "did you mean 'ci'?" in shell(*command, "cii", code=1).err
    assert shell("sessions", "list", "--agent", "CI").out == "No session is live.\n"
    assert "is blocked" in shell("agents", "block", "CI").out, "that is its name"


def test_the_trail_finds_a_person_by_address_and_an_agent_by_name(tmp_path: Path) -> None:
    """Most records have the ids alone."""
    trail = Trail(tmp_path / "audit", clock=SystemClock(), root_key=b"k" * 32)
    trail.open()
    for name, email, subject, client in (
        ("My agent", "alice@acme.test", "p_1", "c_1"),
        ("Other", "bob@acme.test", "p_2", "c_2"),
    ):
        who: Any = {"host": "acme", "subject": subject, "client": client}
        trail.append(Event(kind="session.opened", subject_email=email, client_name=name, **who))
        trail.append(Event(kind="call.outcome", **who))
    trail.close()
    place = Place(config=tmp_path / "none", data_dir=tmp_path, host="acme")

    def found(**named: str) -> list[str]:
        out = tmp_path / "out"
        out.unlink(missing_ok=True)
        chosen = filters(
            **dict.fromkeys(("kind", "decision", "since", "until", "server")),
            **{"subject": None, "agent": None, **named},
        )
        export_to(out, place, chosen, fmt="jsonl", as_json=False)
        return [json.loads(line)["subject"] for line in out.read_text().splitlines()]

    assert found(subject="Alice@acme.test") == found(subject="p_1") == ["p_1", "p_1"]
    assert found(agent="other") == found(agent="c_2") == ["p_2", "p_2"]
    assert found(subject="alice@acme.test", agent="Other") == []
    assert found(subject="nobody@acme.test") == []


def test_a_filter_of_the_trail_that_fits_nothing_says_which_name_nothing_has(
    shell: Shell, upstream: Upstream, tmp_path: Path
) -> None:
    _configured(shell, upstream, "description: x")
    shell("apply")

    kind = shell("audit", "tail", "--kind", "configuration.aplied")
    assert "has the kind configuration.aplied; did you mean 'configuration.applied'?" in kind.err
    subject = shell("audit", "export", "--subject", "alice@acme.test")
    assert "No record of host acme has the subject alice@acme.test" in subject.err
    assert "people list" not in subject.err
    server = shell("audit", "export", "-o", str(tmp_path / "out"), "--server", "tickts")
    assert "has the server tickts" in server.err
    assert "No record" not in shell("audit", "tail", "--kind", "configuration.applied").err
    host = shell("audit", "tail", "--host", "acmee")
    assert "No record has the host acmee; did you mean 'acme'?" in host.err
    assert shell("audit", "tail", "--host", "acme").err == ""
