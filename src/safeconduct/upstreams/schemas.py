"""JSON schemas out of an OpenAPI document: references put in place, and made fit for a tool.

What is shown to a model need not say everything: where a schema contains itself it is cut, and
what only OpenAPI knows is left out. References lead nowhere but into the document.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

_DEEPEST = 24
_MOST_NODES = 5_000
_LONGEST_CHAIN = 16
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


class Document:
    """A document whose parts refer to each other."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root

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
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise BadReference("a reference leads out of the document")
        value: Any = self._root
        for part in unquote(reference[1:]).split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and name.isdecimal() and int(name[:9]) < len(value):
                value = value[int(name[:9])]
            else:
                raise BadReference(f"the reference {reference[:200]!r} leads nowhere")
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
