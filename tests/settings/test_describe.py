"""The documentation says what the model says."""

from __future__ import annotations

from pathlib import Path

from safeconduct.settings import describe_settings

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_documentation_equals_the_generated_text() -> None:
    assert DOCS.read_text() == describe_settings(), "write it anew from describe_settings()"


def test_every_part_has_its_section_with_units_and_defaults() -> None:
    text = describe_settings()

    for section in ("server.limits", "hosts[].servers[].tools.NAME", "hosts[].sign_in.password"):
        assert f"\n## `{section}`\n" in text
    assert "| `access_seconds` | whole number, 360 to 86400 (seconds) | `900` |" in text
    assert "| `origin` | origin | **required** |" in text
    assert "| `SAFECONDUCT_LISTEN` | `server.listen` |" in text
