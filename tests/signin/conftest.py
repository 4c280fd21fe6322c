"""The fixture of these tests: a fresh place for each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from safeconduct.hosts import SignInPolicy
from tests.signin.place import Place, open_place


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_place(tmp_path) as opened:
        yield opened


@pytest.fixture
async def open_house(tmp_path: Path) -> AsyncIterator[Place]:
    """A place where strangers may create accounts."""
    async with open_place(tmp_path, policy=SignInPolicy(sign_up=True)) as opened:
        yield opened
