"""The nouns: strict, frozen, and never allowing by omission."""

from __future__ import annotations

import msgspec
import pytest

from safeconduct.core.decision import Decision
from safeconduct.core.model import HostId, Level, Resource, ServerKey


@pytest.mark.requirement("Z-07")
def test_levels_are_ordered_and_include_the_ones_below() -> None:
    assert Level.LOW < Level.MEDIUM < Level.HIGH
    assert max(Level) is Level.HIGH


def test_levels_are_read_as_they_are_written() -> None:
    assert [Level.parse(level.word) for level in Level] == list(Level)


@pytest.mark.parametrize("word", ["", "Low", "LOW", " low", "high ", "1", "admin", "until"])
def test_other_words_are_no_levels(word: str) -> None:
    with pytest.raises(ValueError, match="use low, medium or high"):
        Level.parse(word)


@pytest.mark.requirement("Z-37")
@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b'{"id":"d","reason":"r","message":"m","bundle":"b"}',
        b'{"id":"d","allow":"yes","reason":"r","message":"m","bundle":"b"}',
        b'{"id":"d","allow":1,"reason":"r","message":"m","bundle":"b"}',
        b'{"id":"d","allow":true,"reason":"r","message":"m","bundle":"b","extra":1}',
        b'{"id":"d","allow":true,"reason":"r","message":"m","bundle":"b","required_level":9}',
    ],
)
def test_a_decision_that_is_not_well_formed_is_none(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Decision)


def test_a_well_formed_decision_is_read() -> None:
    text = b'{"id":"d","allow":true,"reason":"r","message":"m","bundle":"b","required_level":2}'

    assert msgspec.json.decode(text, type=Decision).required_level is Level.MEDIUM


def test_a_value_cannot_be_changed() -> None:
    resource = Resource(kind="tool", server=ServerKey("tickets"))

    with pytest.raises(AttributeError):
        resource.name = "delete_issue"  # type: ignore[misc]  the point


def test_an_id_is_only_text_at_run_time() -> None:
    assert HostId("acme") == "acme"
