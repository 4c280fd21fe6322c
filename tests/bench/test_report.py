"""Budgets are judged at their bounds, and what was not measured is not praised."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from safeconduct.bench.report import as_data, exact, held, lines
from safeconduct.bench.run import Findings, Measured, Wanted

GOVERNED = Measured(
    name="governed", calls=1000, failed=0, per_second=3000, p50=1.0, p99=2.0, cpu_us=300.0
)
NGINX = Measured(
    name="nginx", calls=9000, failed=0, per_second=20_000, p50=0.2, p99=0.4, cpu_us=40.0
)
DIRECT = Measured(
    name="direct", calls=9000, failed=0, per_second=60_000, p50=0.1, p99=0.2, cpu_us=None
)
FOUND = Findings(
    wanted=Wanted(),
    generator="own",
    targets=(DIRECT, NGINX, GOVERNED),
    arrived=1000,
    intents=1000,
    outcomes=1000,
    cut_off=33,
    idle_mib=150.0,
    after_mib=151.0,
)


def with_governed(**changes: Any) -> Findings:
    changed = msgspec.structs.replace(GOVERNED, **changes)
    return msgspec.structs.replace(FOUND, targets=(DIRECT, NGINX, changed))


def verdicts(found: Findings) -> list[str]:
    return [line.verdict for line in lines(found)]


@pytest.mark.requirement("P-31")
def test_a_must_that_is_just_met_holds() -> None:
    assert verdicts(FOUND) == ["must", "must", "must", "must"]
    assert held(FOUND)
    assert as_data(FOUND)["held"]


@pytest.mark.parametrize(
    "found",
    [
        with_governed(per_second=2999.0),
        with_governed(p50=1.61),
        with_governed(cpu_us=300.1),
        msgspec.structs.replace(FOUND, idle_mib=150.1),
        msgspec.structs.replace(FOUND, arrived=1001),
        msgspec.structs.replace(FOUND, intents=1034, outcomes=1034),
        msgspec.structs.replace(FOUND, outcomes=966),
    ],
    ids=["share", "p50", "cpu", "memory", "sent-twice", "never-sent", "no-outcome"],
)
def test_one_miss_is_a_miss(found: Findings) -> None:
    assert not held(found)
    assert not as_data(found)["held"]


def test_calls_cut_off_at_the_end_of_a_measurement_are_not_held_against_it() -> None:
    assert all(exact(msgspec.structs.replace(FOUND, intents=1033, outcomes=1000)).values())


def test_aims_are_told_from_musts() -> None:
    found = with_governed(per_second=8000.0, p50=0.6, cpu_us=120.0)

    assert verdicts(found) == ["aim", "aim", "aim", "must"]


def test_without_nginx_there_is_no_share() -> None:
    found = msgspec.structs.replace(FOUND, targets=(DIRECT, GOVERNED))

    assert verdicts(found)[0] == "not measured"
    assert held(found)
