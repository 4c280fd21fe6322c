"""JSON schemas out of an OpenAPI document: references put in place, and made fit for a tool.

What is shown to a model need not say everything: where a schema contains itself it is cut, and
what only OpenAPI knows is left out. References lead into the document, and into files beside it
where somebody reads those: never up and out of their directory, and never over the network.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

_DEEPEST = 24
_MOST_NODES = 5_000
_LONGEST_CHAIN = 16
_MOST_FILES = 64
_LONGEST_TEXT = 2_000
# Of OpenAPI's own, or told in other words elsewhere; `x-` members are dropped too.
_DROPPED = frozenset(
    {"discriminator", "example", "examples", "externalDocs", "xml", "deprecated", "nullable"}
    | {"readOnly", "writeOnly", "$id", "$anchor", "$schema", "$comment", "$defs", "definitions"}
)
_ONE = frozenset(
    {"items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"}
    | {"unevaluatedItems", "unevaluatedProperties", "contentSchema"}
)
_MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas"})


class BadReference(ValueError):
    """A part of the document cannot be read; says which, in words of the document."""


# Returns what a file beside the document holds, by its path from there with slashes.
ReadFile = Callable[[str], Any]


class Document:
    """A document whose parts refer to each other, over several files."""

    def __init__(self, root: dict[str, Any], read_file: ReadFile | None = None) -> None:
        """Take the document.

        Args:
            root: What it holds.
            read_file: Reads a file beside it, and raises ValueError for one that cannot be read.
        """
        self._files: dict[str, Any] = {"": root}
        self._read_file = read_file

    def part(self, value: Any, what: str) -> dict[str, Any]:
        """Return an object of the document, whether it stands here or is referred to.

        Raises:
            BadReference: If it is no object, or the reference leads nowhere.
        """
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(value, dict):
                raise BadReference(f"{what} is no object")
            if "$ref" not in value:
                return value
            value = self._at(value["$ref"])
        raise BadReference(f"{what} refers to a reference, and so on without end")

    def schema(self, value: Any, what: str) -> dict[str, Any]:
        """Return a schema with everything it refers to in its place.

        Raises:
            BadReference: If it is none, refers to nothing, or is too large.
        """
        return _Expansion(self, what).expanded(value, ())

    def _at(self, reference: object) -> Any:
        if not isinstance(reference, str):
            raise BadReference("a reference is no text")
        file, _, fragment = reference.partition("#")
        value = self._file(unquote(file))
        for part in unquote(fragment).split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and name.isdecimal() and int(name[:9]) < len(value):
                value = value[int(name[:9])]
            else:
                raise BadReference(f"the reference {reference[:200]!r} leads nowhere")
        return value

    def _file(self, name: str) -> Any:
        """Return a file's content, with its references spelled from where the document is."""
        if name and (self._read_file is None or not _is_beside(name)):
            raise BadReference(
                f"the reference to {name[:200]!r} leads out of the document; only files in its "
                "directory are read"
            )
        name = posixpath.normpath(name) if name else ""
        if name not in self._files and self._read_file is not None:
            if len(self._files) > _MOST_FILES:
                raise BadReference(f"the document has more than {_MOST_FILES} files")
            try:
                self._files[name] = _moved(self._read_file(name), name)
            except ValueError as error:
                raise BadReference(f"{name[:200]!r}: {error}") from error
        return self._files[name]


def _is_beside(name: str) -> bool:
    """Say whether a path stays in the directory it starts from."""
    path = posixpath.normpath(name)
    return not (
        path.startswith(("/", "..")) or ":" in path or "\\" in path or not path.isprintable()
    )


def _moved(value: Any, file: str) -> Any:
    """Return a file's content with each reference spelled from the document's directory."""
    match value:
        case {"$ref": str(reference)} if not reference.startswith(("http:", "https:")):
            other, hash_, fragment = reference.partition("#")
            there = posixpath.join(posixpath.dirname(file), other) if other else file
            return {**value, "$ref": f"{posixpath.normpath(there)}{hash_}{fragment}"}
        case dict():
            return {name: _moved(member, file) for name, member in value.items()}
        case list():
            return [_moved(each, file) for each in value]
        case _:
            return value


class _Expansion:
    """One schema, while it is put together."""

    def __init__(self, document: Document, what: str) -> None:
        self._document = document
        self._what = what
        self._nodes = 0

    def expanded(self, value: Any, within: tuple[int, ...]) -> dict[str, Any]:
        if isinstance(value, bool):  # a schema that takes everything, or nothing
            return {} if value else {"not": {}}
        found = self._document.part(value, self._what)
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise BadReference(f"{self._what} is too large")
        if id(found) in within or len(within) >= _DEEPEST:
            return {}  # it contains itself: from here on, anything
        inner = (*within, id(found))
        schema = {
            name: self._member(name, member, inner)
            for name, member in found.items()
            if name not in _DROPPED and not name.startswith("x-")
        }
        return _modern(schema, nullable=found.get("nullable") is True)

    def _member(self, name: str, member: Any, within: tuple[int, ...]) -> Any:
        if name in _ONE and isinstance(member, dict | bool):
            return member if isinstance(member, bool) else self.expanded(member, within)
        if name in _MANY and isinstance(member, list):
            return [self.expanded(each, within) for each in member]
        if name in _NAMED and isinstance(member, dict):
            return {
                each: self.expanded(inner, within)
                for each, inner in member.items()
                if name != "properties" or not self._is_answer_only(inner)
            }
        if name in {"title", "description"}:
            return str(member)[:_LONGEST_TEXT]
        return member

    def _is_answer_only(self, value: Any) -> bool:
        """Say whether a property stands in answers alone, and is never sent."""
        return isinstance(value, dict) and value.get("readOnly") is True


def _modern(schema: dict[str, Any], *, nullable: bool) -> dict[str, Any]:
    """Say in JSON Schema 2020-12 what OpenAPI 3.0 says in its own words."""
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        flag = schema.get(exclusive)
        if isinstance(flag, bool):
            del schema[exclusive]
        if flag is True and limit in schema:
            schema[exclusive] = schema.pop(limit)
    if nullable and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    required, properties = schema.get("required"), schema.get("properties")
    if isinstance(required, list) and isinstance(properties, dict):
        schema["required"] = [name for name in properties if name in required]
    return schema
