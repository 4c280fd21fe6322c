"""Logs and metrics. Logs are JSON lines; what looks like one of our handles never gets in.

Metrics are few and have bounded labels: no person, client, tool or URL is ever a label.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_HANDLE = re.compile(r"\bsc_[a-z]{2}_[A-Za-z0-9_-]{8,}|(?i:bearer)\s+[^\s\"']+")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class JsonLines(logging.Formatter):
    """One JSON object on one line for each log record."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: scrubbed(value) for name, value in line.items()})


def scrubbed(text: str) -> str:
    """Take handles and bearer tokens out of a text; a last line of defence, not the first."""
    return _HANDLE.sub("[removed]", text)


def configure_logging(level: str) -> None:
    """Send every log record of this process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # query strings can hold secrets
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs whole URLs


class Metrics:
    """What this process counts. Children are made once; an increment costs microseconds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        PlatformCollector(registry=self.registry)
        ProcessCollector(registry=self.registry)
        decisions = Counter(
            "safeconduct_decisions_total",
            "Decisions on messages of agents.",
            ["decision"],
            registry=self.registry,
        )
        self._allowed = decisions.labels("allow")
        self._denied = decisions.labels("deny")
        self._outcomes = Counter(
            "safeconduct_outcomes_total",
            "How allowed calls ended.",
            ["outcome"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "safeconduct_call_seconds",
            "From the first byte of a call to the end of its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.throttled = Counter(
            "safeconduct_throttled_total",
            "Requests refused by address.",
            registry=self.registry,
        )
        self.streams = Gauge(
            "safeconduct_open_streams",
            "Streams open to agents now.",
            registry=self.registry,
        )

    def decided(self, *, allow: bool) -> None:
        (self._allowed if allow else self._denied).inc()

    def ended(self, outcome: str, milliseconds: float) -> None:
        """Count how a call ended; `outcome` is one of a closed set of words."""
        self._outcomes.labels(outcome).inc()
        self._seconds.observe(milliseconds / 1000)

    def exposition(self) -> bytes:
        """Return all of it in the Prometheus text format."""
        return generate_latest(self.registry)
