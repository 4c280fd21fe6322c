"""Guesses a tool's level from its name, and says what decided.

The words of a name are looked up by what they mean (`words`): the verb that stands first decides
what happens, and what it happens to may raise that. So `merge` is a verb in `merge_branch` and an
object in `get_merge_request`; `query` reads rows or runs whatever it is given. A name without a
known verb is medium: not knowing is no reason to call something harmless. A tool's own
annotations are claims of its server, so they may raise a level and never lower it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from safeconduct.core.model import Level, Value
from safeconduct.upstreams import words
from safeconduct.upstreams.words import is_of


class Classification(Value, frozen=True):
    """A level and why: `because` is a clause to put after the level's word."""

    level: Level
    because: str


_UNKNOWN = Classification(level=Level.MEDIUM, because="its name has no word we know")
_ANYTHING = Classification(level=Level.MEDIUM, because="its name does not say what it shows")


def classify(name: str, annotations: dict[str, Any] | None = None) -> Classification:
    """Classify one tool by its name and, upwards only, by its annotations."""
    by_name = _by_name(words.split(name))
    claimed = _claimed(annotations or {})
    if claimed is not None and claimed.level > by_name.level:
        return claimed
    return by_name


def _claimed(annotations: dict[str, Any]) -> Classification | None:
    """Read what a server claims (MCP, tools: annotations).

    A tool that writes may destroy unless its server denies it: `destructiveHint` is true by
    default, and means something only where `readOnlyHint` is not true.
    """
    read_only, destructive = annotations.get("readOnlyHint"), annotations.get("destructiveHint")
    if destructive is True and read_only is not True:
        return Classification(level=Level.HIGH, because="its server calls it destructive")
    if read_only is False and destructive is not False:
        because = "its server says that it writes, and not that it destroys nothing"
        return Classification(level=Level.HIGH, because=because)
    if read_only is False:
        return Classification(level=Level.MEDIUM, because="its server says that it writes")
    return None


def _by_name(found: list[str]) -> Classification:
    if len(found) == 1 and found[0] in words.SHOWING_ANYTHING:
        return _ANYTHING
    judged = [_judged(each) for each in _clauses(found)]
    return max(judged, key=lambda each: each.level, default=_UNKNOWN)


def _clauses(found: list[str]) -> list[list[str]]:
    """Part a name at `and` and the like; what has no verb of its own stays with its neighbour."""
    parts: list[list[str]] = [[]]
    for word in found:
        if word in words.AND:
            parts.append([])
        else:
            parts[-1].append(word)
    clauses: list[list[str]] = []
    for part in parts:
        if clauses and not (_has_verb(part) and _has_verb(clauses[-1])):
            clauses[-1] += part
        elif part:
            clauses.append(part)
    return clauses


def _has_verb(found: list[str]) -> bool:
    return any(word in words.VERBS or word in words.DESTROYING for word in found)


def _judged(clause: list[str]) -> Classification:
    destroys = next((word for word in clause if word in words.DESTROYING), None)
    if destroys is not None:
        return _of(Level.HIGH, destroys)
    at = _verb_at(clause)
    if at is None:
        return _without_verb(clause)
    if clause[at] in words.READING:
        return _reading(clause, at)
    return _changing(clause, at)


def _verb_at(clause: list[str]) -> int | None:
    """Return where the verb stands that says what happens."""
    last = len(clause) - 1
    at = next((at for at, word in enumerate(clause) if word in words.VERBS), None)
    if at is None or at == last:
        return at
    if clause[at] in words.CHANGING_OR_OBJECT and clause[last] in words.LAST_READING:
        return last
    if clause[at] in words.READING_OR_OBJECT and at > 0:  # of what is listed something is done
        behind = words.IRREVERSIBLE | (words.CHANGING_OR_OBJECT if at + 1 == last else set())
        return next((each for each in range(at + 1, last + 1) if clause[each] in behind), at)
    return at


def _without_verb(clause: list[str]) -> Classification:
    if clause[-1] in words.STATE:
        return _of(Level.LOW, clause[-1])
    if described := words.describes_a_thing(clause):
        return _of(Level.LOW, described)
    if because := _speaks_to_all(clause) or _formats(clause):
        return Classification(level=Level.HIGH, because=because)
    for word in clause:
        if word in words.RUNS_ALONE or word in words.ANYTHING:
            return _runs(word)
    state = next((word for word in clause if word in words.STATE), None)
    return _UNKNOWN if state is None else _of(Level.LOW, state)


def _speaks_to_all(clause: list[str]) -> str:
    """Say that something is said to many, in a name that has no verb but saying."""
    said = next((word for word in clause if word in words.SPEAKING), "")
    many = (each for each in clause if each in words.MANY | words.OPENING | words.BROADCASTING)
    return _many(next(many, "")) if said else ""


def _formats(clause: list[str]) -> str:
    if "format" not in clause:
        return ""
    volume = next((word for word in clause if is_of(word, words.VOLUMES)), "")
    return f"it empties what it formats: “{volume}”" if volume else ""


def _reading(clause: list[str], at: int) -> Classification:
    verb, objects = clause[at], clause[:at] + clause[at + 1 :]
    behind = clause[at + 1 :]
    if verb == "query" and (not behind or any(is_of(each, words.DATABASES) for each in behind)):
        return _runs(verb)
    if verb in words.ASKING and len(behind) == 1 and behind[0] in words.LANGUAGES:
        return _runs(behind[0])
    changes = next((word for word in behind if word in words.CHANGING), None)
    if changes is not None:
        return _of(Level.MEDIUM, changes)
    secret = words.shows_a_secret(behind or objects) if verb in words.SHOWING else ""
    if secret:
        return Classification(
            level=Level.MEDIUM, because=f"it may show what opens other things: “{secret}”"
        )
    return _of(Level.LOW, verb)


class _Change(NamedTuple):
    """A verb that changes something, and the words around it."""

    verb: str
    before: list[str]
    behind: list[str]

    @property
    def objects(self) -> list[str]:
        return self.before + self.behind

    def about(self, table: frozenset[str]) -> str:
        """Return the first object of a class, or ""."""
        return next((word for word in self.objects if is_of(word, table)), "")

    def of_all(self, table: frozenset[str]) -> str:
        """Return what the objects come down to if it is of a class, or ""."""
        head = words.head_of(self.objects)[-1:]
        return next((word for word in head if is_of(word, table)), "")


def _changing(clause: list[str], at: int) -> Classification:
    change = _Change(clause[at], clause[:at], clause[at + 1 :])
    for rule in _RAISING:
        because = rule(change)
        if because:
            return Classification(level=Level.HIGH, because=because)
    return _of(Level.MEDIUM, change.verb)


def _is_final(change: _Change) -> str:
    *_, last = ("", *change.objects)
    for word in (change.verb, last):
        if word in words.IRREVERSIBLE:
            return _word(word)
    forced = change.about(words.FORCING)
    return _word(forced) if forced else ""


def _runs_anything(change: _Change) -> str:
    says_nothing = not change.behind and len(change.before) < 2  # ssh_execute, run
    if change.verb in words.RUNNING_ANYTHING or (
        change.verb in words.RUNNING_ALONE and says_nothing
    ):
        return _running(change.verb)
    found = change.about(words.RUNS) if change.verb in words.RUNNING else ""
    if not found and change.verb in words.CALLING:
        found = change.of_all(words.ANSWERS_ANYTHING)
    return _running(found) if found else ""


def _changes_secrets(change: _Change) -> str:
    secret = words.shows_a_secret(change.objects)
    return f"it changes what opens other things: “{secret}”" if secret else ""


def _opens_access(change: _Change) -> str:
    if right := change.of_all(words.ACCESS):
        return f"it decides who may do what: “{right}”"
    if opening := change.about(words.OPENING):
        return f"it opens something to others: “{opening}”"
    if change.verb in words.REPLACING and change.about(words.PEOPLE):
        return f"it replaces who there is: “{change.verb}”"
    return ""


def _ends_protection(change: _Change) -> str:
    guard = change.about(words.GUARDS) if change.verb in words.SWITCHING_OFF else ""
    return f"it ends what protects: “{guard}”" if guard else ""


def _moves_money(change: _Change) -> str:
    money = change.of_all(words.MONEY)
    if not money and change.verb in words.SENDING:
        money = change.of_all(frozenset({"transaction"}))
    return f"it moves money: “{money}”" if money else ""


def _changes_many(change: _Change) -> str:
    adds = change.verb in words.ADDING
    many = change.about(words.MANY if adds else words.MANY | words.SEVERAL)
    return _many(many)


def _many(word: str) -> str:
    return f"it changes many things at once: “{word}”" if word else ""


# Each says why what a verb changes is high, or "".
_RAISING: tuple[Callable[[_Change], str], ...] = (
    _is_final,
    _runs_anything,
    _ends_protection,
    _changes_secrets,
    _opens_access,
    _moves_money,
    _changes_many,
)


def _of(level: Level, word: str) -> Classification:
    return Classification(level=level, because=_word(word))


def _word(word: str) -> str:
    return f"of the word “{word}”"


def _runs(word: str) -> Classification:
    return Classification(level=Level.HIGH, because=_running(word))


def _running(word: str) -> str:
    return f"it runs whatever it is given: “{word}”"
