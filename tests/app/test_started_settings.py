"""What a running gateway keeps from its start is said by whoever compares a file with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from safeconduct.app import kept_until_served_again, sole_server
from safeconduct.app.building import root_key
from safeconduct.app.occupancy import is_served
from safeconduct.app.started_settings import note_served
from safeconduct.settings import Settings, parse

MAIL = "mail: {host: mail.test, sender: a@b.test, username: us, password: {env: PW}}"
GIT = "policy: {git: {url: 'https://git.test/rules.git', token: {env: PW}}}"


def read(base: Path, server: str = "", host: str = "", secret: str = "s3cret-s3cret") -> Settings:
    text = (
        f"server: {{{', '.join(filter(None, ('data_dir: data', server)))}}}\n"
        "hosts: [{key: acme, origin: 'http://localhost:8420'" + (host and f", {host}") + "}]\n"
    )
    return parse(text, base=base, environ={"PW": secret})


def start(settings: Settings) -> None:
    settings.server.data_dir.mkdir(exist_ok=True)
    root_key(settings.server.data_dir)
    note_served(settings)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (("workers: 2", ""), ("workers: 4", ""), ["server.workers: 2 -> 4"]),
        (("", ""), ("listen: '127.0.0.1:9'", ""), ["server.listen: 127.0.0.1:8420 -> 127.0.0.1:9"]),
        (
            ("", ""),
            ("limits: {body_bytes: 2048}", ""),
            ["server.limits.body_bytes: 4194304 -> 2048"],
        ),
        (("", ""), (MAIL, ""), ["server.mail.host: none -> mail.test", "password: none -> a sec"]),
        (("", ""), ("", GIT), ["hosts.acme.policy.git.url: none -> https://git.test/rules.git"]),
        (("", GIT), ("", ""), ["hosts.acme.policy.git.url: https://git.test/rules.git -> none"]),
    ],
)
def test_what_the_running_gateway_does_not_know_is_named(
    tmp_path: Path, before: tuple[str, str], after: tuple[str, str], said: list[str]
) -> None:
    started, now = read(tmp_path, *before), read(tmp_path, *after)
    start(started)

    with sole_server(started.server.data_dir, listen="here"):
        assert kept_until_served_again(started) == ""
        kept = kept_until_served_again(now)

    assert "safeconduct serve" in kept
    assert all(each in kept for each in said), kept


def test_a_changed_secret_is_said_and_not_shown(tmp_path: Path) -> None:
    start(read(tmp_path, MAIL))

    with sole_server(tmp_path / "data", listen="here"):
        kept = kept_until_served_again(read(tmp_path, MAIL, secret="0ther-0ther"))

    assert "server.mail.password: a secret -> another secret" in kept
    assert "s3cret" not in kept + (tmp_path / "data" / "serving.json").read_text()
    assert (tmp_path / "data" / "serving.json").stat().st_mode & 0o077 == 0


def test_where_none_runs_there_is_nothing_to_say_and_nothing_is_made(tmp_path: Path) -> None:
    assert kept_until_served_again(read(tmp_path, "workers: 4")) == ""
    assert list(tmp_path.iterdir()) == []
    start(read(tmp_path))
    with sole_server(tmp_path / "data", listen="here"):
        assert is_served(tmp_path / "data")

    assert kept_until_served_again(read(tmp_path, "workers: 4")) == ""
