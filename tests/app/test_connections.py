"""How many connections one address, and all together, may have."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from safeconduct.app.connections import Connections


def test_an_address_has_its_number_of_connections_and_others_have_theirs() -> None:
    connections = Connections(per_address=2, most=100)

    assert [connections.begin("a") for _ in range(3)] == [0, 0, 429]
    assert connections.begin("b") == 0
    connections.end("a")
    assert [connections.begin("a") for _ in range(2)] == [0, 429]


def test_trusted_proxies_are_counted_only_with_all() -> None:
    connections = Connections(per_address=1, most=3)

    assert [connections.begin(None) for _ in range(3)] == [0, 0, 0]
    assert connections.begin("a") == 503
    connections.end(None)
    assert connections.begin("a") == 0
    assert connections.begin("b") == 503


def test_what_ended_is_forgotten() -> None:
    connections = Connections(per_address=2, most=10_000)
    for number in range(5000):
        assert connections.begin(f"a{number}") == 0
        connections.end(f"a{number}")

    assert connections._open == {}
    assert connections._all == 0


def test_nearness_to_the_limit_is_logged_at_most_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    connections = Connections(per_address=100, most=10, seconds=lambda: now[0])
    for _ in range(9):
        connections.begin("a")
    assert caplog.records == []

    for seconds in (0.0, 59.0, 61.0):
        now[0] = seconds
        for _ in range(3):
            connections.begin("a")

    assert len(caplog.records) == 2
    assert "9 connections are open of 10" in caplog.records[0].getMessage()
    assert "ulimit" in caplog.records[0].getMessage()


@pytest.mark.slow
@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 512, reason="too few files")
def test_the_soft_limit_of_open_files_is_raised_to_the_hard_one() -> None:
    program = """
import resource
from safeconduct.app.connections import most_connections, raise_file_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 400))
raise_file_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE), most_connections())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert done.stdout == "(400, 400) 300\n"
