"""Scopes: `mcp`, `mcp:medium`, `mcp:high`, each including the ones before. Pure.

A scope never decides a call; it tells a client what its session was consented to, so that
it knows whether asking again can help.
"""

from __future__ import annotations

from safeconduct.core.model import Level

BASIC = "mcp"
_LEVELS = {BASIC: Level.LOW, "mcp:medium": Level.MEDIUM, "mcp:high": Level.HIGH}


def asked(scope: str | None) -> Level:
    """Return the highest level among the words; words we do not know are dropped."""
    words = (scope or "").split()
    return max((_LEVELS[word] for word in words if word in _LEVELS), default=Level.LOW)


def told(consented: Level, requested: Level) -> tuple[str, ...]:
    """Return the words a token is said to have: of the consented ones, those asked for.

    Clients in the field refuse an answer with a scope they did not ask for.
    """
    return granted(min(consented, requested))


def granted(level: Level) -> tuple[str, ...]:
    """Return the words of a consented level, lowest first."""
    return tuple(word for word, included in _LEVELS.items() if included <= level)
