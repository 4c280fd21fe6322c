"""Secrets come by reference and never show."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.settings.conftest import HOST, Fail, Parse

PASSWORD = "hunter2-hunter2"


def with_password(written: str) -> str:
    return HOST.replace(
        "{email: alice@acme.test,", f"{{email: alice@acme.test, password: {written},"
    )


@pytest.mark.parametrize(
    "written",
    [
        PASSWORD,
        f"'{PASSWORD}'",
        f"[{PASSWORD}]",
        f"{{{PASSWORD}}}",
        f"{{{PASSWORD}: {PASSWORD}}}",
        f"{{env: A, {PASSWORD}: B}}",
        "12345678901",
        "true",
        "{env: }",
        "{env: [A]}",
    ],
)
def test_a_literal_where_a_secret_belongs_is_refused_and_not_repeated(
    refuse: Fail, written: str
) -> None:
    error = refuse(with_password(written), {"A": PASSWORD})

    (problem,) = error.problems
    assert (problem.path, problem.line) == ("hosts[0].people[0].password", 6)
    assert "write {env: NAME} or {file: PATH}" in problem.message
    assert PASSWORD not in str(error)


def test_a_password_that_breaks_the_yaml_is_not_repeated(refuse: Fail) -> None:
    for broken in (
        f"*{PASSWORD}",
        f"!{PASSWORD}!x y",
        f"&{PASSWORD}!",
        f"@{PASSWORD}",
        f'"{PASSWORD}',
    ):
        assert PASSWORD not in str(refuse(with_password(broken)))


def test_a_secret_is_taken_from_the_environment_and_stays_out_of_the_repr(read: Parse) -> None:
    settings = read(with_password("{env: ALICE}"), {"ALICE": PASSWORD})

    secret = settings.hosts[0].people[0].password
    assert secret is not None
    assert secret.reveal() == PASSWORD
    assert PASSWORD not in repr(settings)


def test_a_missing_or_empty_variable_names_the_setting(refuse: Fail) -> None:
    for environ in ({}, {"ALICE": ""}):
        (problem,) = refuse(with_password("{env: ALICE}"), environ).problems
        assert problem.path == "hosts[0].people[0].password"
        assert problem.message == "the environment variable named here is not set or empty"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"correct horse", "correct horse"),
        (b"correct horse\n", "correct horse"),
        (b"correct horse\r\n", "correct horse"),
        (b"correct horse\n\n", "correct horse\n"),
        (b" correct horse ", " correct horse "),
    ],
)
def test_a_secret_file_loses_one_line_break_and_nothing_else(
    read: Parse, tmp_path: Path, content: bytes, secret: str
) -> None:
    (tmp_path / "alice").write_bytes(content)
    (tmp_path / "alice").chmod(0o600)

    settings = read(with_password("{file: alice}"))

    password = settings.hosts[0].people[0].password
    assert password is not None
    assert password.reveal() == secret
    assert settings.warnings == ()


def test_a_secret_file_that_everybody_may_read_is_a_warning(read: Parse, tmp_path: Path) -> None:
    (tmp_path / "alice").write_text(PASSWORD)
    (tmp_path / "alice").chmod(0o604)

    (warning,) = read(with_password("{file: alice}")).warnings

    assert warning.startswith("hosts[0].people[0].password: every user")


def test_an_unusable_secret_file_is_refused_without_waiting(refuse: Fail, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * (64 * 1024 + 1))
    os.mkfifo(tmp_path / "pipe")
    reasons = {
        "missing": "No such file",
        "empty": "is empty",
        "binary": "UTF-8",
        "large": "larger than 64 KiB",
        "pipe": "not a regular file",
        ".": "cannot be read",
    }

    for name, reason in reasons.items():
        (problem,) = refuse(with_password(f"{{file: {name}}}")).problems
        assert problem.path == "hosts[0].people[0].password"
        assert reason in problem.message


def test_a_database_url_may_stand_in_the_file_only_without_a_password(
    read: Parse, refuse: Fail
) -> None:
    plain = "postgresql+psycopg://safeconduct@db/safeconduct"
    read(f"server: {{database: '{plain}'}}")
    read("server: {database: {env: DB}}", {"DB": "postgresql://u:s3cret@db/x"})

    for url in ("postgresql://u:s3cret@db/x", "postgresql://db/x?user=u&password=s3cret"):
        error = refuse(f"server: {{database: '{url}'}}")
        assert "holds a password" in str(error)
        assert "s3cret" not in str(error)
    error = refuse("server: {database: {env: DB}}", {"DB": "mysql://u:s3cret@db/x"})
    assert "s3cret" not in str(error)
