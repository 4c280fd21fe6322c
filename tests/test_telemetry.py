"""Logs are one JSON object a line without handles in them; metrics have bounded labels."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from safeconduct.telemetry import (
    JsonLines,
    Metrics,
    TrailState,
    configure_logging,
    scrubbed,
)


@pytest.fixture
def restored() -> Iterator[None]:
    """Put logging back as it was: the process is shared."""
    root, names = logging.getLogger(), ("uvicorn", "uvicorn.error", "uvicorn.access", "httpx2")
    loggers = [root, *map(logging.getLogger, names)]
    before = [(each.handlers[:], each.level, each.propagate, each.disabled) for each in loggers]
    yield
    for each, (handlers, level, propagate, disabled) in zip(loggers, before, strict=True):
        each.handlers[:] = handlers
        each.setLevel(level)
        each.propagate, each.disabled = propagate, disabled


@pytest.mark.requirement("SEC-13")
@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("token sc_at_abcdefgh12345678 used", "abcdefgh12345678"),
        ("sc_rt_AbC-_123456789", "AbC-_123456789"),
        ("x=sc_ac_0123456789abcdef&y", "0123456789abcdef"),
        ("Authorization: Bearer eyJhbGciOi.x.y", "eyJhbGciOi"),
        ("authorization: bearer   opaque", "opaque"),
        ("'Bearer abc'", "abc"),
    ],
)
def test_handles_are_taken_out(text: str, secret: str) -> None:
    assert secret not in scrubbed(text)
    assert "[removed]" in scrubbed(text)


@pytest.mark.parametrize("text", ["", "sc_at", "session_0123456789abcdef", "the bearer"])
def test_other_text_stays(text: str) -> None:
    assert scrubbed(text) == text


def _record(message: str, *args: object, error: bool = False) -> logging.LogRecord:
    exc_info = None
    if error:
        try:
            int("with sc_at_0123456789abcdef inside")
        except ValueError:
            exc_info = sys.exc_info()
    return logging.LogRecord("a.b", logging.ERROR, __file__, 1, message, args, exc_info)


@pytest.mark.requirement("SEC-13")
def test_a_record_is_one_line_whatever_it_holds() -> None:
    line = JsonLines().format(_record("two\nlines %s \u2028", "sc_at_0123456789abcdef", error=True))

    said = json.loads(line)
    assert "\n" not in line
    assert "\u2028" not in line
    assert (said["level"], said["logger"]) == ("error", "a.b")
    assert said["message"].startswith("two\nlines [removed]")
    assert "ValueError" in said["exception"]
    assert "0123456789abcdef" not in line


@pytest.mark.usefixtures("restored")
def test_logging_goes_to_standard_error_and_leaves_addresses_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging("info")

    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("GET /login?token=secret")
    logging.getLogger("httpx2").info("GET https://a.test/?secret")
    logging.getLogger("x").debug("too fine")

    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["message"] == "started"


def test_what_happened_is_counted() -> None:
    metrics = Metrics()
    metrics.decided(allow=True)
    metrics.decided(allow=True)
    metrics.decided(allow=False)
    metrics.ended("ok", 3.0)
    metrics.ended("cancelled", 70_000.0)

    text = metrics.exposition().decode()

    for line in (
        'safeconduct_decisions_total{decision="allow"} 2.0',
        'safeconduct_decisions_total{decision="deny"} 1.0',
        'safeconduct_outcomes_total{outcome="ok"} 1.0',
        'safeconduct_outcomes_total{outcome="cancelled"} 1.0',
        "safeconduct_call_seconds_count 2.0",
        'safeconduct_call_seconds_bucket{le="0.005"} 1.0',
        'safeconduct_call_seconds_bucket{le="60"} 1.0',
        'safeconduct_call_seconds_bucket{le="+Inf"} 2.0',
    ):
        assert line in text


def test_what_is_left_of_the_lease_is_shown_where_there_is_one() -> None:
    left = 1.5
    metrics = Metrics(lease_seconds=lambda: left)
    assert "safeconduct_lease_seconds 1.5" in metrics.exposition().decode()

    left = 0.0

    assert "safeconduct_lease_seconds 0.0" in metrics.exposition().decode()
    assert "safeconduct_lease_seconds" not in Metrics().exposition().decode()


def test_every_process_counts_for_itself() -> None:
    first, second = Metrics(), Metrics()
    first.decided(allow=True)

    assert 'decision="allow"} 0.0' in second.exposition().decode()


def test_a_trail_that_cannot_be_written_is_seen_in_the_metrics() -> None:
    state = TrailState(refused=3, writable=False, free_bytes=0)
    text = Metrics(trail=lambda: state).exposition().decode()

    assert "safeconduct_audit_refused_total 3.0" in text
    assert "safeconduct_audit_writable 0.0" in text
    assert "safeconduct_audit_free_bytes 0.0" in text
    assert "safeconduct_audit" not in Metrics().exposition().decode()
    unasked = TrailState(refused=0, writable=True, free_bytes=None)
    assert "free_bytes" not in Metrics(trail=lambda: unasked).exposition().decode()
