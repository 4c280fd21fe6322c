"""Removing, masking, filtering and cutting JSON data, by pointers. No I/O.

Pointers are those of `core.decision`. Whatever a pointer does not reach stays as it is, except
that a list which has to be filtered or cut must be there: data of another shape is `Unfit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, assert_never

from safeconduct.core.binding import MOST_VALUES, Question, spelled, variables_of
from safeconduct.core.decision import Filter, Mask, MaxItems, Outgoing, Redact

STARS = "***"
_MOST_ITEMS = 100 * MOST_VALUES
Answers = dict[Question, bool]


class Unfit(Exception):
    """The data has not the shape an obligation was written for."""


def questions(data: Any, obligations: Iterable[Outgoing]) -> list[Question]:
    """Return what has to be asked before the data can be reshaped, each question once.

    Raises:
        Unfit: If a list to be filtered is not there, or has more items than can be asked about.
    """
    asked: dict[Question, None] = {}
    for obligation in obligations:
        if isinstance(obligation, Filter):
            for item in _list(data, obligation.items):
                asked[_question(obligation, item)] = None
    if len(asked) > _MOST_ITEMS:
        raise Unfit("too many items")
    return [question for question in asked if question.object]


def reshaped(data: Any, obligations: Iterable[Outgoing], answers: Answers) -> Any:
    """Return the data as the obligations leave it; lists are cut after they were filtered.

    Args:
        data: What a JSON text means. It is changed in place where that is possible.
        obligations: What has to be done.
        answers: To the `questions`; one without an answer is a no.

    Raises:
        Unfit: If a list to be filtered or cut is not there.
    """
    for obligation in sorted(obligations, key=lambda each: isinstance(each, MaxItems)):
        match obligation:
            case Redact():
                for pointer in obligation.pointers:
                    _each(data, pointer, _removed)
            case Mask():
                mask = _masking(obligation.keep_last)
                for pointer in obligation.pointers:
                    _each(data, pointer, mask)
            case Filter():
                items = _list(data, obligation.items)
                items[:] = [
                    item for item in items if answers.get(_question(obligation, item), False)
                ]
            case MaxItems():
                del _list(data, obligation.items)[obligation.count :]
            case _:
                assert_never(obligation)
    return data


Change = Callable[[Any], Any]
_GONE = object()


def _removed(_value: Any) -> Any:
    return _GONE


def _masking(keep_last: int) -> Change:
    def mask(value: Any) -> Any:
        # Of a short text, the last characters would be all of it.
        if isinstance(value, str) and keep_last and len(value) >= 2 * keep_last:
            return STARS + value[-keep_last:]
        return None if value is None else STARS

    return mask


def _each(data: Any, pointer: str, change: Change) -> None:
    """Change every place that a pointer reaches; the root itself is never one."""
    *above, last = _segments(pointer)
    for holder in list(_reached(data, above)):
        for key in _keys(holder, last):
            _replace(holder, key, change)


def _replace(holder: Any, key: Any, change: Change) -> None:
    value = change(holder[key])
    if value is not _GONE:
        holder[key] = value
    elif isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = None  # the other items keep their places


def _reached(data: Any, segments: list[str]) -> Iterator[Any]:
    if not segments:
        yield data
        return
    first, *rest = segments
    if first == "**":
        yield from _reached(data, rest)
        for key in _keys(data, "*"):
            yield from _reached(data[key], segments)
    else:
        for key in _keys(data, first):
            yield from _reached(data[key], rest)


def _keys(holder: Any, segment: str) -> list[Any]:
    """Return the keys of a holder that a segment stands for."""
    if isinstance(holder, dict):
        return list(holder) if segment == "*" else [segment] if segment in holder else []
    if isinstance(holder, list):
        if segment == "*":
            return list(range(len(holder)))
        plain = segment.isascii() and segment.isdigit() and len(segment) < 10
        return [int(segment)] if plain and int(segment) < len(holder) else []
    return []


def _list(data: Any, pointer: str) -> list[Any]:
    found = list(_reached(data, _segments(pointer)))
    if len(found) != 1 or not isinstance(found[0], list):
        raise Unfit("the list is not there")
    return found[0]


def _question(obligation: Filter, item: Any) -> Question:
    template = obligation.object
    members = item if isinstance(item, dict) else {"value": item}
    object_ = spelled(template, members) if variables_of(template) else ""
    return Question(object_, obligation.permission, obligation.subject)


def _segments(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
