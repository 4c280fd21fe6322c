"""What the tests of the trail share: a directory, a clock, and a trail that is open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from safeconduct.audit import Trail
from safeconduct.core.clock import ManualClock
from tests.fixtures.keys import ROOT_KEY


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def trail(directory: Path, clock: ManualClock) -> Iterator[Trail]:
    trail = Trail(directory, clock=clock, root_key=ROOT_KEY)
    trail.open()
    yield trail
    trail.close()
