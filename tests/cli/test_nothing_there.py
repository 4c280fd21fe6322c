"""Where no installation was made yet, commands say so, and looking for one makes none."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from safeconduct.cli.program import program, run

FILE = """\
server: {data_dir: data}
hosts: [{key: acme, origin: "http://localhost:8420", sign_in: {password: true}}]
"""
MAKES_ONE = frozenset({"serve", "demo", "bench", "apply"})
NEEDS_NONE = frozenset({"plan", "doctor", "connect"})
GIVEN = {"client": "codex", "directory": ".", "tuples": "a:b#c@user:x", "question": "a:b#c@user:x"}
MORE = {("policy", "eval"): ("--decision", "x"), ("sessions", "revoke"): ("x",)}


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def _of_the_installation() -> list[tuple[str, ...]]:
    """Return every command that takes the configuration file, with something for each argument."""
    found = []
    for path, command in _commands(typer.main.get_command(program())):
        if "config" in {each.name for each in command.params} and path[0] not in MAKES_ONE:
            needed = [each for each in command.params if each.required]
            words = [
                GIVEN.get(each.name, "x") for each in needed if each.param_type_name != "option"
            ]
            options = [
                word
                for each in needed
                if each.param_type_name == "option"
                for word in (each.opts[0], "x")
            ]
            found.append((*path, *words, *options, *MORE.get(path, ())))
    return found


COMMANDS = _of_the_installation()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # put back afterwards
    monkeypatch.chdir(tmp_path)
    (tmp_path / "safeconduct.yaml").write_text(FILE)
    return tmp_path


def test_most_commands_are_about_an_installation() -> None:
    assert len(COMMANDS) > 30
    assert ("servers", "list") in COMMANDS


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_makes_an_installation_but_those_that_are_for_it(
    directory: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    code = run([*command])

    assert [path.name for path in directory.iterdir()] == ["safeconduct.yaml"]
    if command[0] not in NEEDS_NONE:
        assert code == 1
        told = capsys.readouterr().err
        assert f"There is no installation in {directory}/data" in told or (
            command[0] == "audit" and f"There is no audit trail in {directory}/data" in told
        )
        assert "safeconduct apply" in told


def test_what_makes_one_makes_one(directory: Path) -> None:
    assert run(["apply"]) == 0
    assert run(["servers", "list"]) == 0

    assert (directory / "data" / "master.key").exists()


def test_a_database_of_an_older_version_is_changed_by_apply_alone(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway of that version may be running beside the command."""
    (directory / "data").mkdir(mode=0o700)
    database = directory / "data" / "safeconduct.db"
    os.close(os.open(database, os.O_CREAT | os.O_WRONLY, 0o600))

    assert run(["servers", "list"]) == 2

    assert "Bring it up to date first: safeconduct apply" in capsys.readouterr().err
    with contextlib.closing(sqlite3.connect(database)) as looked_at:
        assert looked_at.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert run(["apply"]) == 0
    assert run(["servers", "list"]) == 0
