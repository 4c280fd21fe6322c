"""The tools of a plain HTTP API: what agents are shown of them, and the request each one is.

A declared tool is reviewed and pinned like any other, so its definition carries a hash of its
request: who declares another request declares another tool. Writing a request keeps each
argument where it belongs, whatever it holds: a path's never leaves its segment (RFC 3986
section 3.3), a query's never its value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from safeconduct.core.canonical import canonical_bytes, fingerprint
from safeconduct.core.http_request import FORM, JSON, TEXT, HttpRequest, misleads, pieces
from safeconduct.core.model import Value

META_REQUEST = "safeconduct/request"
_REQUEST = "request"
_LONGEST = 8 * 1024
_MOST_ITEMS = 200
_NAMED = 100
_HINTS: dict[str, dict[str, bool]] = {
    "GET": {"readOnlyHint": True},
    "POST": {"readOnlyHint": False},
    "PATCH": {"readOnlyHint": False},
    "PUT": {"readOnlyHint": False, "idempotentHint": True},
    "DELETE": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True},
}


class HttpTool(Value, frozen=True):
    """A tool as it is listed, and the request that calling it sends."""

    definition: dict[str, Any]
    request: HttpRequest

    @property
    def name(self) -> str:
        return str(self.definition["name"])


class HttpApi(Value, frozen=True):
    """What an admin says of an API beside its address.

    Attributes:
        tools: By their names.
        credentials: Headers for every request, their values sealed; see `Credentials`.
    """

    tools: dict[str, HttpTool] = {}
    credentials: dict[str, str] = {}

    def definitions(self) -> list[dict[str, Any]]:
        """Return the tools as the catalogue keeps them."""
        return [
            tool.definition | {_REQUEST: msgspec.to_builtins(tool.request)}
            for tool in self.tools.values()
        ]


def declare(
    name: str, request: HttpRequest, schema: dict[str, Any], *, title: str = "", about: str = ""
) -> HttpTool:
    """Return a tool as it is shown; whether request and schema agree has been judged before."""
    definition = {
        "name": name,
        "title": title or None,
        "description": about or None,
        "inputSchema": schema,
        "annotations": dict(_HINTS[request.method]),
        "_meta": {META_REQUEST: fingerprint(_spelled(request))},
    }
    shown = {member: value for member, value in definition.items() if value is not None}
    return HttpTool(definition=shown, request=request)


def _spelled(request: HttpRequest) -> dict[str, Any]:
    """Return a request as it is hashed; what was not known at first is left out where it can be."""
    spelled: dict[str, Any] = msgspec.to_builtins(request)
    if request.media == JSON:
        del spelled["media"]
    return spelled


def kept(definition: dict[str, Any]) -> HttpTool | None:
    """Return the tool that the catalogue keeps under a definition, None if it is no HTTP one."""
    if _REQUEST not in definition:
        return None
    shown = public_definition(definition)
    return HttpTool(definition=shown, request=msgspec.convert(definition[_REQUEST], HttpRequest))


def public_definition(definition: dict[str, Any]) -> dict[str, Any]:
    """Return what clients get to see of what the catalogue keeps of an HTTP tool."""
    return {member: value for member, value in definition.items() if member != _REQUEST}


class Written(NamedTuple):
    """A request with its arguments.

    Attributes:
        below: What follows the API's base: path and query, ready to send.
        body: As its media type wants it, or None for no body.
    """

    below: bytes
    body: bytes | None


class Unsendable(ValueError):
    """Arguments that cannot be sent; says which, and holds nothing of their values."""


def written(request: HttpRequest, arguments: dict[str, Any]) -> Written:
    """Write a request.

    Raises:
        Unsendable: If an argument is missing, unknown, or cannot stand in its place.
    """
    unknown = arguments.keys() - {*request.arguments()}
    if unknown:
        raise Unsendable(f"There is no argument {min(unknown)[:_NAMED]!r}.")
    for name in request.required:
        if name not in arguments:
            raise Unsendable(f"The argument {name!r} is missing.")
    path = "/".join(_segment(each, arguments) for each in request.path.split("/"))
    query = "&".join(_query(request, arguments))
    below = f"{path}?{query}" if query else path
    if len(below) > _LONGEST:
        raise Unsendable("The arguments in path and query are too long together.")
    return Written(below.encode("ascii"), _body(request, arguments))


def _segment(template: str, arguments: dict[str, Any]) -> str:
    """Fill in one segment of a path; filled in, it is still one."""
    literal, *rest = pieces(template)
    plain = encoded = literal
    for name, after in zip(rest[::2], rest[1::2], strict=True):
        value = _scalar(name, arguments.get(name))
        if not value or misleads(value) or not value.isprintable():
            raise Unsendable(
                f"The argument {name!r} cannot be part of a path: it is empty, or has '.' or '..' "
                "for a segment, or a ';', or a character that is not printable."
            )
        plain += value + after
        encoded += quote(value, safe="") + after
    if rest and misleads(plain, parameters=True):
        raise Unsendable("The arguments make '.' or '..' of a segment of the path.")
    return encoded


def _query(request: HttpRequest, arguments: dict[str, Any]) -> Iterator[str]:
    for name in request.query:
        texts = _texts(request, name, arguments)
        yield from (f"{quote(name, safe='')}={text}" for text in texts)


def _texts(request: HttpRequest, name: str, arguments: dict[str, Any]) -> list[str]:
    """Return the values of an argument that is text, percent-encoded."""
    value = arguments.get(name)
    if value is None:  # as good as not there
        if name in request.required:
            raise Unsendable(f"The argument {name!r} is missing.")
        return []
    items = value if isinstance(value, list) else [value]
    if len(items) > _MOST_ITEMS:
        raise Unsendable(f"The argument {name!r} has more than {_MOST_ITEMS} items.")
    texts = [quote(_scalar(name, each), safe="") for each in items]
    return [",".join(texts)] if texts and name in request.joined else texts


def _scalar(name: str, value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return json.dumps(value)
        case _:
            raise Unsendable(f"The argument {name!r} is neither text, number, true nor false.")


def _body(request: HttpRequest, arguments: dict[str, Any]) -> bytes | None:
    if request.media == FORM:
        return _form(request, arguments)
    if request.whole:
        return _whole(request, arguments) if request.whole in arguments else None
    members = {name: arguments[name] for name in request.body if name in arguments}
    return canonical_bytes(members) if members or request.bodied else None


def _whole(request: HttpRequest, arguments: dict[str, Any]) -> bytes:
    value = arguments[request.whole]
    if request.media != TEXT:
        return canonical_bytes(value)
    if not isinstance(value, str):
        raise Unsendable(f"The argument {request.whole!r} is no text.")
    return value.encode()


def _form(request: HttpRequest, arguments: dict[str, Any]) -> bytes | None:
    """Write the fields of a form (WHATWG URL, application/x-www-form-urlencoded)."""
    fields = [
        f"{quote(name, safe='')}={text}"
        for name in request.body
        for text in _texts(request, name, arguments)
    ]
    return "&".join(fields).encode("ascii") if fields or request.bodied else None
