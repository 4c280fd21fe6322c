"""How one pinned thing moves between reviewed and waiting: by readings, sightings and operators.

Plain functions from a stored row to the columns that change; nothing here talks to a store. A
reading is ours, a sighting is what a server showed a caller. What the road saw is ended by an
operator alone: a server that shows its change to clients and the old text to us stays waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.engine import Row

from safeconduct.upstreams.pins import digest_of, first_pin, is_first, is_pinned, pin
from safeconduct.upstreams.tables import CHANGED, NEW, PINNED

_LEAST_SECONDS_BETWEEN_SIGHTINGS = 10.0
NOT_KEPT = "unkept:"  # begins the pin of a definition that is not kept; it matches nothing
Definition = dict[str, Any]
Columns = dict[str, Any]
_WAITS_NO_MORE: Columns = {"seen": None, "seen_pins": None, "witnessed": None, "refused": None}


class Spelled(NamedTuple):
    """Something as a server spells it, each spelling once, with their pins in the same order."""

    definitions: tuple[Definition, ...]
    pins: tuple[str, ...]

    @classmethod
    def of(cls, definitions: Sequence[Definition], made: Sequence[str] | None = None) -> Spelled:
        """Keep the first definition of each pin.

        Args:
            definitions: As they are spelled; at least one.
            made: Their pins, where they were made from something else.
        """
        once = dict(reversed([*zip(made or map(pin, definitions), definitions, strict=True)]))
        return cls(tuple(reversed(once.values())), tuple(reversed(once)))


def first(spelled: Spelled, *, state: str) -> Columns:
    """Return the columns of something that was not known before."""
    return {**_accepted(spelled), **_WAITS_NO_MORE, "state": state}


def after_reading(row: Row[Any], found: Spelled) -> Columns:
    """Return what changes when a reading finds this: waiting, or release as it was reviewed."""
    if row.state == NEW:
        return {} if _waiting(row) == set(found.pins) else _seen(found)
    if not _all_reviewed(row, found):
        if row.state == CHANGED and _waiting(row) == set(found.pins):
            return {}
        return {"state": CHANGED, **_seen(found)}
    if row.witnessed is not None:
        return {} if _waiting(row) == set(found.pins) else _seen(found)
    extended = _extended(row, found)
    if row.state == PINNED:
        return extended
    return {**extended, **_WAITS_NO_MORE, "state": PINNED}


def is_withdrawn(row: Row[Any]) -> bool:
    """Say whether something that a whole reading does not find any more is forgotten.

    It was never reviewed, so nothing is lost. What the road saw, and what an operator refused,
    stays as it is: a server that hides it from readings alone would have it come up again.
    """
    return row.state == NEW and row.witnessed is None and row.refused is None


def after_sighting(row: Row[Any] | None, seen: Spelled, *, at: datetime) -> Columns:
    """Return what changes when a caller is about to be shown what was not reviewed."""
    if row is None:
        return {**first(seen, state=NEW), "witnessed": _witness(seen, at)}
    if row.state == PINNED and _all_reviewed(row, seen):  # somebody accepted it meanwhile
        return {}
    known = set(seen.pins) <= _waiting(row)
    if row.state == NEW and known:
        return {}
    if row.state != PINNED and row.witnessed is not None:
        since = at.timestamp() - row.witnessed["at"]
        if known or 0 <= since < _LEAST_SECONDS_BETWEEN_SIGHTINGS:
            return {}
    waits = NEW if row.state == NEW else CHANGED
    return {
        **({} if known else _seen(seen)),
        "state": waits,
        "witnessed": _witness(seen, at),
    }


def after_acceptance(row: Row[Any]) -> Columns:
    """Return what changes when an operator accepts what waits."""
    return {**_accepted(present(row)), **_WAITS_NO_MORE, "state": PINNED}


def present(row: Row[Any]) -> Spelled:
    """Return what is there now, as far as it is known."""
    if row.seen is not None:
        # One alone stood there bare before there were several.
        definitions = row.seen if isinstance(row.seen, list) else [row.seen]
        pins = [*row.seen_pins]
        if len(pins) == len(definitions):
            return Spelled(tuple(definitions), tuple(pins))
        return Spelled.of(definitions)
    return pinned(row)


def pinned(row: Row[Any]) -> Spelled:
    """Return what was reviewed, or came first where nothing was."""
    return Spelled(tuple(row.spellings or [row.definition]), tuple(row.pins))


def digest_of_row(row: Row[Any]) -> str:
    """Return what names what is there now, for whoever accepts or refuses it."""
    return digest_of(present(row).pins)


def was_extended(row: Row[Any], columns: Columns) -> bool:
    """Say whether a pin of an older version is made anew by these columns."""
    return "pins" in columns and any(map(is_first, row.pins))


def _all_reviewed(row: Row[Any], found: Spelled) -> bool:
    return all(
        is_pinned(definition, made, row.pins)
        for definition, made in zip(found.definitions, found.pins, strict=True)
    )


def _extended(row: Row[Any], found: Spelled) -> Columns:
    """Make pins of version 1 anew where what was found still matches them; the others stay."""
    old = {each for each in row.pins if is_first(each)}
    matched = old & {first_pin(each) for each in found.definitions} if old else set()
    if not matched:
        return {}
    kept = [each for each in row.pins if each not in matched and each not in found.pins]
    return {
        "definition": found.definitions[0],
        "spellings": [*found.definitions],
        "pins": [*found.pins, *kept],
    }


def _waiting(row: Row[Any]) -> set[str]:
    return set(row.pins if row.seen_pins is None else row.seen_pins)


def _seen(found: Spelled) -> Columns:
    return {"seen": [*found.definitions], "seen_pins": [*found.pins], "refused": None}


def _accepted(spelled: Spelled) -> Columns:
    return {
        "definition": spelled.definitions[0],
        "spellings": [*spelled.definitions] if len(spelled.definitions) > 1 else None,
        "pins": [*spelled.pins],
    }


def _witness(seen: Spelled, at: datetime) -> dict[str, Any]:
    return {"at": at.timestamp(), "pins": [*seen.pins], "definitions": [*seen.definitions]}
