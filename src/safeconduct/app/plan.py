"""What a configuration would change, or has changed: steps that people and programs read.

Nothing here can hold a secret: passwords and client secrets appear as "a first password" and
"a new secret", attributes by their names, URLs without what follows a question mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec

from safeconduct.core.model import HostId, ServerKey, Value

Action = Literal["create", "change", "remove"]

_SIGNS: dict[Action, str] = {"create": "+", "change": "~", "remove": "-"}
_LONGEST = 100
_EVENT_BYTES = 64 * 1024


class Step(Value, frozen=True):
    """One thing that becomes different.

    Attributes:
        noun: What kind of thing: `host`, `policy`, `person`, `operator`, `server`, `ceiling`,
            `relation`, `client`, `session` or `consent`.
        key: Which one, in words a reader knows.
        what: Sentences that say what becomes different.
    """

    host: HostId
    noun: str
    key: str
    action: Action
    what: tuple[str, ...]

    def __str__(self) -> str:
        said = "; ".join(self.what)
        named = "" if said.startswith(f"{self.noun} ") else f"{self.noun} {self.key}: "
        return f"{_SIGNS[self.action]} {self.host}: {named}{said}"


class Imported(Value, frozen=True):
    """What one server offered when it was read just now.

    Attributes:
        eras: `legacy`, `modern` or both; empty when it could not be read.
        low: Tools on offer at this level; likewise `medium` and `high`.
        held_back: Tools known and not on offer: switched off, not imported or in quarantine.
        quarantined: Tools that wait for review since this reading.
        left_out: What of its lists was not taken over, each with its reason.
        levels: The level of each tool on offer and why, by its name.
        problem: Why it could not be read.
        holds_seconds: How long its lists hold, as it says itself.
    """

    host: HostId
    server: ServerKey
    eras: tuple[str, ...] = ()
    low: int = 0
    medium: int = 0
    high: int = 0
    held_back: int = 0
    quarantined: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    levels: dict[str, str] = {}
    problem: str | None = None
    holds_seconds: float | None = None

    def __str__(self) -> str:
        name = f"{self.host}: server {self.server}"
        if self.problem is not None:
            return f"{name}: could not be read: {self.problem}"
        counts = f"{self.low} low, {self.medium} medium, {self.high} high"
        held = f", {self.held_back} held back" if self.held_back else ""
        waiting = f"; for review: {', '.join(self.quarantined)}" if self.quarantined else ""
        left = f"; not taken over: {'; '.join(self.left_out)}" if self.left_out else ""
        return f"{name}: {' and '.join(self.eras)}; tools: {counts}{held}{waiting}{left}"


class Plan(Value, frozen=True):
    """The steps in the order in which they are taken, and what came of them."""

    steps: tuple[Step, ...] = ()
    imported: tuple[Imported, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether the installation is as the configuration says already."""
        return not self.steps

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        members: dict[str, Any] = msgspec.to_builtins(self)
        return members

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps)) or "Nothing to change."


def short(text: str) -> str:
    """Cut a text from a configuration to what fits into a sentence."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def public_url(url: str) -> str:
    """Return a URL without its query, which some servers expect a key in."""
    path, question, _ = url.partition("?")
    return short(path) + ("?…" if question else "")


def became(name: str, before: object, after: object) -> str:
    """Say that a value is replaced by another."""
    return f"{name}: {short(_spelled(before))} -> {short(_spelled(after))}"


def _spelled(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case tuple() | list():
            return ", ".join(map(str, value)) or "none"
        case _:
            return str(value) or "none"


def portions(sentences: Iterable[str]) -> Iterator[list[str]]:
    """Part sentences into lists that are not too large for one record."""
    portion: list[str] = []
    size = 0
    for sentence in sentences:
        size += len(sentence.encode())
        if portion and size > _EVENT_BYTES:
            yield portion
            portion, size = [], len(sentence.encode())
        portion.append(sentence)
    if portion:
        yield portion
