"""Refusals: one closed list of codes."""

from __future__ import annotations

from safeconduct.core.errors import Code, GatewayError, Refused


def test_a_refusal_carries_the_code_it_was_given() -> None:
    refused = Refused(Code.TOO_LARGE, "The message is too large.", 5_000_000)

    assert refused.code is Code.TOO_LARGE
    assert refused.public == "The message is too large."
    assert isinstance(refused, GatewayError)


def test_giving_one_refusal_a_code_leaves_the_others_alone() -> None:
    Refused(Code.TOO_LARGE, "x")

    assert GatewayError("y").code is Code.INTERNAL


def test_codes_are_spelled_once() -> None:
    assert len({code.value for code in Code}) == len(Code)
