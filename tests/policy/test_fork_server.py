"""The process that judges in children: started once, gone with its maker, and none the wiser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from safeconduct.policy import Bundle
from safeconduct.policy.elsewhere import BroughtDown, ForkServer
from tests.rehearsal.processes import children_of, gone

pytestmark = [pytest.mark.slow, pytest.mark.requirement("Z-37")]

ROOT = Path(__file__).parents[2]
RULE = "package safeconduct.host\n\na := 1"
QUESTION = {"base": Bundle.shipped().modules, "added": [["host/x.rego", RULE]], "data": {}}
MAKER = """
import os, sys, time
from safeconduct.policy.elsewhere import _fork_server, asked
from tests.policy.test_fork_server import QUESTION as question
assert asked("vetting", question)["problem"] is None
first = _fork_server._process.pid
if not os.fork():
    assert asked("vetting", question)["problem"] is None
    assert _fork_server._process.pid != first
    _fork_server.close()
    os._exit(0)
assert os.wait()[1] == 0
assert asked("vetting", question)["problem"] is None
assert _fork_server._process.pid == first
print(first, flush=True)
if sys.argv[1:]:
    time.sleep(600)
"""


@pytest.fixture
def fork_server() -> Iterator[ForkServer]:
    fork_server = ForkServer()
    yield fork_server
    fork_server.close()


def problem(fork_server: ForkServer, **more: object) -> object:
    return fork_server.ask("vetting", QUESTION | more)["problem"]


def pid(fork_server: ForkServer) -> int:
    assert fork_server._process is not None
    return fork_server._process.pid


def test_whoever_is_brought_down_takes_nobody_along(fork_server: ForkServer) -> None:
    def outcome(more: dict[str, object]) -> object:
        try:
            return problem(fork_server, **more)
        except BroughtDown:
            return "brought down"

    no_question = {"base": None}
    other = {"added": [["host/x.rego", "package other"]]}
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(outcome, [no_question, {}, other] * 4))

    first = pid(fork_server)
    assert found[:2] == ["brought down", None]
    assert "package other is not" in str(found[2])
    assert found == found[:3] * 4
    assert problem(fork_server) is None
    assert pid(fork_server) == first


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process so")
def test_nothing_of_ours_goes_along(
    fork_server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFECONDUCT_SECRET", "hidden")
    assert problem(fork_server) is None

    there = Path("/proc", str(pid(fork_server)))
    names = [each.split(b"=")[0] for each in (there / "environ").read_bytes().split(b"\0") if each]
    opened = sorted(str(each.readlink()) for each in (there / "fd").iterdir())

    assert names == [b"PYTHONPATH"]
    assert opened[:3] == ["/dev/null"] * 3
    assert [each.partition(":")[0] for each in opened[3:]] == ["socket"]


def test_one_that_ended_is_followed_by_another(fork_server: ForkServer) -> None:
    assert problem(fork_server) is None
    first = pid(fork_server)

    os.kill(first, signal.SIGKILL)

    assert problem(fork_server) is None
    assert pid(fork_server) != first


def test_it_ends_when_it_has_nothing_to_do_and_nobody_notices() -> None:
    fork_server = ForkServer(idle_seconds=0.01)
    for _ in range(3):
        assert problem(fork_server) is None
        assert fork_server._process is not None
        fork_server._process.wait(60)
    fork_server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows who is whose child")
@pytest.mark.parametrize("way", ["by itself", "killed"])
async def test_it_ends_with_whoever_started_it_and_is_not_shared_with_forks(way: str) -> None:
    command = [sys.executable, "-W", "error", "-c", MAKER, *(["wait"] * (way == "killed"))]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as maker:
        assert maker.stdout is not None
        assert maker.stderr is not None
        child = int(maker.stdout.readline())
        if way == "killed":
            assert child in children_of(maker.pid)
            maker.kill()
        assert maker.stderr.read() == b""
    assert await gone({child})
