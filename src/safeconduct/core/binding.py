"""Bindings: which instance a call is about, and what permission it takes, in a line of YAML.

`{path: arguments.issue_id, object: "ticket:{value}", permission: edit}` says that whoever calls
the tool needs `edit` on the ticket the argument names. A binding that cannot be resolved names
no object, and no object means no.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from safeconduct.core.model import Value, Whose

MOST_VALUES = 100
_LONGEST = 256
_ARGUMENTS = "arguments"
_TEMPLATE = re.compile(r"(?P<kind>[a-z][a-z0-9_/]{0,63}):(?P<id>[^#@\s*]{1,256})")
_VARIABLE = re.compile(r"\{([a-z_][a-z0-9_]{0,31})\}")
# What may stand in an object's id; no separator of the text form, no wildcard, nothing unseen.
_NAMED = re.compile(r"[A-Za-z0-9_.,:/|=+~!$%&'()\[\]-]{1,256}")
# One segment of a URI: encoded or dotted ones could mean another instance upstream.
_SEGMENT = r"[A-Za-z0-9_.,:|=+~!$&'()-]{1,256}"


class Binding(Value, frozen=True):
    """What an argument names, and the permission needed on it.

    Attributes:
        path: Dotted, from `arguments`; `*` stands for each item of an array, and an array at
            the end for each of its items.
        object: Spells the object; `{value}` is the value found.
        permission: What the subject needs on it.
        subject: Whose permission counts: the person's, or the agent's.
        optional: Whether the argument may be left out.
    """

    path: str
    object: str
    permission: str
    subject: Whose = "person"
    optional: bool = False


class UriBinding(Value, frozen=True):
    """What a resource's URI names: `ticket://{id}` is `ticket:{id}`."""

    uri: str
    object: str
    permission: str
    subject: Whose = "person"


class Question(NamedTuple):
    """One thing to ask the relations: whether the subject has the permission on the object.

    `object` is "" where a binding names none; the answer to that is no.
    """

    object: str
    permission: str
    subject: Whose


def check_template(template: str, variables: frozenset[str]) -> str:
    """Say what is wrong with an object's template, or nothing."""
    if _TEMPLATE.fullmatch(_VARIABLE.sub("x", template)) is None:
        return "write a type and an id, such as ticket:{value}"
    unknown = set(_VARIABLE.findall(template)) - variables
    if unknown:
        return f"{{{min(unknown)}}} stands for nothing here"
    return ""


@lru_cache(maxsize=1024)  # one for each template of the settings and rules
def variables_of(template: str) -> frozenset[str]:
    """Return the names that stand in braces."""
    return frozenset(_VARIABLE.findall(template))


def asked_of_arguments(
    bindings: tuple[Binding, ...], arguments: dict[str, Any] | None
) -> list[Question]:
    """Return what has to be asked before a call with these arguments.

    Any number of values above the bound is a single question that names no object.
    """
    asked: list[Question] = []
    for binding in bindings:
        found = list(_found(arguments or {}, binding.path))
        if not found and binding.optional:
            continue
        if not found or len(found) > MOST_VALUES:
            found = [None]
        asked += [
            Question(spelled(binding.object, {"value": each}), binding.permission, binding.subject)
            for each in found
        ]
    return asked


def asked_of_uri(bindings: tuple[UriBinding, ...], uri: str) -> list[Question]:
    """Return what has to be asked before a resource is used.

    A URI that begins like a template but does not fit it names no object: what the server
    makes of it is anybody's guess.
    """
    asked = []
    for binding in bindings:
        prefix, pattern = _uri_pattern(binding.uri)
        if not uri.lower().startswith(prefix.lower()):
            continue
        match = pattern.fullmatch(uri)
        values = {} if match is None or _dotted(match) else match.groupdict()
        asked.append(Question(spelled(binding.object, values), binding.permission, binding.subject))
    return asked


def spelled(template: str, values: dict[str, Any]) -> str:
    """Spell an object, or return "" if a value is missing or cannot be a part of an id."""
    parts, names = _template_parts(template)
    texts = [str(values[name]) for name in names if _is_name(values.get(name))]
    return parts % tuple(texts) if len(texts) == len(names) else ""


@lru_cache(maxsize=1024)
def _template_parts(template: str) -> tuple[str, tuple[str, ...]]:
    """Return a template with `%s` for each variable, and the variables in their order."""
    return _VARIABLE.sub("%s", template.replace("%", "%%")), tuple(_VARIABLE.findall(template))


def _is_name(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    return _NAMED.fullmatch(str(value)[: _LONGEST + 1]) is not None


def _found(arguments: dict[str, Any], path: str) -> Iterator[Any]:
    """Yield what a path leads to; nothing where it leads nowhere."""
    first, _, rest = path.partition(".")
    if first == _ARGUMENTS:
        yield from _walk(arguments, rest.split(".") if rest else [])


def _walk(value: Any, segments: list[str]) -> Iterator[Any]:
    """Yield what is found; None for what is there and is not of the expected kind."""
    if not segments:
        yield from value if isinstance(value, list) else [value]
        return
    first, *rest = segments
    if first == "*" and isinstance(value, list):
        for item in value:
            yield from list(_walk(item, rest)) or [None]
    elif first == "*" or not isinstance(value, dict) or _twins(value, first):
        yield None
    elif first in value:
        yield from _walk(value[first], rest)


def _twins(value: dict[str, Any], name: str) -> bool:
    """Say whether a reader that ignores case would find something else than we do."""
    folded = name.casefold()
    return any(each != name and each.casefold() == folded for each in value)


@lru_cache(maxsize=1024)
def _uri_pattern(template: str) -> tuple[str, re.Pattern[str]]:
    prefix = template.partition("{")[0]
    parts = _VARIABLE.split(template)
    pattern = "".join(
        re.escape(part) if index % 2 == 0 else f"(?P<{part}>{_SEGMENT})"
        for index, part in enumerate(parts)
    )
    return prefix, re.compile(pattern)


def _dotted(match: re.Match[str]) -> bool:
    return any(part in {".", ".."} for part in match.groupdict().values())
