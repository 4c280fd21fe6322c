"""What nobody hears of a host's rules, with the words that the road itself has for calls."""

from __future__ import annotations

from functools import cache

from safeconduct.policy import Bundle, notes_of
from safeconduct.proxy import methods_of

_ISSUANCE = "oauth/token"  # asked whether a session may have tokens; no method


def unheard(bundle: Bundle) -> tuple[str, ...]:
    """Return a sentence for each thing that rules and data say and nobody hears."""
    return notes_of(bundle, words_of_calls())


@cache
def words_of_calls() -> dict[tuple[str, ...], frozenset[str]]:
    """Return the only words there are at a place of the input, where its schema says any text."""
    methods = methods_of()
    actions = {each for those in methods.values() for each in those}
    return {
        ("action",): frozenset({*actions, _ISSUANCE}),
        ("resource", "kind"): frozenset(methods),
    }
