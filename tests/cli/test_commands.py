"""The command line itself: codes, sentences, and commands that need no installation."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from safeconduct.cli.output import printable
from safeconduct.cli.program import run
from safeconduct.cli.work.connecting import CLIENTS, lines_for
from tests.cli.conftest import FILE, SECRETS, SOURCES, Shell

RULES = """\
package safeconduct.host

import rego.v1

deny contains {"reason": "frozen", "message": "Frozen."} if input.resource.name == "freeze"
"""
TESTS = """\
package safeconduct.host

import rego.v1

test_frozen if count(deny) == 1 with input as {"resource": {"name": "freeze"}}
"""
FACTS = """\
caller: {host: acme, subject: p_1, client: c, session: s, server: tickets}
action: tools/call
resource: {kind: tool, server: tickets, name: create_issue}
subject: {id: p_1, email: a@acme.test, active: true}
client: {id: c, name: Agent, active: true}
session: {id: s, server: tickets, live: true}
consent: {id: con, level: medium, live: true}
ceiling: high
tool: {known: true, enabled: true, state: pinned, level: medium}
environment: {time: "2026-11-21T12:00:00Z", ip: 192.0.2.7}
"""


def test_help_is_quick() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "safeconduct", "--help"],
        env={"PYTHONPATH": str(SOURCES)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    assert b"doctor" in done.stdout
    # The processor's time: the clock on the wall also counts whoever else is busy here.
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 0.6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "No such command 'nope'. See --help of this command.\n"),
        (["plan", "--nope"], "No such option: --nope (Possible options: --prune)."),
        (["people", "suspend"], "Missing argument 'EMAIL'. See --help of this command.\n"),
        (["plan", "-c", "/nowhere.yaml"], "There is no file /nowhere.yaml. Name the"),
        (["audit", "verify", "--data-dir", "/nowhere"], "There is no audit trail in /nowhere."),
        (["policy", "check", "/nowhere"], "These rules cannot be used: there is no policy"),
        (["policy", "eval", "/nowhere"], "No such file or directory: /nowhere\n"),
        (["connect", "netscape"], "Invalid value for 'client': "),
        (["serve", "-c", "/"], "/: the file cannot be read: Is a directory\n"),
    ],
)
def test_a_users_mistake_is_a_sentence_and_code_1(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # put back afterwards

    assert run(arguments) == 1

    told = capsys.readouterr()
    assert told.err.startswith(said)
    assert told.out == ""


def test_it_says_which_version_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0

    assert capsys.readouterr().out == f"safeconduct {version('safeconduct')}\n"


def test_a_file_with_mistakes_names_their_lines_and_repeats_no_secret(shell: Shell) -> None:
    text = FILE.format(url="http://127.0.0.1:9/mcp")
    broken = text.replace("{env: ROOT}", "root-correct-horse").replace("origin", "orgin")
    (shell.directory / "safeconduct.yaml").write_text(broken)

    ran = shell("plan", code=1)

    assert "safeconduct.yaml:4:5" in ran.err
    assert "'origin'" in ran.err
    assert SECRETS["ROOT"] not in ran.err


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_gets_the_address_without_a_slash(client: str) -> None:
    lines = lines_for(client, name="tickets", url="http://localhost:8420/mcp/tickets")

    text = "\n".join((*lines.run, lines.content))
    assert "http://localhost:8420/mcp/tickets" in text
    assert "/mcp/tickets/" not in text
    if lines.content:
        assert json.loads(lines.content)


def test_the_lines_for_claude_code_are_the_ones_it_understands() -> None:
    lines = lines_for("claude-code", name="tickets", url="http://localhost:8420/mcp/tickets")

    assert lines.run == (
        "claude mcp add --transport http tickets http://localhost:8420/mcp/tickets",
        "claude mcp login tickets",
    )


def test_connect_knows_the_servers_of_the_file(shell: Shell) -> None:
    (shell.directory / "safeconduct.yaml").write_text(FILE.format(url="http://127.0.0.1:9/mcp"))

    one = shell("connect", "codex", "--server", "tickets", "--json").json
    assert one["run"] == ["codex mcp add tickets --url http://localhost:8420/mcp/tickets"]
    every = shell("connect", "cursor")
    assert '"url": "http://localhost:8420/mcp"' in every.out
    wrong = shell("connect", "codex", "--server", "chat", code=1)
    assert wrong.err == "Host acme has no server chat. It has: tickets\n"


def test_a_taken_port_is_said_before_anything_is_started(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        text = FILE.format(url="http://127.0.0.1:9/mcp")
        text = text.replace("server: {", f"server: {{listen: '127.0.0.1:{port}', ")
        (shell.directory / "safeconduct.yaml").write_text(text)

        ran = shell("serve", code=1)

    assert ran.err.startswith(f"127.0.0.1:{port} cannot be listened on: address already in use.")
    assert not (shell.directory / "data").exists()


def policies(directory: Path, *, tests: str = TESTS) -> Path:
    found = directory / "policies"
    found.mkdir()
    (found / "x.rego").write_text(RULES)
    (found / "x_test.rego").write_text(tests)
    return found


def test_a_policys_tests_are_run_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = policies(tmp_path)

    assert run(["policy", "check", str(directory)]) == 0
    assert capsys.readouterr().out.startswith("1 file may be used;")
    assert run(["policy", "test", str(directory), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"tests": ["safeconduct.host.test_frozen"], "failures": []}
    (directory / "x_test.rego").write_text(TESTS.replace("== 1", "== 2"))
    assert run(["policy", "test", str(directory)]) == 1
    told_more = capsys.readouterr()
    assert told_more.err.startswith("safeconduct.host.test_frozen: host/x_test.rego:5:")
    assert told_more.out == "1 test, 1 failure.\n"


@pytest.mark.parametrize(
    ("change", "allow", "reason"),
    [
        (("", ""), True, "allowed"),
        (
            ("level: medium, live: true}\nceiling", "level: low, live: true}\nceiling"),
            False,
            "consent.level",
        ),
        (("ceiling: high\n", ""), False, "ceiling.none"),
        (("name: create_issue", "name: freeze"), False, "policy.frozen"),
    ],
    ids=["allowed", "consent below", "no ceiling", "own rule"],
)
def test_a_question_is_decided_on_the_facts_of_a_file(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    allow: bool,
    reason: str,
) -> None:
    file = tmp_path / "facts.yaml"
    file.write_text(FACTS.replace(*change) if change[0] else FACTS)

    assert run(["policy", "eval", str(file), "-d", str(policies(tmp_path)), "--json"]) == 0

    decided = json.loads(capsys.readouterr().out)
    assert (decided["allow"], decided["reason"]) == (allow, reason)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("ceiling: high", "ceiling: highest"), "'highest' is not a level"),
        (("active: true}\nclient", "actve: true}\nclient"), "actve"),
        ((FACTS, "a: &x [1]\nb: *x\n"), "neither YAML nor JSON"),
        ((FACTS, "[]"), "write a mapping"),
        ((FACTS, "given: {person: 1}"), "given: Expected `object`, got `int` - at `$.person`"),
        ((FACTS, "given: 1"), "given: Expected `object`, got `int`"),
        ((FACTS, "given: {relations: [nonsense]}"), "facts.yaml: "),
        ((FACTS, "given: {data: {roles: 1}}"), "the data does not fit"),
        ((FACTS, "{caller: 1}"), "Expected `object`, got `int`"),
        ((FACTS, "consent: 1"), "facts.yaml: "),
        ((FACTS, "{consent: {level: [1]}}"), "facts.yaml: "),
        ((FACTS, "[" * 5000), "neither YAML nor JSON"),
    ],
)
def test_a_facts_file_with_a_mistake_says_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], said: str
) -> None:
    file = tmp_path / "facts.yaml"
    file.write_text(FACTS.replace(*change))

    assert run(["policy", "eval", str(file)]) == 1

    assert said in capsys.readouterr().err


GIVEN = """given:
  person: {id: bob@acme.test}
  tool: {name: freeze, level: low}
"""


@pytest.mark.parametrize(
    ("change", "reason", "rules"),
    [
        (("", ""), "policy.frozen", ["data.safeconduct.host.deny (host/x.rego:5)"]),
        (("freeze", "thaw"), "allowed", []),
    ],
)
def test_what_a_scenario_gives_is_decided_and_the_rule_that_refused_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    reason: str,
    rules: list[str],
) -> None:
    file = tmp_path / "given.yaml"
    file.write_text(GIVEN.replace(*change) if change[0] else GIVEN)

    assert run(["policy", "eval", str(file), "-d", str(policies(tmp_path)), "--json"]) == 0

    decided = json.loads(capsys.readouterr().out)
    assert (decided["reason"], decided["rules"]) == (reason, rules)


def test_check_names_arguments_whose_type_nobody_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = policies(tmp_path)
    with (directory / "x.rego").open("a") as rules:
        rules.write("\ndeny contains 1 if input.arguments.amount > 5\n")

    assert run(["policy", "check", str(directory)]) == 0

    assert "Rules read input.arguments.amount and say no type" in capsys.readouterr().err


def test_strangers_names_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\u202ec\nd") == "a\ufffd[31mb\ufffdc\ufffdd"
    assert printable("Zoë's agent 🙂") == "Zoë's agent 🙂"


def test_check_and_eval_name_rules_that_nobody_hears(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "a.rego").write_text(RULES.replace("deny contains", "denny contains"))
    (rules / "dta.yaml").write_text("{}")
    (tmp_path / "facts.yaml").write_text(FACTS)

    assert run(["policy", "check", str(rules)]) == 0
    told = capsys.readouterr()
    assert "Note: host/a.rego:5: denny decides nothing" in told.err
    assert "Note: dta.yaml: is not read" in told.err
    assert run(["policy", "check", str(rules), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["notes"]) == 2
    assert run(["policy", "eval", str(tmp_path / "facts.yaml"), "-d", str(rules)]) == 0
    assert "did you mean deny?" in capsys.readouterr().err
    (tmp_path / "facts.yaml").write_text(FACTS.replace("tools/call", "tools/cal"))
    assert run(["policy", "eval", str(tmp_path / "facts.yaml")]) == 0
    assert "no call has the action tools/cal; did you mean" in capsys.readouterr().err
