"""A gateway that runs, and commands beside it that say what it will not know before it ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cli.conftest import SOURCES, Shell

pytestmark = pytest.mark.slow
FILE = """\
server: {{listen: "127.0.0.1:0", data_dir: data, log_level: {level}}}
hosts: [{{key: acme, origin: "http://localhost:8420", sign_in: {{password: true}}}}]
"""
KEPT = "server.log_level: info -> debug"


def test_plan_apply_and_doctor_say_what_takes_effect_at_the_next_start(shell: Shell) -> None:
    file = shell.directory / "safeconduct.yaml"
    file.write_text(FILE.format(level="info"))
    gateway = subprocess.Popen(
        [sys.executable, "-m", "safeconduct", "serve"],
        cwd=shell.directory,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
    )
    try:
        assert gateway.stdout is not None
        assert b"Serving on" in gateway.stdout.readline()
        assert "log_level" not in shell("plan").err
        file.write_text(FILE.format(level="debug"))

        assert KEPT in shell("plan").err
        assert KEPT in shell("apply", "--json").json["warnings"][0]
        findings = {each["check"]: each for each in shell("doctor", "--json").json["checks"]}
        assert KEPT in findings["running gateway"]["message"]
    finally:
        gateway.terminate()
        gateway.wait(timeout=60)
        gateway.stdout.close()
    assert KEPT not in shell("plan").err
