"""The benchmark of decisions decides for real, and says when a budget was not measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from safeconduct.bench.decisions import Curve, Point, as_data, measure, show


def a_point(**changes: float) -> Point:
    sizes = {"people": 10_000, "servers": 100, "tuples": 1_000_000}
    costs = {"p50": 50.0, "p99": 1000.0, "allowed": 1, "loading": 1.0}
    return Point(**(sizes | costs | changes))  # type: ignore[arg-type]


@pytest.mark.slow
async def test_half_of_the_questions_are_about_the_persons_own_ticket(tmp_path: Path) -> None:
    found = await measure(200, tmp_path, most=10, tell=lambda _: None)

    assert found.points
    for point in found.points:
        assert point.allowed == 100
        assert 0 < point.p50 <= point.p99
    assert found.held is None


@pytest.mark.parametrize(
    ("changes", "held"), [({}, True), ({"p99": 1000.1}, False), ({"tuples": 10}, None)]
)
def test_the_budget_is_about_the_largest_size(changes: dict[str, float], held: bool | None) -> None:
    found = Curve(decisions=1, points=(a_point(**changes),))

    assert found.held is held
    assert as_data(found)["held"] is held
    console = Console(record=True, width=120)
    show(console, found)
    assert {True: "held", False: "missed", None: "not measured"}[held] in console.export_text()
