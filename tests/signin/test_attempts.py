from __future__ import annotations

from datetime import timedelta

import pytest

from safeconduct.core.clock import ManualClock
from safeconduct.core.model import HostId
from safeconduct.signin import Attempts
from safeconduct.signin.attempts import network_of
from safeconduct.storage import Tally

HOST = HostId("acme")
ALICE = "alice@acme.test"
HOME, THIEF = "203.0.113.7", "198.51.100.9"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def attempts(clock: ManualClock) -> Attempts:
    return Attempts(clock=clock)


@pytest.mark.requirement("A-04")
def test_the_sixth_guess_waits_and_waits_double(attempts: Attempts, clock: ManualClock) -> None:
    assert [attempts.begin(HOST, ALICE, THIEF) for _ in range(5)] == [0] * 5

    waits = []
    for _ in range(12):
        wait = attempts.begin(HOST, ALICE, THIEF)
        waits.append(wait)
        clock.advance(timedelta(seconds=wait))
        assert attempts.begin(HOST, ALICE, THIEF) == 0

    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == 900


@pytest.mark.requirement("A-04")
def test_a_guesser_elsewhere_does_not_lock_the_owner_out(attempts: Attempts) -> None:
    attempts.begin(HOST, ALICE, HOME)
    attempts.succeeded(HOST, ALICE, HOME)

    for network in range(200):
        attempts.begin(HOST, ALICE, f"198.51.100.{network}")

    assert attempts.begin(HOST, ALICE, "192.0.2.1") > 0, "many guessers at once are slowed"
    assert attempts.begin(HOST, ALICE, HOME) == 0, "the owner is not"


def test_one_network_cannot_try_every_account(attempts: Attempts, clock: ManualClock) -> None:
    waits = [attempts.begin(HOST, f"p{n}@acme.test", THIEF) for n in range(61)]

    assert waits[59] == 0
    assert waits[60] > 0
    clock.advance(timedelta(seconds=waits[60]))
    assert attempts.begin(HOST, "p61@acme.test", THIEF) == 0


def test_success_forgets_the_mistakes_before(attempts: Attempts) -> None:
    for _ in range(5):
        attempts.begin(HOST, ALICE, HOME)
    attempts.succeeded(HOST, ALICE, HOME)

    assert attempts.begin(HOST, ALICE, HOME) == 0


def test_hosts_are_counted_apart(attempts: Attempts) -> None:
    for _ in range(6):
        attempts.begin(HOST, ALICE, THIEF)

    assert attempts.begin(HOST, ALICE, THIEF) > 0
    assert attempts.begin(HostId("other"), ALICE, THIEF) == 0


def test_a_clock_that_leaps_back_gives_no_guesses_away(
    attempts: Attempts, clock: ManualClock
) -> None:
    """Pitfall 59."""
    for _ in range(6):
        attempts.begin(HOST, ALICE, THIEF)
    clock.advance(timedelta(days=-1))

    assert attempts.begin(HOST, ALICE, THIEF) > 0


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("nonsense", "", True),
    ],
)
def test_what_counts_as_one_network(left: str, right: str, same: bool) -> None:
    assert (network_of(left) == network_of(right)) is same


@pytest.mark.slow
def test_more_workers_allow_no_more_guesses(clock: ManualClock) -> None:
    def guessed(workers: int) -> int:
        """Count the guesses of one network in a day, with whichever worker lets it guess."""
        tally = Tally()
        counting = [Attempts(clock=clock, tally=tally) for _ in range(workers)]
        let = 0
        for _ in range(24 * 60):
            let += sum(each.begin(HOST, ALICE, THIEF) == 0 for each in counting for _ in "123456")
            clock.advance(timedelta(minutes=1))
        return let

    alone, many = guessed(1), guessed(8)

    assert 100 <= alone <= 115
    assert many <= 120


def test_many_workers_neither_let_one_network_nor_one_account_be_guessed_more(
    clock: ManualClock,
) -> None:
    tally = Tally()
    counting = [Attempts(clock=clock, tally=tally) for _ in range(8)]
    network = sum(
        each.begin(HOST, f"p{number}@acme.test", THIEF) == 0
        for each in counting
        for number in range(60)
    )
    account = sum(
        each.begin(HOST, ALICE, f"10.0.{number}.1") == 0
        for each in counting
        for number in range(30)
    )

    assert (network, account) == (420, 210)


def test_whoever_signs_in_all_day_is_not_taken_for_a_guesser(clock: ManualClock) -> None:
    tally = Tally()
    counting = [Attempts(clock=clock, tally=tally) for _ in range(2)]
    for number in range(500):
        attempts = counting[number % 2]
        assert attempts.begin(HOST, ALICE, HOME) == 0
        attempts.succeeded(HOST, ALICE, HOME)


def test_a_date_that_is_set_back_makes_nobody_wait_longer(
    attempts: Attempts, clock: ManualClock
) -> None:
    for _ in range(5):
        attempts.begin(HOST, ALICE, THIEF)
    assert attempts.begin(HOST, ALICE, THIEF) == 1

    clock.advance(timedelta(days=-1))
    assert attempts.begin(HOST, ALICE, THIEF) == 1
    clock.advance(timedelta(seconds=1))
    assert attempts.begin(HOST, ALICE, THIEF) == 0
