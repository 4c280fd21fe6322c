from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from safeconduct.consent import Consent
from safeconduct.core.model import ClientId, ConsentId, HostId, Level, ServerKey, SubjectId
from safeconduct.hosts import Host, Policies
from safeconduct.web.screen import agent, starting_level

NOW = datetime(2026, 11, 21, tzinfo=UTC)
HOST = Host(key=HostId("acme"), name="Acme", origin="https://acme.example", policies=Policies())
BEFORE = Consent(
    host=HOST.key,
    subject=SubjectId("p_1"),
    client=ClientId("c_1"),
    server=ServerKey("tickets"),
    id=ConsentId("consent_1"),
    level=Level.MEDIUM,
    granted_at=NOW,
    expires_at=None,
    redirect_uri="https://agent.example/cb",
    client_digest="d",
)


@pytest.mark.requirement("C-07", "C-16")
@pytest.mark.parametrize("ceiling", list(Level))
def test_the_level_starts_at_low_or_where_it_was_if_that_is_still_open(ceiling: Level) -> None:
    ended = msgspec.structs.replace(BEFORE, ended_at=NOW)

    assert starting_level(ceiling, None, start=Level.LOW) is Level.LOW
    assert starting_level(ceiling, ended, start=Level.LOW) is Level.LOW
    again = starting_level(ceiling, BEFORE, start=Level.LOW)
    assert again is (Level.LOW if ceiling is Level.LOW else Level.MEDIUM)
    for start in Level:
        assert starting_level(ceiling, None, start=start) is min(start, ceiling)


@pytest.mark.requirement("C-25", "SEC-07")
@pytest.mark.parametrize(
    ("kind", "published_at", "known"),
    [
        ("registered", None, "Acme registered this app."),
        ("document", "claude.ai", "Published by claude.ai, address checked."),
        ("document", None, "It registered itself, so nobody has checked the name."),
        ("dynamic", "claude.ai", "It registered itself, so nobody has checked the name."),
    ],
)
def test_exactly_one_sentence_says_how_the_name_is_known(
    kind: str, published_at: str | None, known: str
) -> None:
    shown = agent(
        HOST,
        name="Claude",
        kind=kind,
        published_at=published_at,
        redirect_uri="https://agent.example/cb",
    )

    assert shown.known == known
