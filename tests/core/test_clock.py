"""Time: two readings of one instant."""

from __future__ import annotations

from datetime import UTC, timedelta

from safeconduct.core.clock import ManualClock, SystemClock


def test_a_manual_clock_stands_still_until_it_is_moved(clock: ManualClock) -> None:
    begun = clock.now()
    assert clock.now() == begun

    clock.advance(timedelta(minutes=5))

    assert clock.now() - begun == timedelta(minutes=5)
    assert clock.seconds() == clock.now().timestamp()


def test_the_machines_clock_tells_utc() -> None:
    clock = SystemClock()

    assert clock.now().tzinfo is UTC
    assert abs(clock.now().timestamp() - clock.seconds()) < 60
