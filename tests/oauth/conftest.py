from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.oauth.world import World, world_at


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The store under test; another one may be named, empty, in the environment."""
    return os.environ.get("SAFECONDUCT_TEST_DATABASE", f"sqlite+aiosqlite:///{tmp_path}/t.db")


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    async with world_at(tmp_path, database_url) as opened:
        yield opened
