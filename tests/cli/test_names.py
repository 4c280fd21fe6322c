"""Names that nothing has: said where they are written or asked for, with the nearest one."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    assert "did you mean 'tickets'?" in shell("sessions", "list", "--server", "ticket", code=1).err
    assert (
        "did you mean 'get_issue'?"
        in shell("servers", "review", "tickets", "get-issue", code=1).err
    )


def test_a_filter_of_the_trail_that_fits_nothing_says_which_name_nothing_has(
    shell: Shell, upstream: Upstream, tmp_path: Path
) -> None:
    _configured(shell, upstream, "description: x")
    shell("apply")

    kind = shell("audit", "tail", "--kind", "configuration.aplied")
    assert "has the kind configuration.aplied; did you mean 'configuration.applied'?" in kind.err
    subject = shell("audit", "export", "--subject", "alice@acme.test")
    assert "No record of host acme has the subject alice@acme.test" in subject.err
    server = shell("audit", "export", "-o", str(tmp_path / "out"), "--server", "tickts")
    assert "has the server tickts" in server.err
    assert "No record" not in shell("audit", "tail", "--kind", "configuration.applied").err
