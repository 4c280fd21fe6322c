"""`safeconduct relations`: the same tuples as over HTTP, and why an answer is what it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from safeconduct.audit import read
from safeconduct.cli.program import run
from tests.cli.conftest import Ran

pytestmark = [pytest.mark.slow, pytest.mark.requirement("Z-08", "Z-40")]
FILE = """\
server: {data_dir: data}
hosts:
  - key: acme
    origin: https://acme.test
    people: [{email: alice@acme.test, groups: [engineering]}, {email: bob@acme.test}]
    relations: ["ticket:T-1#watcher@user:bob@acme.test"]
    policy: {directory: rules}
  - {key: globex, origin: "https://globex.test", people: [{email: alice@acme.test}]}
"""
SCHEMA = """
definition ticket {
    relation assignee: person
    relation watcher: person | group#member
    permission view = assignee + watcher
}
"""
MINE = "ticket:T-7#watcher@group:engineering#member"

Typed = Callable[..., Ran]


@pytest.fixture
def typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Typed:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # put back afterwards
    file = tmp_path / "safeconduct.yaml"
    file.write_text(FILE)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "tickets.zed").write_text(SCHEMA)

    def typed(*arguments: str, code: int = 0, host: str = "acme") -> Ran:
        named = () if arguments[0] == "apply" else ("--host", host)
        with ThreadPoolExecutor(1) as thread:  # the tests' own event loop stays untouched
            ended = thread.submit(run, [*arguments, *named, "-c", str(file)]).result()
        out, err = capsys.readouterr()
        assert (ended, arguments) == (code, arguments), err
        return Ran(ended, out, err)

    typed("apply", "--no-crawl")
    return typed


def test_what_is_written_can_be_seen_explained_and_removed(typed: Typed, tmp_path: Path) -> None:
    question = "ticket:T-7#view@user:alice@acme.test"
    assert typed("relations", "check", question).out.startswith("No: ")

    assert typed("relations", "write", MINE).out == "1 relation written.\n"
    assert typed("relations", "write", MINE).out == "0 relations written.\n"
    said = json.loads(typed("relations", "list", "--object", "ticket", "--json").out)
    assert [each["tuple"] for each in said if each["source"] == "api"] == [MINE]
    answer = typed("relations", "check", question, "--json").json
    assert answer["allowed"] is True
    assert answer["path"][:2] == ["ticket:T-7#view", MINE]
    assert answer["path"][-1].startswith("group:engineering#member@person:")
    shown = typed("relations", "check", question).out
    assert shown.startswith("Yes: ")
    assert f"\n  {MINE}\n" in shown
    assert typed("relations", "check", question, host="globex").out.startswith("No: ")

    assert typed("relations", "remove", MINE, "--json").json == {"removed": [MINE]}
    assert typed("relations", "check", question).out.startswith("No: ")
    kinds = [each["kind"] for each in read(tmp_path / "data" / "audit")]
    assert [each for each in kinds if each.startswith("relation.")] == [
        "relation.written",
        "relation.removed",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("write", "ticket:T-7"), "Write it like"),
        (("write", "ticket:T-7#asignee@person:p"), "did you mean assignee"),
        (("write", "server:tickets#high@person:p"), "is a ceiling"),
        (("write", MINE, "ticket:T-7#view@person:p"), "is a permission"),
        (("remove", "ticket:T-1#watcher@user:bob@acme.test"), "configuration file"),
        (("check", "ticket:T-7#vieww@person:p"), "did you mean view"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_nothing_is_done(
    typed: Typed, arguments: tuple[str, ...], sentence: str
) -> None:
    ran = typed("relations", *arguments, code=1)

    assert sentence in ran.err
    assert typed("relations", "list", "--source", "api", "--json").json == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--object", "tikcet"), "There is no type tikcet; did you mean 'ticket'?"),
        (("--object", "ticket:T-2"), "No relation has the object ticket:T-2; did you mean"),
        (("--relation", "asignee"), "No type has the relation asignee; did you mean 'assignee'?"),
        (("--subject", "user:alcie@acme.test"), "did you mean 'alice@acme.test'?"),
        (("--subject", "alice@acme.test"), "Write user:alice@acme.test"),
        (("--subject", "persom:p_1"), "There is no type persom; did you mean 'person'?"),
    ],
)
def test_a_listing_of_nothing_says_which_name_nothing_has(
    typed: Typed, arguments: tuple[str, ...], sentence: str
) -> None:
    ran = typed("relations", "list", *arguments)

    assert ran.out == "There is no such relation.\n"
    assert sentence in ran.err


def test_a_listing_of_names_that_exist_hints_at_nothing(typed: Typed) -> None:
    ran = typed("relations", "list", "--object", "ticket:T-1", "--relation", "assignee")
    assert (ran.out, ran.err) == ("There is no such relation.\n", "")
    assert typed("relations", "list", "--subject", "user:bob@acme.test").err == ""
    wrong = typed("relations", "list", "--source", "file", code=1)
    assert wrong.err == "--source is one of: api, directory, configuration, access\n"


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("tikcet:T-1#watcher@user:bob@acme.test", "There is no type tikcet; did you mean 'ticket'"),
        ("note:1#reder@user:bob@acme.test", "No type has the relation reder"),
        ("ticket:T-1#view@user:bbo@acme.test", "did you mean 'bob@acme.test'?"),
    ],
)
def test_a_no_about_what_nobody_is_says_so(typed: Typed, question: str, sentence: str) -> None:
    ran = typed("relations", "check", question)

    assert ran.out.startswith("No: ")
    assert sentence in ran.err
    assert typed("relations", "check", "ticket:T-1#view@user:alice@acme.test").err == ""
