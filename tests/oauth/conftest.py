from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import empty
from tests.oauth.world import World, world_at


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_at(tmp_path, f"sqlite+aiosqlite:///{tmp_path}/t.db") as opened:
        yield opened


@pytest.fixture
async def racing(tmp_path: Path, url: str, store: str) -> AsyncIterator[World]:
    """The same world on each store: what is decided by a row must be decided by both."""
    async with world_at(tmp_path, url, before=empty if store == "postgresql" else None) as opened:
        yield opened
