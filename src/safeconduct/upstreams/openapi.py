"""Tools out of an OpenAPI document (3.0 and 3.1): each operation is a request.

Only what can be sent is read: path, query, and a body that is JSON, a form or a text. What an
operation works without is left out and said so; what it needs and cannot be sent refuses the
operation alone. The document's own `servers` and security schemes are not read: where an API is
and what it is shown, the configuration says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from safeconduct.core.headers import media_of
from safeconduct.core.http_request import (
    FORM,
    JSON,
    METHODS,
    TEXT,
    HttpRequest,
    check_path,
    faults,
    variables,
)
from safeconduct.core.model import Value
from safeconduct.upstreams.http_tools import HttpTool, declare
from safeconduct.upstreams.schemas import BadReference, Document, ReadFile

_MOST_OPERATIONS = 2_000
_LONGEST_NAME = 128
_LONGEST_TEXT = 4_000
_BODY = "body"
_PLACES = ("path", "query", "header", "cookie")
# OpenAPI says so: these headers are described elsewhere.
_MADE_OF_JSON = re.compile(r"[a-z0-9!#$&^_.-]{1,60}/[a-z0-9!#$&^_.-]{1,100}\+json")
_PREFERRED = frozenset({"application/merge-patch+json"})
_NO_FIELD = "which is no text, number, true, false or list of those, or has a name that is taken"
_NO_ENCODING = "which its encoding writes in a way that is not supported"
_MOST_NAMED = 5
_NOT_PARAMETERS = frozenset({"accept", "authorization", "content-type"})


_Media = tuple[str, dict[str, Any]]


class BadOperation(ValueError):
    """An operation, or a whole document, that cannot be offered as a tool; says why."""


class Refusal(NamedTuple):
    """What of a document cannot be a tool.

    Attributes:
        name: Of the tool it would be, or "" where nothing can be switched off by a name.
        reason: Which operation, and why.
    """

    name: str
    reason: str


class Reading(NamedTuple):
    """A tool, and what of its operation it leaves out."""

    tool: HttpTool
    left_out: tuple[str, ...]


class Operations(NamedTuple):
    """The operations of a document, and what of it cannot even be one."""

    found: list[Operation]
    refused: list[Refusal]


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

    def read(self, sent: frozenset[str] = frozenset()) -> Reading:
        """Return the tool, and what of the operation it leaves out.

        Args:
            sent: Headers that go with every request, in lower case.

        Raises:
            BadOperation: If it cannot be one.
        """
        try:
            return _reading(self, sent)
        except (BadReference, ValueError) as error:
            raise BadOperation(f"{self.place}: {error}") from error

    @property
    def place(self) -> str:
        """Which operation it is, for people."""
        return f"{self.method} {self.path[:200]} ({self.name})"


class _Argument(Value, frozen=True):
    """A parameter, or a member of the body."""

    name: str
    schema: dict[str, Any]
    required: bool
    joined: bool = False


class _Body(Value, frozen=True):
    """The body: members of an object, or anything else as one argument."""

    members: tuple[_Argument, ...] = ()
    whole: _Argument | None = None
    required: bool = False
    media: str = JSON


def list_operations(root: Any, read_file: ReadFile | None = None) -> Operations:
    """Return the operations of a document, each with its own name, in its order.

    Methods that have no body of an answer or change nothing (HEAD, OPTIONS, TRACE) are left out.

    Args:
        root: What the document holds.
        read_file: Reads the files beside it that it refers to.

    Raises:
        BadOperation: If it is no such document, has too many operations, or none.
    """
    version = root.get("openapi") if isinstance(root, dict) else None
    if not re.fullmatch(r"3\.[01](\.[0-9]+)?", str(version)):
        raise BadOperation("it is no OpenAPI document of version 3.0 or 3.1")
    refused: list[Refusal] = []
    named: dict[str, list[Operation]] = {}
    for number, each in enumerate(_listed(Document(root, read_file), root.get("paths"))):
        if number >= _MOST_OPERATIONS:
            raise BadOperation(f"it has more than {_MOST_OPERATIONS} operations")
        if isinstance(each, Refusal):
            refused.append(each)
        else:
            named.setdefault(each.name, []).append(each)
    if not named and not refused:
        raise BadOperation("it has no operations")
    refused += [_twins(name, those) for name, those in named.items() if len(those) > 1]
    return Operations([those[0] for those in named.values() if len(those) == 1], refused)


def _twins(name: str, those: list[Operation]) -> Refusal:
    places = " and ".join(f"{each.method} {each.path[:200]}" for each in those[:_MOST_NAMED])
    both = "both" if len(those) == 2 else f"all {len(those)}"
    reason = f"{places} would {both} be the tool {name!r}; give each an operationId of its own"
    return Refusal(name, reason)


def _listed(document: Document, paths: Any) -> Iterator[Operation | Refusal]:
    for path, value in (paths if isinstance(paths, dict) else {}).items():
        if path.startswith("x-"):
            continue
        try:
            item = document.part(value, f"the path {path[:200]!r}")
        except BadReference as error:
            yield Refusal("", str(error))
            continue
        for method in METHODS:
            if method.lower() in item:
                yield _operation(document, method, path, item)


def _operation(
    document: Document, method: str, path: str, item: dict[str, Any]
) -> Operation | Refusal:
    try:
        said = document.part(item[method.lower()], f"{method} {path[:200]}")
    except BadReference as error:
        return Refusal(_name(None, method, path), str(error))
    name = _name(said.get("operationId"), method, path)
    return Operation(name, method, path, item.get("parameters"), said, document)


def _name(identity: Any, method: str, path: str) -> str:
    """Make a legal name for a tool (MCP, tools: tool names)."""
    said = identity if isinstance(identity, str) and identity.strip() else f"{method.lower()}{path}"
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", said).strip("_")[:_LONGEST_NAME] or "_"


def _reading(operation: Operation, sent: frozenset[str]) -> Reading:
    check_path(operation.path)
    named = variables(operation.path)
    left_out: list[str] = []
    parameters = _parameters(operation, sent, left_out)
    in_path, query = parameters["path"], parameters["query"]
    if {each.name for each in in_path} != {*named}:
        raise BadOperation("the path's {parts} are not its parameters in path")
    body = _body(operation, {each.name for each in (*in_path, *query)}, left_out)
    whole = () if body.whole is None else (body.whole,)
    everything = (*in_path, *query, *body.members, *whole)
    request = HttpRequest(
        method=operation.method,
        path=operation.path,
        query=tuple(each.name for each in query),
        joined=tuple(each.name for each in (*query, *body.members) if each.joined),
        body=tuple(each.name for each in body.members),
        whole="" if body.whole is None else body.whole.name,
        bodied=body.required and body.whole is None,
        media=body.media,
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
    tool = declare(operation.name, request, schema, about=_about(operation))
    return Reading(tool, tuple(left_out))


def _about(operation: Operation) -> str:
    texts = [operation.said.get(member) for member in ("summary", "description")]
    about = "\n\n".join(text.strip() for text in texts if isinstance(text, str) and text.strip())
    return about[:_LONGEST_TEXT]


def _parameters(
    operation: Operation, sent: frozenset[str], left_out: list[str]
) -> dict[str, list[_Argument]]:
    """Return the parameters by where they are."""
    found: dict[str, list[_Argument]] = {"path": [], "query": []}
    for (name, place), said in _said_parameters(operation).items():
        if place == "header" and name.lower() in sent:
            continue
        try:
            argument = _parameter(operation.document, name, place, said)
        except (BadOperation, BadReference) as error:
            if place == "path" or said.get("required") is True:
                raise
            left_out.append(f"the optional {place} parameter {name[:_LONGEST_NAME]!r}: {error}")
        else:
            found[place].append(argument)
    return found


def _said_parameters(operation: Operation) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the parameters by name and place; those of the operation replace the path's."""
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
    return merged


def _parameter(document: Document, name: str, place: str, said: dict[str, Any]) -> _Argument:
    required = place == "path" or said.get("required") is True
    if place not in ("path", "query"):
        needs = "it requires the" if required else "the"
        raise BadOperation(f"{needs} {place} {name!r}, which no argument can be")
    style = "simple" if place == "path" else "form"
    if not _is_written(said, style) or "content" in said:
        raise BadOperation(f"the parameter {name!r} is written in a way that is not supported")
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise BadOperation("a parameter's name holds what cannot be the name of an argument")
    schema = document.schema(said.get("schema", {}), f"the schema of {name!r}")
    if not _is_text(schema, lists=place != "path"):
        raise BadOperation(f"the parameter {name!r} is neither text, number, true nor false")
    if isinstance(said.get("description"), str) and "description" not in schema:
        schema["description"] = said["description"][:_LONGEST_TEXT]
    return _Argument(name=name, schema=schema, required=required, joined=_joins(said))


def _is_written(said: dict[str, Any], style: str) -> bool:
    """Say whether a parameter or field is written in the one way there is, joined or not."""
    return said.get("style") in (None, style) and isinstance(said.get("explode", True), bool)


def _joins(said: dict[str, Any]) -> bool:
    return said.get("explode") is False


def _is_text(schema: dict[str, Any], *, lists: bool) -> bool:
    """Say whether a value can be written without JSON: as a text, or as several."""
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "object" in kinds or (not lists and "array" in kinds):
        return False
    items = schema.get("items")
    return "array" not in kinds or not isinstance(items, dict) or _is_text(items, lists=False)


def _body(operation: Operation, taken: set[str], left_out: list[str]) -> _Body:
    """Return the body: as members where it is a plain object whose names are still free.

    Args:
        taken: Names of arguments that there are already.
        left_out: Takes what of it the tool goes without.

    Raises:
        BadOperation: If there is one that cannot be sent.
    """
    if operation.said.get("requestBody") is None:
        return _Body()
    said = operation.document.part(operation.said["requestBody"], "its body")
    required, content = said.get("required") is True, said.get("content")
    content = content if isinstance(content, dict) else {}
    if operation.method == "GET":
        if required:
            raise BadOperation("it requires a body, and a GET has none")
        left_out.append("the optional body, since a GET has none")
        return _Body()
    media, described = _media(content)
    described = operation.document.part(described, "its body")
    schema = operation.document.schema(described.get("schema", {}), "the schema of its body")
    if media == FORM:
        fields = _form(schema, taken, required=required, left_out=left_out)
        return _encoded(fields, described, schema, left_out)
    if media != TEXT and _is_plain(schema) and taken.isdisjoint(schema["properties"]):
        members = _members(schema, required=required)
        return _Body(members=members, required=required, media=media)
    if media == TEXT and not schema.get("type"):
        schema = {**schema, "type": "string"}
    whole = _Argument(name=_BODY, schema=schema, required=required)
    return _Body(whole=whole, required=required, media=media)


def _media(content: dict[str, Any]) -> _Media:
    """Choose the media type that is sent, of those a body may have.

    Raises:
        BadOperation: If none can be.
    """
    known = {media_of(kind).type: described for kind, described in content.items()}
    for kind in (JSON, "*/*", "application/*"):
        if kind in known:
            return JSON, known[kind]
    made_of_json = sorted(filter(_MADE_OF_JSON.fullmatch, known), key=_PREFERRED.__contains__)
    for kind in (*reversed(made_of_json), FORM, TEXT):
        if kind in known:
            return kind, known[kind]
    named = ", ".join(repr(kind[:100]) for kind in content) or "nothing"
    raise BadOperation(f"its body is {named}, which cannot be sent: only JSON, forms and text can")


def _members(schema: dict[str, Any], *, required: bool) -> tuple[_Argument, ...]:
    needed = schema.get("required", []) if required else []
    return tuple(
        _Argument(name=name, schema=member, required=name in needed)
        for name, member in schema["properties"].items()
    )


def _form(schema: dict[str, Any], taken: set[str], *, required: bool, left_out: list[str]) -> _Body:
    """Return the fields of a form; those that are no text are left out where they may be."""
    if schema.keys().isdisjoint({"properties", "required"}) and _is_closed(schema):
        return _Body(required=required, media=FORM)  # a form without fields
    if not _is_plain(schema):
        raise BadOperation("its form is not described field by field, so it cannot be sent")
    fields = []
    for field in _members(schema, required=required):
        if field.name not in taken and _is_text(field.schema, lists=True):
            fields.append(field)
        elif field.name in schema.get("required", []):
            raise BadOperation(f"its form requires {field.name[:_LONGEST_NAME]!r}, {_NO_FIELD}")
        else:
            name = field.name[:_LONGEST_NAME]
            left_out.append(f"the optional field {name!r} of its form, {_NO_FIELD}")
    return _Body(members=tuple(fields), required=required, media=FORM)


def _encoded(
    form: _Body, described: dict[str, Any], schema: dict[str, Any], left_out: list[str]
) -> _Body:
    """Heed how the document wants single fields written; what cannot be, is left out if it may."""
    encoding = described.get("encoding", {})
    if not isinstance(encoding, dict):
        raise BadOperation("the encoding of its form is no object")
    fields = []
    for field in form.members:
        said = encoding.get(field.name, {})
        if isinstance(said, dict) and _is_written(said, "form") and _is_text_kind(said):
            fields.append(replace(field, joined=_joins(said)))
        elif field.name in schema.get("required", []):
            raise BadOperation(f"its form requires {field.name[:_LONGEST_NAME]!r}, {_NO_ENCODING}")
        else:
            name = field.name[:_LONGEST_NAME]
            left_out.append(f"the optional field {name!r} of its form, {_NO_ENCODING}")
    return replace(form, members=tuple(fields))


def _is_text_kind(said: dict[str, Any]) -> bool:
    kind = said.get("contentType", TEXT)
    return isinstance(kind, str) and media_of(kind).type == TEXT


def _is_plain(schema: dict[str, Any]) -> bool:
    """Say whether a schema is of an object that its properties describe in full."""
    return (
        schema.get("type") == "object"
        and bool(schema.get("properties"))
        and isinstance(schema["properties"], dict)
        and isinstance(schema.get("required", []), list)
        and _is_closed(schema)
    )


def _is_closed(schema: dict[str, Any]) -> bool:
    """Say whether a schema describes no members beside its properties."""
    more = {"allOf", "anyOf", "oneOf", "not", "patternProperties"}
    return (
        schema.get("type") in (None, "object")
        and not schema.get("additionalProperties")
        and schema.keys().isdisjoint(more)
    )
