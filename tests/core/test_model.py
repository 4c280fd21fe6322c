"""The nouns: strict, frozen, and never allowing by omission."""

from __future__ import annotations

import msgspec
import pytest

from safeconduct.core.decision import Decision
from safeconduct.core.model import HostId, Intent, Level, Resource, ServerKey


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


@pytest.mark.requirement("Z-45")
@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({}, None),
        ({"purpose": "p" * 200}, Intent(purpose="p" * 200)),
        ({"workflow": "é" * 100}, Intent(workflow="é" * 100)),
        ({"purpose": "Refund O-7", "workflow": "w"}, Intent(purpose="Refund O-7", workflow="w")),
    ],
)
def test_an_intent_is_what_was_declared_and_nothing_else(
    said: dict[str, str], read: Intent | None
) -> None:
    assert Intent.parse(said) == read
    assert read is None or msgspec.to_builtins(read) == said


NO_INTENTS: list[object] = [
    *(None, "", "refund", 7, True, [], ["refund"]),
    *({"purpose": value} for value in (None, "", " ", 7, True, [], {}, "p" * 201)),
    *({"workflow": value} for value in (None, "", 7, "w" * 101)),
    *({"purpose": text} for text in ("a\nb", "a\x00", "a\u202eb", "a\u200bb", "\ud800")),
    *({"purpose": "refund", "more": "x"}, {"Purpose": "refund"}),
]


@pytest.mark.requirement("Z-45")
@pytest.mark.parametrize("said", NO_INTENTS, ids=ascii)
def test_what_is_no_intent_is_refused(said: object) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Intent.parse(said)
