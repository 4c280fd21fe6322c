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
# In a query nothing that ends a field: it would be another field to whoever takes the query apart.
_IN_QUERY = r"[A-Za-z0-9_.,:|+~!$'()-]{1,256}"
# In the place of a host: what follows a colon would be a port, and not part of the name.
_HOST = r"[A-Za-z0-9_.,=+~!$&'()-]{1,256}"
OPEN = "none"  # instead of a permission: nothing is asked


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
    """What a resource's URI names: `ticket://{id}` is `ticket:{id}`.

    Attributes:
        object: Spells the object; "" where the permission is `OPEN`, for nothing is asked then.
    """

    uri: str
    permission: str
    object: str = ""
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
    """Return what has to be asked before a resource is used, or a template of resources.

    A URI of a scheme that is bound and fits no template names no object: what the server makes
    of it is anybody's guess. One that is spelled out stands for itself, whatever template it
    would fit too.
    """
    scheme = scheme_of(uri)
    of_scheme = [each for each in bindings if scheme_of(each.uri) == scheme]
    itself = [each for each in of_scheme if shape_of(each.uri) == shape_of(uri)]
    found = [(each, _parts(each.uri, uri)) for each in itself or of_scheme]
    fitting = [(each, parts) for each, parts in found if parts is not None or each in itself]
    if of_scheme and not fitting:
        first = of_scheme[0]
        return [Question("", first.permission, first.subject)]
    return [
        Question(spelled(each.object, parts or {}), each.permission, each.subject)
        for each, parts in fitting
        if each.permission != OPEN
    ]


def ambiguity_of(template: str) -> str:
    """Say why it could not be told what a URI's parts are, or nothing."""
    parts = _VARIABLE.split(template)
    names = parts[1::2]
    for name in names:
        if names.count(name) > 1:
            return f"{{{name}}} stands there twice; name each part once"
    for index in range(1, len(parts) - 2, 2):
        inside = re.compile(_inside("".join(parts[:index])))
        if all(inside.fullmatch(sign) for sign in parts[index + 1]):
            return (
                f"where {{{parts[index]}}} ends and {{{parts[index + 2]}}} begins cannot be told; "
                "put a / between them, or another sign that no part may hold"
            )
    return ""


def scheme_of(uri: str) -> str:
    return uri.partition(":")[0].lower()


def shape_of(uri: str) -> str:
    """Return a URI or template whatever its variables are called."""
    return _VARIABLE.sub("{}", uri)


def _parts(template: str, uri: str) -> dict[str, str] | None:
    """Return what a template's variables stand for, or None if a URI does not fit it."""
    match = _uri_pattern(template).fullmatch(uri)
    return None if match is None or _dotted(match) else match.groupdict()


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
def _uri_pattern(template: str) -> re.Pattern[str]:
    parts = _VARIABLE.split(template)
    pattern, named = "", set()
    for index, part in enumerate(parts):
        if index % 2 == 0:
            pattern += re.escape(part)
        elif part in named:  # refused in settings; what was stored before asks for the same twice
            pattern += f"(?P={part})"
        else:
            named.add(part)
            pattern += f"(?P<{part}>{_inside(''.join(parts[:index]))})"
    return re.compile(pattern)


def _inside(before: str) -> str:
    """Return what may stand for a variable behind a part of a template."""
    if "?" in before:
        return _IN_QUERY
    return _HOST if before.count("/") == 2 and "://" in before else _SEGMENT


def _dotted(match: re.Match[str]) -> bool:
    return any(part in {".", ".."} for part in match.groupdict().values())
