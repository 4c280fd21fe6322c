"""One installation for all of these tests; each test brings its own agents and sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from safeconduct.rehearsal import Programs
from tests.e2e.gateway import POINT_SECRET, Site, installation, node_tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    directory = tmp_path_factory.mktemp("e2e")
    async with Programs(logs=directory / "upstreams") as upstreams:
        everything = await upstreams.module("everything", "tests.fixtures.everything")
        tickets = await upstreams.module(
            "tickets", "safeconduct.demo.tickets", "--data", str(directory / "tickets")
        )
        path = directory / "point.secret"
        path.touch(mode=0o600)
        path.write_text(POINT_SECRET, "ascii")
        point = {"id": "judge", "secret": {"file": str(path)}}
        async with installation(
            directory / "gateway",
            servers={"everything": everything.url, "tickets": tickets.url},
            more={"enforcement_points": [point]},
        ) as running:
            yield running


@pytest.fixture(scope="session")
async def node() -> None:
    problem = await node_tools()
    if problem:
        pytest.skip(f"the Node programs cannot be installed here: {problem}")
