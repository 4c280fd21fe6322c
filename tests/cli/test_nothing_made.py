"""What the file says and cannot be used: plan, doctor and serve refuse it, and nothing is made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from safeconduct.core.directories import fault_of_place
from safeconduct.settings.forms import LONGEST_PASSWORD_BYTES
from safeconduct.signin.passwords import LONGEST_BYTES
from tests.cli.conftest import Shell
from tests.egress.certificates import Authority

_CRL = "-----BEGIN X509 CRL-----\nbm90aGluZw==\n-----END X509 CRL-----\n"
BAD = "b\u00e4d"


def _write(directory: Path, **server: Any) -> None:
    host = {"key": "acme", "origin": "http://localhost:8420"}
    # Nobody listens on the discard port but its owner: where serve would go on, it fails there.
    file = {"server": {"listen": "127.0.0.1:9", "data_dir": "data", **server}, "hosts": [host]}
    (directory / "safeconduct.yaml").write_text(json.dumps(file), "utf-8")
    (directory / "nothing.pem").write_text("nothing", "utf-8")
    (directory / "empty.pem").write_text("", "utf-8")
    (directory / "crl.pem").write_text(_CRL, "utf-8")
    (directory / "bad.token").write_text(BAD, "utf-8")
    (directory / "authority.pem").write_text(Authority(directory).pem(), "ascii")


def _write_host(directory: Path, **host: Any) -> None:
    _write(directory)
    file = json.loads((directory / "safeconduct.yaml").read_text("utf-8"))
    file["hosts"][0] |= host
    (directory / "safeconduct.yaml").write_text(json.dumps(file), "utf-8")
    (directory / "rules").mkdir()
    (directory / "rules/own.rego").write_text("package safeconduct.host\n\nimport rego.v1\n")
    (directory / "long.password").write_text("a" * 1025, "ascii")
    (directory / "longest.password").write_text("a" * 1024, "ascii")


def _below(directory: Path) -> set[str]:
    return {str(each) for each in directory.rglob("*")}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"database": "postgresql+psycopg://u@db:port/x"}, "server.database"),
    ({"database": "postgresql+psycopg://u@a..b/x"}, "server.database"),
    ({"listen": "a..b:9"}, "server.listen"),
    ({"egress": {"proxy": "http://a..b:3128"}}, "server.egress.proxy"),
    *(
        ({"egress": {"ca_file": name}}, "server.egress.ca_file")
        for name in ("nope.pem", ".", "nothing.pem", "empty.pem", "crl.pem", "/dev/zero", "a" * 300)
    ),
    *(
        ({"relations": spicedb | {"engine": "spicedb"}}, "server.relations.token")
        for spicedb in ({"target": "db:1", "token": {"file": "bad.token"}},)
    ),
    *(
        ({"data_dir": path}, "cannot be ")
        for path in ("/dev/null", "/dev/null/x", "/proc", "/proc/x", "/proc/x/y", "a" * 300)
    ),
]


@pytest.mark.parametrize(("server", "words"), REFUSED, ids=str)
def test_what_cannot_be_used_is_refused_by_all_before_anything_is_made(
    shell: Shell, server: dict[str, Any], words: str
) -> None:
    _write(shell.directory, **server)
    before = _below(shell.directory)

    doctor = shell("doctor", code=1)
    plan, serve, apply = (shell(each, code=1) for each in ("plan", "serve", "apply"))

    assert all(words in ran.err for ran in (plan, serve, apply))
    (fault,) = (each for each in doctor.out.splitlines() if each.startswith("fail "))
    assert words in fault
    assert _below(shell.directory) == before


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"policy": {"directory": "rules", "trusted_keys": [{"file": "bad.token"}]}}, "no Ed25519"),
        ({"policy": {"directory": "a" * 300}}, "policy.directory"),
        (
            {"policy": {"git": {"url": "https://git.test/x", "token": {"file": "bad.token"}}}},
            "policy.git.token",
        ),
        (
            {"servers": [{"key": "api", "http": {"base": "http://up.test", "openapi": "a" * 300}}]},
            "http.openapi",
        ),
        (
            {"servers": [{"key": "api", "http": {"base": "http://up.test", "openapi": "crl.pem"}}]},
            "crl.pem",
        ),
        (
            {"people": [{"email": "a@acme.test", "password": {"file": "long.password"}}]},
            "people[0].password",
        ),
    ],
    ids=str,
)
def test_what_a_host_cannot_be_is_refused_by_all_before_anything_is_made(
    shell: Shell, host: dict[str, Any], words: str
) -> None:
    _write_host(shell.directory, **host)
    before = _below(shell.directory)

    doctor = shell("doctor", code=1)
    plan, serve, apply = (shell(each, code=1) for each in ("plan", "serve", "apply"))

    assert all(words in ran.err for ran in (plan, serve, apply))
    assert any(words in each for each in doctor.out.splitlines() if each.startswith("fail "))
    assert _below(shell.directory) == before


def test_the_longest_password_is_taken(shell: Shell) -> None:
    person = {"email": "a@acme.test", "password": {"file": "longest.password"}}
    _write_host(shell.directory, people=[person])

    shell("plan")
    shell("apply")


def test_a_password_of_the_file_may_be_as_long_as_any() -> None:
    assert LONGEST_PASSWORD_BYTES == LONGEST_BYTES


def test_what_can_be_used_is_planned_and_made(shell: Shell) -> None:
    _write(shell.directory, egress={"ca_file": "authority.pem"}, data_dir="deep/er/data")

    shell("doctor")
    shell("plan")
    assert not (shell.directory / "deep").exists()
    shell("apply")

    assert (shell.directory / "deep/er/data/authorities.pem").exists()


def test_a_place_is_judged_by_what_is_above_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "kept").mkdir(mode=0o500)

    assert fault_of_place(tmp_path) == fault_of_place(tmp_path / "a/b") == ""
    assert "is no directory" in fault_of_place(tmp_path / "file")
    assert "is no directory" in fault_of_place(tmp_path / "file/a/b")
    assert "no place where files can be kept" in fault_of_place(Path("/proc/x"))
    assert fault_of_place(tmp_path / ("a" * 300) / "b") == "file name too long"
    assert fault_of_place(tmp_path / "a" / ("a" * 300)) == "file name too long"
    assert fault_of_place(Path("/" + "a/" * 3000))
    assert bool(fault_of_place(tmp_path / "kept/a")) == (os.geteuid() != 0)
