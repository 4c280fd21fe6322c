"""Rules in force, from the command line: who changed what when, going back, and signing."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from safeconduct.app.building import root_key
from safeconduct.cli.work.bundles import _KINDS
from safeconduct.core.clock import SystemClock
from safeconduct.policy import Kind, OwnRules, Signer
from tests.cli.conftest import Shell
from tests.fixtures.repositories import Repository

pytestmark = pytest.mark.slow
FILE = """\
server: {{allow_loopback_upstreams: true, data_dir: data}}
hosts:
  - key: acme
    origin: http://localhost:8420
    policy: {policy}
"""
RULES = """\
package safeconduct.host

import rego.v1

deny contains {{"reason": "{0}", "message": "No."}} if input.resource.name == "{0}"
"""


def configured(shell: Shell, policy: str) -> None:
    (shell.directory / "safeconduct.yaml").write_text(FILE.format(policy=policy))


def written(shell: Shell, name: str) -> None:
    directory = shell.directory / "rules"
    directory.mkdir(exist_ok=True)
    (directory / "x.rego").write_text(RULES.format(name))


@pytest.mark.requirement("L-17", "D-09", "Z-32")
def test_rules_are_applied_shown_rolled_back_and_stay_so(shell: Shell) -> None:
    configured(shell, "{directory: rules}")
    written(shell, "first")
    shell("apply")
    between = SystemClock().now().isoformat()
    first = shell("policy", "status", "--json").json["digest"]
    written(shell, "second")
    assert shell("plan").out == "~ acme: policy host/x.rego: other rules\n"
    shell("apply")
    second = shell("policy", "status", "--json").json["digest"]

    done = shell("policy", "rollback", "--because", "too strict", "--json").json

    assert (done["before"], done["after"], done["by"]) == (second, first, shell.user)
    newest, *rest = shell("policy", "history", "--json").json
    assert (newest["digest"], newest["previous"], newest["kind"]) == (first, second, "rolled_back")
    assert (newest["by"], newest["because"]) == (shell.user, "too strict")
    assert [each["digest"] for each in rest] == [second, first]
    assert "rolled back" in shell("policy", "history").out
    shown = shell("policy", "show", "--at", between, "--json").json
    assert (shown["digest"], shown["until"]) == (first, rest[0]["at"])
    assert '"first"' in shown["files"]["host/x.rego"]
    assert '"second"' in shell("policy", "show", second[:8]).out
    status = shell("policy", "status").out
    assert f"by {shell.user}: too strict" in status
    assert "Runs: interpreted, which costs about twice" in status
    assert "Warning" not in status
    assert first[:12] in status

    again = shell("apply")
    assert again.out == "Nothing to change.\n"
    assert "its rules are still those that were rolled back" in again.err
    assert shell("policy", "status", "--json").json["digest"] == first
    assert "decides already" in shell("policy", "rollback", first, code=1).err
    none = shell("policy", "rollback", code=1).err
    assert none.startswith("There is no bundle before this one.")
    written(shell, "third")
    assert shell("apply").err == ""
    tail = shell("audit", "tail", "--json").out
    assert "policy.activated" in tail
    assert "too strict" in tail


@pytest.mark.requirement("Z-37")
def test_an_altered_bundle_is_named_by_status_and_doctor_and_mended_by_apply(shell: Shell) -> None:
    configured(shell, "{directory: rules}")
    written(shell, "first")
    shell("apply")
    with sqlite3.connect(shell.directory / "data" / "safeconduct.db") as database:
        database.execute("UPDATE bundles SET content = replace(content, 'first', 'worst')")
    database.close()

    found = shell("policy", "status", "--json").json

    assert (found["problem"], found["decides_as"]) == ("it is not what was signed", "")
    checks = {each["check"]: each for each in shell("doctor", "--json", code=1).json["checks"]}
    assert checks["policy of acme"]["state"] == "fail"
    shell("policy", "show", code=1)
    assert "were altered and are replaced" in shell("plan").out
    shell("apply")
    assert shell("policy", "status", "--json").json["problem"] == ""


OLD = """package safeconduct.host

forbidden[email] contains tool if some email, tool in data.forbidden

deny contains {"reason": "old"} if input.resource.name in forbidden[input.subject.email]
"""


DELEGATED = "definition box {\n relation abc: person\n permission edit = abc->delegate\n}"


def put_in_force(shell: Shell, files: dict[str, str], schema: str = "") -> None:
    """As after an upgrade: they were taken by a version that did not know better."""
    configured(shell, "{directory: rules}")
    written(shell, "first")
    shell("apply")
    with sqlite3.connect(shell.directory / "data" / "safeconduct.db") as database:
        ((host, content),) = database.execute("SELECT host, content FROM bundles").fetchall()
        rules = OwnRules.read(content)
        modules = tuple((path, files.get(path, text)) for path, text in rules.modules)
        old = msgspec.structs.replace(rules, modules=modules, schema=schema)
        signed = Signer(root_key(shell.directory / "data")).sign(host, old.digest)
        database.execute(
            "UPDATE bundles SET digest = ?, content = ?, signature = ?",
            (old.digest, old.content, signed),
        )
        database.execute(
            "UPDATE hosts SET policies = json_set(policies, '$.policy_bundle', ?)", (old.digest,)
        )
    database.close()


@pytest.mark.requirement("Z-37", "D-09")
@pytest.mark.parametrize(
    ("files", "schema", "said"),
    [
        ({"host/x.rego": OLD}, "", "host/x.rego:3: a map of sets is not supported"),
        ({}, DELEGATED, "schema line 3: edit names person#delegate, which is kept"),
    ],
    ids=["rules", "definitions"],
)
def test_rules_in_force_that_would_not_be_taken_today_decide_on_and_status_says_so(
    shell: Shell, files: dict[str, str], schema: str, said: str
) -> None:
    put_in_force(shell, files, schema)

    found = shell("policy", "status", "--json").json

    assert (found["problem"], found["runs"]) == ("", "interpreted")
    assert said in found["refused_today"]
    assert "Warning: these rules would not be taken any more" in shell("policy", "status").out
    finding = examined(shell)
    assert finding["state"] == "warn"
    assert said in finding["message"]


def examined(shell: Shell, *, code: int = 0) -> dict[str, str]:
    """Return what the doctor finds of the rules."""
    checks = shell("doctor", "--json", code=code).json["checks"]
    (finding,) = (each for each in checks if each["check"] == "policy of acme")
    return finding


@pytest.mark.requirement("Z-37", "D-09")
def test_status_says_that_rules_in_force_cannot_be_loaded(shell: Shell) -> None:
    put_in_force(shell, {"host/x.rego": "package safeconduct.host\n\np := := 1\n"})

    found = shell("policy", "status", "--json").json

    assert found["runs"] is None
    assert "cannot be loaded, so nothing is allowed: host/x.rego:3" in found["problem"]
    assert "Problem: these rules cannot be loaded" in shell("policy", "status").out
    finding = examined(shell, code=1)
    assert finding["state"] == "fail"
    assert "its rules cannot be loaded: host/x.rego:3" in finding["message"]


def test_definitions_that_name_what_is_kept_are_refused_by_check_and_plan(shell: Shell) -> None:
    configured(shell, "{directory: rules}")
    written(shell, "first")
    file = shell.directory / "rules" / "x.zed"
    file.write_text(DELEGATED)
    said = "x.zed: schema line 3: edit names person#delegate, which is kept"

    for command in (("policy", "check", "rules"), ("plan",), ("apply",)):
        refused = shell(*command, code=1)
        assert said in refused.out + refused.err

    file.write_text(DELEGATED.replace("delegate", "represented"))
    shell("policy", "check", "rules")
    shell("apply")


@pytest.mark.requirement("D-11", "D-09")
def test_a_repository_is_read_by_apply_and_its_troubles_are_warnings(shell: Shell) -> None:
    repository = Repository(shell.directory / "repository")
    commit = repository.commit({"x.rego": RULES.format("first")})
    configured(shell, f"{{git: {{url: '{repository.url}', branch: staging}}}}")
    missing = shell("apply")
    assert "nothing is allowed until its policy repository was read" in missing.out
    assert "acme: the policy repository is unreachable: the repository has no" in missing.err
    assert "none yet" in shell("policy", "status").out
    repository.git("branch", "staging")

    assert shell("apply").err == ""

    source = shell("policy", "status", "--json").json["repository"]
    assert (source["state"], source["commit"]) == ("current", commit)
    assert source["age_seconds"] >= 0
    assert f"{repository.url}@{commit}" in shell("policy", "show").out
    repository.git("checkout", "--quiet", "staging")
    bad = repository.commit({"x.rego": "nonsense"})
    assert "acme: the policy repository is rejected: " in shell("apply").err
    assert "Looked at: " in (said := shell("policy", "status").out)
    assert bad[:12] in said
    checks = {each["check"]: each for each in shell("doctor", "--json").json["checks"]}
    assert checks["policy of acme"]["state"] == "warn"


def test_rules_are_signed_and_only_signed_ones_are_applied(shell: Shell) -> None:
    configured(shell, "{directory: rules, trusted_keys: [{file: key.pub}]}")
    written(shell, "first")
    shell("policy", "keygen", "key")
    assert stat.S_IMODE((shell.directory / "key").stat().st_mode) == 0o600
    assert "is there already" in shell("policy", "keygen", "key", code=1).err
    assert "only signed rules are taken" in shell("apply", code=1).err

    assert shell("policy", "sign", "rules", "--key", "key", "--json").json["version"] == 1
    shell("apply")

    written(shell, "second")
    assert "x.rego is not what was signed" in shell("apply", code=1).err
    old = (shell.directory / "rules" / ".signatures.json").read_bytes()
    assert shell("policy", "sign", "rules", "--key", "key", "--json").json["version"] == 2
    shell("apply")
    written(shell, "first")
    (shell.directory / "rules" / ".signatures.json").write_bytes(old)
    assert "version 1 was signed, and this host has had version 2" in shell("apply", code=1).err
    assert (
        "above 1" in shell("policy", "sign", "rules", "--key", "key", "--version", "1", code=1).err
    )
    assert (
        "needs the private key" in shell("policy", "sign", "rules", "--key", "key.pub", code=1).err
    )


@pytest.mark.requirement("Z-31", "D-09")
def test_a_host_whose_rules_come_by_api_says_what_it_waits_for(shell: Shell) -> None:
    configured(shell, "{by: api}")

    assert "nothing is allowed until rules are put by API" in shell("plan").out
    shell("apply")

    assert "Problem: no rules were put by API yet" in shell("policy", "status").out
    checks = {each["check"]: each for each in shell("doctor", "--json", code=1).json["checks"]}
    assert checks["policy of acme"]["message"] == "no rules were put by API yet"
    written(shell, "first")
    configured(shell, "{directory: rules}")
    shell("apply")
    configured(shell, "{by: api}")
    said = shell("apply")
    assert "stays in force" in said.out + said.err
    assert shell("policy", "status", "--json").json["problem"] == ""


def test_each_kind_of_change_has_a_word_for_people() -> None:
    assert _KINDS.keys() == {*get_args(Kind)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "--at", "yesterday"], "is no time"),
        (["show", "--at", "2026-11-21T12:00:00"], "has no zone"),
        (["show", "abc"], "at least 8 characters"),
        (["show", "0123456789"], "no bundle that begins with 0123456789"),
        (["rollback", "%%%%%%%%"], "no bundle that begins with"),
        (["show", "01234567", "--at", "2026-11-21T12:00:00Z"], "not both"),
    ],
)
def test_what_cannot_be_found_is_said(plain: Shell, arguments: list[str], said: str) -> None:
    assert said in plain("policy", *arguments, code=1).err


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    shell = Shell(Path(tmp_path_factory.mktemp("plain")))
    configured(shell, "{directory: rules}")
    written(shell, "first")
    shell("apply")
    return shell
