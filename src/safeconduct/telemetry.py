"""Logs and metrics. Logs are JSON lines; what looks like one of our handles never gets in.

Metrics are few and have bounded labels: no person, client, tool or URL is ever a label.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
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
        text = json.dumps({name: scrubbed(value) for name, value in line.items()})
        return text.replace("\x7f", "\\u007f")  # the one character of ASCII that JSON leaves


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


class PolicyAge(NamedTuple):
    """How long ago a host's repository last said what decides; None when it never did."""

    host: str
    seconds: float | None
    current: bool


class TrailState(NamedTuple):
    """Whether the audit trail can be written.

    Attributes:
        refused: Records that could not be written since the process began.
        free_bytes: Room on its disk; None where that cannot be asked.
    """

    refused: int
    writable: bool
    free_bytes: int | None


class Metrics:
    """What this process counts: plain numbers, turned into families when they are read.

    An increment on the road of a call costs a dictionary access.
    """

    def __init__(
        self,
        *,
        lease_seconds: Callable[[], float] | None = None,
        policies: Callable[[], Iterable[PolicyAge]] | None = None,
        flips: Callable[[], tuple[int, int]] | None = None,
        trail: Callable[[], TrailState] | None = None,
    ) -> None:
        """Begin at nothing.

        Args:
            lease_seconds: Says how long decisions may go on, where that is limited.
            flips: Says how many decisions a shadow would have allowed, and denied, instead.
            policies: Says how old the rules of hosts with a policy repository are.
            trail: Says how the audit trail is.
        """
        self._lease_seconds = lease_seconds
        self._policies = policies
        self._flips = flips
        self._trail = trail
        self.throttled = 0
        self.streams = 0
        self.held = 0
        self._decisions = {"allow": 0, "deny": 0}
        self._outcomes: dict[str, int] = {}
        self._dropped: dict[str, int] = {}
        self._buckets = [0] * (len(_SECONDS) + 1)
        self._seconds = 0.0
        self._registry = CollectorRegistry()
        PlatformCollector(registry=self._registry)
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def decided(self, *, allow: bool) -> None:
        self._decisions["allow" if allow else "deny"] += 1

    def drop(self, kind: str) -> None:
        """Count a message about a request that is not its sender's, or not open."""
        self._dropped[kind] = self._dropped.get(kind, 0) + 1

    def ended(self, outcome: str, milliseconds: float) -> None:
        """Count how a call ended; `outcome` is one of a closed set of words."""
        outcomes = self._outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        seconds = milliseconds / 1000
        self._buckets[bisect_left(_SECONDS, seconds)] += 1
        self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the families (the registry's protocol)."""
        decisions = CounterMetricFamily(
            "safeconduct_decisions", "Decisions on messages of agents.", labels=["decision"]
        )
        for word, count in self._decisions.items():
            decisions.add_metric([word], count)
        yield decisions
        outcomes = CounterMetricFamily(
            "safeconduct_outcomes", "How allowed calls ended.", labels=["outcome"]
        )
        for word, count in self._outcomes.items():
            outcomes.add_metric([word], count)
        yield outcomes
        dropped = CounterMetricFamily(
            "safeconduct_dropped_messages",
            "Messages about a request that is not open for their sender.",
            labels=["kind"],
        )
        for word, count in self._dropped.items():
            dropped.add_metric([word], count)
        yield dropped
        yield self._call_seconds()
        yield CounterMetricFamily(
            "safeconduct_throttled", "Requests refused by address.", value=self.throttled
        )
        yield GaugeMetricFamily(
            "safeconduct_open_streams", "Streams open to agents now.", value=self.streams
        )
        yield GaugeMetricFamily(
            "safeconduct_held_calls", "Calls that wait for an approval now.", value=self.held
        )
        if self._trail is not None:
            yield from _trail_families(self._trail())
        if self._flips is not None:
            flips = CounterMetricFamily(
                "safeconduct_shadow_flips", "Answers a shadow would flip.", labels=["to"]
            )
            for word, count in zip(("allow", "deny"), self._flips(), strict=True):
                flips.add_metric([word], count)
            yield flips
        if self._lease_seconds is not None:
            yield GaugeMetricFamily(
                "safeconduct_lease_seconds",
                "How long this process decides without word from the database; at 0 it refuses.",
                value=self._lease_seconds(),
            )
        if self._policies is not None:
            yield from self._policy_ages(self._policies())

    def _policy_ages(self, found: Iterable[PolicyAge]) -> Iterator[Metric]:
        """Yield how the hosts stand with their repositories; hosts are few and ours."""
        age = GaugeMetricFamily(
            "safeconduct_policy_age_seconds",
            "Since the policy repository of a host was last known to say what decides.",
            labels=["host"],
        )
        current = GaugeMetricFamily(
            "safeconduct_policy_current",
            "Whether the last look found, or brought, what the repository says.",
            labels=["host"],
        )
        for each in found:
            if each.seconds is not None:
                age.add_metric([each.host], each.seconds)
            current.add_metric([each.host], float(each.current))
        yield age
        yield current

    def exposition(self) -> bytes:
        """Return all of it in the Prometheus text format."""
        return generate_latest(self._registry)

    def _call_seconds(self) -> Metric:
        total, buckets = 0, []
        for edge, count in zip((*map(str, _SECONDS), "+Inf"), self._buckets, strict=True):
            total += count
            buckets.append((edge, total))
        return HistogramMetricFamily(
            "safeconduct_call_seconds",
            "From the first byte of a call to the end of its answer.",
            buckets=buckets,
            sum_value=self._seconds,
        )


def _trail_families(state: TrailState) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "safeconduct_audit_refused",
        "Records that could not be written; what they were about was refused.",
        value=state.refused,
    )
    yield GaugeMetricFamily(
        "safeconduct_audit_writable",
        "Whether the audit trail can be written: 1, or 0 while everything on record is refused.",
        value=float(state.writable),
    )
    if state.free_bytes is not None:
        yield GaugeMetricFamily(
            "safeconduct_audit_free_bytes",
            "Room on the disk of the audit trail.",
            value=state.free_bytes,
        )
