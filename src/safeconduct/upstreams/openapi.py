"""Tools out of an OpenAPI document (3.0 and 3.1): each operation is a request.

Only what can be sent is read: path, query and a JSON body. The document's own `servers` and
security schemes are not: where an API is and what it is shown, the configuration says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from safeconduct.core.headers import media_of
from safeconduct.core.http_request import METHODS, HttpRequest, check_path, faults, variables
from safeconduct.core.model import Value
from safeconduct.upstreams.http_tools import HttpTool, declare
from safeconduct.upstreams.schemas import BadReference, Document

_MOST_OPERATIONS = 2_000
_LONGEST_NAME = 128
_LONGEST_TEXT = 4_000
_BODY = "body"
_PLACES = ("path", "query", "header", "cookie")
# OpenAPI says so: these headers are described elsewhere.
_NOT_PARAMETERS = frozenset({"accept", "authorization", "content-type"})


class BadOperation(ValueError):
    """An operation, or a whole document, that cannot be offered as a tool; says why."""


class Operation(NamedTuple):
    """An operation before it is read.

    Attributes:
        name: Of its tool.
        method: In capitals.
        shared: Parameters of all operations of the path.
        said: What the document says of it.
    """

    name: str
    method: str
    path: str
    shared: Any
    said: dict[str, Any]
    document: Document

    def tool(self, sent: frozenset[str] = frozenset()) -> HttpTool:
        """Return the tool.

        Args:
            sent: Headers that go with every request, in lower case.

        Raises:
            BadOperation: If it cannot be one.
        """
        try:
            return _tool(self, sent)
        except (BadReference, ValueError) as error:
            place = f"{self.method} {self.path[:200]} ({self.name})"
            raise BadOperation(f"{place}: {error}") from error


class _Argument(Value, frozen=True):
    """A parameter, or a member of the body."""

    name: str
    schema: dict[str, Any]
    required: bool
    joined: bool = False


class _Body(Value, frozen=True):
    """The body: members of a JSON object, or any other JSON as one argument."""

    members: tuple[_Argument, ...] = ()
    whole: _Argument | None = None
    required: bool = False


def operations(root: Any) -> list[Operation]:
    """Return the operations of a document, each with its own name, in its order.

    Methods that have no body of an answer or change nothing (HEAD, OPTIONS, TRACE) are left out.

    Raises:
        BadOperation: If it is no such document, has too many, or two of the same name.
    """
    version = root.get("openapi") if isinstance(root, dict) else None
    if not re.fullmatch(r"3\.[01](\.[0-9]+)?", str(version)):
        raise BadOperation("it is no OpenAPI document of version 3.0 or 3.1")
    found: dict[str, Operation] = {}
    for operation in _listed(Document(root), root.get("paths")):
        twin = found.get(operation.name)
        if twin is not None:
            raise BadOperation(
                f"{twin.method} {twin.path} and {operation.method} {operation.path} would both be "
                f"the tool {operation.name!r}; give each an operationId of its own"
            )
        if len(found) >= _MOST_OPERATIONS:
            raise BadOperation(f"it has more than {_MOST_OPERATIONS} operations")
        found[operation.name] = operation
    if not found:
        raise BadOperation("it has no operations")
    return list(found.values())


def _listed(document: Document, paths: Any) -> Iterator[Operation]:
    for path, value in (paths if isinstance(paths, dict) else {}).items():
        if path.startswith("x-"):
            continue
        try:
            item = document.part(value, f"the path {path[:200]!r}")
            for method in METHODS:
                if method.lower() in item:
                    said = document.part(item[method.lower()], f"{method} {path[:200]}")
                    name = _name(said.get("operationId"), method, path)
                    yield Operation(name, method, path, item.get("parameters"), said, document)
        except BadReference as error:
            raise BadOperation(str(error)) from error


def _name(identity: Any, method: str, path: str) -> str:
    """Make a legal name for a tool (MCP, tools: tool names)."""
    said = identity if isinstance(identity, str) and identity.strip() else f"{method.lower()}{path}"
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", said).strip("_")[:_LONGEST_NAME] or "_"


def _tool(operation: Operation, sent: frozenset[str]) -> HttpTool:
    check_path(operation.path)
    named = variables(operation.path)
    parameters = _parameters(operation, sent)
    in_path, query = parameters["path"], parameters["query"]
    if {each.name for each in in_path} != {*named}:
        raise BadOperation("the path's {parts} are not its parameters in path")
    body = _body(operation, {each.name for each in (*in_path, *query)})
    whole = () if body.whole is None else (body.whole,)
    everything = (*in_path, *query, *body.members, *whole)
    request = HttpRequest(
        method=operation.method,
        path=operation.path,
        query=tuple(each.name for each in query),
        joined=tuple(each.name for each in query if each.joined),
        body=tuple(each.name for each in body.members),
        whole="" if body.whole is None else body.whole.name,
        bodied=body.required and body.whole is None,
        required=tuple(each.name for each in everything if each.required),
    )
    schema = {
        "type": "object",
        "properties": {each.name: each.schema for each in everything},
        "required": list(request.required),
        "additionalProperties": False,
    }
    for fault in faults(request, schema):
        raise BadOperation(f"its {fault.member} {fault.sentence}")
    texts = [operation.said.get(member) for member in ("summary", "description")]
    about = "\n\n".join(text.strip() for text in texts if isinstance(text, str) and text.strip())
    return declare(operation.name, request, schema, about=about[:_LONGEST_TEXT])


def _parameters(operation: Operation, sent: frozenset[str]) -> dict[str, list[_Argument]]:
    """Return the parameters by where they are; those of the operation replace the path's."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for listed in (operation.shared, operation.said.get("parameters")):
        if listed is not None and not isinstance(listed, list):
            raise BadOperation("its parameters are no list")
        for value in listed or []:
            said = operation.document.part(value, "a parameter")
            name, place = said.get("name"), said.get("in")
            if not isinstance(name, str) or place not in _PLACES:
                raise BadOperation("a parameter has no name, or is in no known place")
            if place != "header" or name.lower() not in _NOT_PARAMETERS:
                merged[name, str(place)] = said
    found: dict[str, list[_Argument]] = {"path": [], "query": []}
    for (name, place), said in merged.items():
        if place in found:
            found[place].append(_parameter(operation.document, name, place, said))
        elif said.get("required") is True and not (place == "header" and name.lower() in sent):
            raise BadOperation(f"it requires the {place} {name!r}, which no argument can be")
    return found


def _parameter(document: Document, name: str, place: str, said: dict[str, Any]) -> _Argument:
    style, explode = said.get("style"), said.get("explode", True)
    if style not in (None, "simple" if place == "path" else "form") or "content" in said:
        raise BadOperation(f"the parameter {name!r} is written in a way that is not supported")
    schema = document.schema(said.get("schema", {}), f"the schema of {name!r}")
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "object" in kinds or (place == "path" and "array" in kinds):
        raise BadOperation(f"the parameter {name!r} is neither text, number, true nor false")
    if isinstance(said.get("description"), str) and "description" not in schema:
        schema["description"] = said["description"][:_LONGEST_TEXT]
    return _Argument(
        name=name,
        schema=schema,
        required=place == "path" or said.get("required") is True,
        joined=explode is False,
    )


def _body(operation: Operation, taken: set[str]) -> _Body:
    """Return the body: as members where it is a plain object whose names are still free."""
    if "requestBody" not in operation.said:
        return _Body()
    said = operation.document.part(operation.said["requestBody"], "its body")
    required, content = said.get("required") is True, said.get("content")
    media = next(
        (
            value
            for kind, value in (content if isinstance(content, dict) else {}).items()
            if media_of(kind).type == "application/json"
        ),
        None,
    )
    if media is None or operation.method == "GET":
        if required:
            raise BadOperation("it requires a body that is no application/json, or has a GET")
        return _Body()
    schema = operation.document.schema(
        operation.document.part(media, "its body").get("schema", {}), "the schema of its body"
    )
    if _is_plain(schema) and taken.isdisjoint(schema["properties"]):
        needed = schema.get("required", []) if required else []
        members = tuple(
            _Argument(name=name, schema=member, required=name in needed)
            for name, member in schema["properties"].items()
        )
        return _Body(members=members, required=required)
    return _Body(whole=_Argument(name=_BODY, schema=schema, required=required), required=required)


def _is_plain(schema: dict[str, Any]) -> bool:
    """Say whether a schema is of an object that its properties describe in full."""
    return (
        schema.get("type") == "object"
        and bool(schema.get("properties"))
        and isinstance(schema["properties"], dict)
        and isinstance(schema.get("required", []), list)
        and not schema.get("additionalProperties")
        and schema.keys().isdisjoint({"allOf", "anyOf", "oneOf", "not", "patternProperties"})
    )
