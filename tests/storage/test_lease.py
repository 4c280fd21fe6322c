"""The lease: over a microsecond too early rather than too late."""

from __future__ import annotations

import pytest

from safeconduct.storage import LEASE_SECONDS, Lease

pytestmark = pytest.mark.requirement("Z-24")
_MICROSECOND = 1e-6
_RULED_SECONDS = 5.0  # a node that lost its feed for so long refuses
_OURS_SECONDS = LEASE_SECONDS * 0.9


class Counter:
    """Counts seconds when told to."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def lease(counter: Counter) -> Lease:
    return Lease(seconds=counter)


def test_a_lease_that_was_never_given_has_run_out(lease: Lease) -> None:
    assert lease.lapsed
    assert lease.remaining == 0.0


@pytest.mark.parametrize(
    ("after", "lapsed"),
    [
        (0.0, False),
        (_OURS_SECONDS - _MICROSECOND, False),
        (_OURS_SECONDS, True),
        (_OURS_SECONDS + _MICROSECOND, True),
        (LEASE_SECONDS, True),
    ],
)
def test_a_lease_is_over_when_its_time_is(
    lease: Lease, counter: Counter, after: float, lapsed: bool
) -> None:
    lease.renew(counter.at)

    counter.at += after

    assert lease.lapsed is lapsed
    assert (lease.remaining > 0) is not lapsed


def test_it_counts_from_before_the_heartbeat_was_sent(lease: Lease, counter: Counter) -> None:
    asked_at = counter.at
    counter.at += 1.0  # on its way, and in the database

    lease.renew(asked_at)

    assert lease.remaining == pytest.approx(_OURS_SECONDS - 1.0)


def test_an_answer_that_took_longer_than_the_lease_gives_none(
    lease: Lease, counter: Counter
) -> None:
    asked_at = counter.at
    counter.at += _OURS_SECONDS

    lease.renew(asked_at)

    assert lease.lapsed


def test_an_older_heartbeat_takes_nothing_from_a_younger_one(
    lease: Lease, counter: Counter
) -> None:
    lease.renew(counter.at)

    lease.renew(counter.at - 1.0)

    assert lease.remaining == pytest.approx(_OURS_SECONDS)


def test_a_lease_that_ran_out_can_be_renewed(lease: Lease, counter: Counter) -> None:
    lease.renew(counter.at)
    counter.at += 100.0
    assert lease.lapsed

    lease.renew(counter.at)

    assert not lease.lapsed


def test_a_lease_that_was_given_up_is_over_at_once(lease: Lease, counter: Counter) -> None:
    lease.renew(counter.at)

    lease.end()

    assert lease.lapsed


def test_an_endless_lease_never_runs_out() -> None:
    lease = Lease.endless()
    lease.renew(0.0)

    assert not lease.lapsed
    assert lease.remaining == float("inf")


def test_a_lease_is_no_longer_than_what_was_ruled() -> None:
    assert LEASE_SECONDS <= _RULED_SECONDS


def test_the_machines_own_counter_goes_on() -> None:
    lease = Lease()
    lease.renew(lease.seconds())

    assert 0 < lease.remaining <= _OURS_SECONDS
