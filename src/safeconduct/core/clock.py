"""Time as an argument: whoever needs it takes a Clock, so tests move it by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time twice: for people and records, and for measuring spans."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""

    def seconds(self) -> float:
        """Return Unix time in seconds; the hot path compares plain floats."""

    def elapsed(self) -> float:
        """Return seconds that only ever grow, the same for all processes of this machine."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251  this is the one place that may ask

    def seconds(self) -> float:
        return time.time()  # noqa: TID251  this is the one place that may ask

    def elapsed(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is advanced; for tests and replays."""

    def __init__(self, start: datetime = datetime(2026, 11, 21, 12, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed = timedelta()

    def now(self) -> datetime:
        return self._now

    def seconds(self) -> float:
        return self._now.timestamp()

    def elapsed(self) -> float:
        return self._elapsed.total_seconds()

    def advance(self, span: timedelta) -> None:
        """Move forward (or, with a negative span, set the date back: no time passes then)."""
        self._now += span
        self._elapsed += max(span, timedelta())
