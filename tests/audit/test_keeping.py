from __future__ import annotations

import json
from typing import Any

import pytest

from safeconduct.audit import Keeping, SealedArguments
from safeconduct.core.model import HostId
from tests.fixtures.keys import ROOT_KEY

pytestmark = pytest.mark.requirement("L-04")

ACME = HostId("acme")
FACTS = b'{"ceiling":"low"}'


class Time:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def arguments() -> SealedArguments:
    return SealedArguments(ROOT_KEY)


@pytest.fixture
def keeping(arguments: SealedArguments, time: Time) -> Keeping:
    return Keeping(arguments, seconds=time)


def of_size(count: int) -> bytes:
    return json.dumps({"text": "x" * (count - len('{"text": ""}'))}).encode()


def refused(keeping: Keeping, given: bytes, *, who: str = "p_1", ip: str = "1.2.3.4") -> Any:
    return keeping.refused(ACME, who, "agent", given, FACTS, ip=ip)


def test_what_was_allowed_is_kept_whole_up_to_the_largest_size(
    keeping: Keeping, arguments: SealedArguments
) -> None:
    for size in (100, 64 * 1024):
        sealed, facts, omitted = keeping.allowed(ACME, "p_1", "agent", of_size(size), FACTS)
        assert sealed is not None
        assert arguments.opened(ACME, sealed) == of_size(size)
        assert (facts, omitted) == (FACTS, None)

    assert keeping.allowed(ACME, "p_1", "agent", of_size(64 * 1024 + 1), FACTS) == (
        None,
        FACTS,
        {"arguments": "too_large"},
    )
    assert keeping.allowed(ACME, "p_1", "agent", b"", FACTS) == (None, FACTS, None)


def test_what_was_refused_keeps_little_and_says_what_it_left_out(keeping: Keeping) -> None:
    sealed, facts, omitted = refused(keeping, of_size(4096))
    assert sealed is not None
    assert (facts, omitted) == (FACTS, None)

    assert refused(keeping, of_size(4097)) == (None, FACTS, {"arguments": "refused"})
    assert refused(keeping, of_size(65537)) == (None, FACTS, {"arguments": "too_large"})
    large = b"x" * (16 * 1024 + 1)
    assert keeping.refused(ACME, "p_1", "agent", b"", large, ip=None) == (
        None,
        b"",
        {"facts": "refused"},
    )


def test_refusals_without_an_end_cost_a_bounded_number_of_bytes_until_time_passes(
    keeping: Keeping, time: Time
) -> None:
    def kept() -> int:
        return sum(
            len(sealed or "") + len(facts)
            for sealed, facts, _ in (refused(keeping, of_size(4000)) for _ in range(2000))
        )

    assert 0 < kept() < 2 * 1024 * 1024
    assert refused(keeping, of_size(4000)) == (
        None,
        b"",
        {"arguments": "budget", "facts": "budget"},
    )
    assert refused(keeping, of_size(4000), who="p_2")[0] is not None
    time.now += 1.2
    assert refused(keeping, of_size(4000))[0] is not None
    time.now -= 3600
    assert refused(keeping, of_size(4000))[0] is None


def test_callers_of_one_address_share_its_budget_and_no_other(keeping: Keeping) -> None:
    for person in range(20):
        for _ in range(250):
            refused(keeping, of_size(4000), who=f"p_{person}")

    assert refused(keeping, of_size(4000), who="p_new")[0] is None
    assert refused(keeping, of_size(4000), who="p_new", ip="5.6.7.8")[0] is not None


def test_large_arguments_of_what_was_allowed_have_a_budget_and_small_ones_none(
    keeping: Keeping, time: Time
) -> None:
    kept = 0
    while keeping.allowed(ACME, "p_1", "agent", of_size(60_000), FACTS)[0] is not None:
        kept += 60_000
        assert kept <= 64 * 1024 * 1024
    assert kept > 60 * 1024 * 1024

    assert keeping.allowed(ACME, "p_1", "agent", of_size(60_000), FACTS) == (
        None,
        FACTS,
        {"arguments": "budget"},
    )
    assert keeping.allowed(ACME, "p_1", "agent", of_size(1000), FACTS)[0] is not None
    assert keeping.allowed(ACME, "p_2", "agent", of_size(60_000), FACTS)[0] is not None
    time.now += 1
    assert keeping.allowed(ACME, "p_1", "agent", of_size(60_000), FACTS)[0] is not None
