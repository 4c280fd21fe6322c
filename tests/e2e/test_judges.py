"""Independent OAuth clients, strict about every answer of the authorization server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.conversation import conversation, script
from tests.e2e.gateway import POINT_SECRET

if TYPE_CHECKING:
    from tests.e2e.gateway import Site

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("node")]


@pytest.mark.requirement("AS-01", "AS-02", "AS-03", "AS-04", "AS-06")
@pytest.mark.parametrize(("judge", "checks"), [("judge", 7 + 3 * 14 + 2), ("openid", 5)])
async def test_it_finds_nothing(site: Site, judge: str, checks: int) -> None:
    async with conversation(script(judge, site.origin, site.url("tickets"), POINT_SECRET)) as talk:
        await talk.result(lambda url: site.allow(url, server="tickets"))

    assert {name: said for name, said in talk.checks.items() if said != "ok"} == {}
    assert len(talk.checks) >= checks
