"""A request to a plain HTTP API, as a tool declares it: which argument goes where.

Whoever declares one, by hand or by an OpenAPI document, is judged here, so that both are held to
the same: each argument has one place, and nothing has none. No I/O; sending is others' business.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

from safeconduct.core.model import Value

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_WITHOUT_BODY = frozenset({"GET"})
JSON, FORM, TEXT = "application/json", "application/x-www-form-urlencoded", "text/plain"
_MOST_ARGUMENTS = 200
_LONGEST_PATH, _LONGEST_NAME = 1024, 128
_VARIABLE = re.compile(r"\{([^{}/?#\s]{1,128})\}")
# What a path holds beside its variables (RFC 3986 section 3.3, pchar); nothing is encoded twice.
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_DECODINGS = 4
DOTS = frozenset({".", ".."})


class HttpRequest(Value, frozen=True):
    """One request, with room for arguments.

    Attributes:
        method: One of `METHODS`.
        path: Follows the API's base; `{owner}` stands for an argument.
        query: Arguments of the query, each under its own name.
        joined: Those whose items make one value, with commas; others repeat their name.
        body: Arguments that are the members of an object, the body; of a form, its fields.
        whole: The argument that is the body itself, instead.
        bodied: Whether there is a body even if no argument is for it: `{}`.
        media: What the body is: JSON, or something made of it, a form or a text.
        required: Arguments that must be there.
    """

    method: str
    path: str
    query: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    whole: str = ""
    bodied: bool = False
    media: str = JSON
    required: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """Return the names of all arguments, in the order of their places."""
        return [*variables(self.path), *self.query, *self.body, *([self.whole] * bool(self.whole))]


def variables(path: str) -> list[str]:
    """Return the arguments a path names, in order."""
    return _VARIABLE.findall(path)


def pieces(segment: str) -> list[str]:
    """Part a segment of a path: every second piece is the name of an argument."""
    return _VARIABLE.split(segment)


def check_path(path: str) -> None:
    """Judge a path.

    Raises:
        ValueError: If it can be read in two ways, or leads anywhere but down.
    """
    if not path.startswith("/") or len(path) > _LONGEST_PATH:
        raise ValueError("must be a path such as /repos/{owner}/issues")
    if not _LITERAL.fullmatch(_VARIABLE.sub("x", path)):
        raise ValueError("must hold nothing but a path and {arguments}: no query, no spaces")
    segments = path[1:].split("/")
    if "" in segments[:-1] or misleads(path, parameters=True):
        raise ValueError("must have no segment that is empty, '.' or '..'")


def misleads(value: str, *, parameters: bool = False) -> bool:
    """Say whether some reader of a part of a path could be led out of it.

    Servers and proxies between us differ in when they decode `%2F`, whether they take a backslash
    for a slash or a wide dot for a dot, and in what they make of a `;`: most cut off what follows
    (RFC 3986 section 3.3), so that `..;` is a dot segment too (section 5.2.4).

    Args:
        value: As it is, or percent-encoded a few times.
        parameters: Whether a `;` may stand in it, as in the path that was declared.
    """
    for _ in range(_DECODINGS):
        plain = unicodedata.normalize("NFKC", value).replace("\\", "/")
        if ";" in plain and not parameters:
            return True
        if not DOTS.isdisjoint(each.partition(";")[0] for each in plain.split("/")):
            return True
        decoded = unquote(value)
        if decoded == value:
            return False
        value = decoded
    return True


class Fault(NamedTuple):
    """What does not fit together.

    Attributes:
        member: Where: `path`, `query`, `body` or `input`, the schema.
        sentence: What is wrong with it.
        name: The argument's name, where another name may have been meant.
        known: The names that could have been meant.
    """

    member: str
    sentence: str
    name: str = ""
    known: tuple[str, ...] = ()


def faults(request: HttpRequest, schema: dict[str, Any]) -> Iterator[Fault]:
    """Hold a request against the JSON schema of its arguments."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if schema.get("type") != "object" or not isinstance(properties, dict):
        yield Fault("input", "must be the schema of an object, with its properties")
        return
    if not isinstance(required, list) or not all(isinstance(each, str) for each in required):
        yield Fault("input", "must have a list of names under required")
        return
    yield from _misplaced(request)
    named = {"path": variables(request.path), "query": request.query, "body": request.body}
    for member, names in named.items():
        for name in names:
            if name not in properties:
                yield Fault(
                    member, f"names {name!r}, which input does not describe", name, (*properties,)
                )
    known = (*request.arguments(),)
    for name in sorted({*properties, *required} - {*known}):
        yield Fault(
            "input", f"has {name!r}, which goes into neither path, query nor body", name, known
        )
    for name in variables(request.path):
        if name not in required:
            yield Fault("input", f"must require {name!r}, which is part of the path")


def _misplaced(request: HttpRequest) -> Iterator[Fault]:
    seen: set[str] = set()
    whole = (request.whole,) if request.whole else ()
    places = (("path", variables(request.path)), ("query", request.query))
    for member, names in (*places, ("body", request.body), ("body", whole)):
        for name in names:
            if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
                yield Fault(member, "holds what cannot be the name of an argument")
            elif name in seen:
                yield Fault(member, f"names {name!r}, which has a place already")
            seen.add(name)
    if len(seen) > _MOST_ARGUMENTS:
        yield Fault("input", f"has more than {_MOST_ARGUMENTS} arguments")
    if request.method in _WITHOUT_BODY and (request.body or whole or request.bodied):
        yield Fault("body", f"must be left out: {request.method} has none")
