"""Guesses a tool's level from its name, and says which word decided.

Names are split into words (`_`, `-`, `.`, spaces, camelCase) and the words looked up in
verb tables; high is tested before medium before low. A name with no known verb is medium:
not knowing is no reason to call something harmless. A tool's own annotations are claims of
its server, so they may raise a level and never lower it.
"""

from __future__ import annotations

import re
from typing import Any

from safeconduct.core.model import Level, Value

# ruff: noqa: SIM905  a table of words is read as a text
HIGH = frozenset(
    "delete remove destroy drop purge erase truncate terminate kill revoke wipe uninstall "
    "unpublish deprovision shred".split()
)
MEDIUM = frozenset(
    "create write update set modify edit put post insert add send execute run invoke submit "
    "push publish deploy apply patch save archive restore merge move rename transfer cancel "
    "close open reopen approve reject upload trigger assign unassign comment reply invite "
    "share grant enable disable start stop restart schedule import sync copy clone fork lock "
    "unlock pin unpin mark tag label link unlink attach detach subscribe unsubscribe book "
    "order buy pay charge refund register sign call replace append change configure reset "
    "rotate generate make build release rollback join leave follow react forward draft".split()
)
LOW = frozenset(
    "get list search read find fetch describe show view query count lookup check status "
    "browse download preview explain summarize inspect diff compare validate ping who what "
    "echo help history stat stats head peek resolve select export".split()
)
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")


class Classification(Value, frozen=True):
    """A level and why: `because` is a clause to put after the level's word."""

    level: Level
    because: str


def words(name: str) -> list[str]:
    """Split a tool's name into lower-case words."""
    return [word.lower() for word in _WORDS.findall(name)]


def classify(name: str, annotations: dict[str, Any] | None = None) -> Classification:
    """Classify one tool by its name and, upwards only, by its annotations."""
    by_name = _by_name(name)
    claimed = _claimed(annotations or {})
    if claimed is not None and claimed.level > by_name.level:
        return claimed
    return by_name


def _by_name(name: str) -> Classification:
    found = words(name)
    for level, verbs in ((Level.HIGH, HIGH), (Level.MEDIUM, MEDIUM), (Level.LOW, LOW)):
        for word in found:
            if word in verbs:
                return Classification(level=level, because=f"of the word “{word}”")
    return Classification(level=Level.MEDIUM, because="its name has no word we know")


def _claimed(annotations: dict[str, Any]) -> Classification | None:
    if annotations.get("destructiveHint") is True and annotations.get("readOnlyHint") is not True:
        return Classification(level=Level.HIGH, because="its server calls it destructive")
    if annotations.get("readOnlyHint") is False:
        return Classification(level=Level.MEDIUM, because="its server says that it writes")
    return None
