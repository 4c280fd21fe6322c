"""A shorter way for the commonest of JSON schemas: an object of plain members of given types.

What holds here holds by the whole schema too; what does not has to be held against that. Members
that say more than their type, and values that have parts, are left to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from safeconduct.core.schema_shape import folded

_TYPES: dict[str, type] = {
    "null": type(None),
    "boolean": bool,
    "integer": int,  # 1.0 is one as well, which the whole schema knows
    "string": str,
}
_WORDS = frozenset({"title", "description", "default", "examples", "deprecated", "$comment"})
_ROOT = _WORDS | {"type", "properties", "required", "additionalProperties", "$schema", "$id"}


class Scalars(NamedTuple):
    """The members of an object that say no more than their type, and those that must be there."""

    types: dict[str, type]
    required: frozenset[str]

    @classmethod
    def of(cls, schema: object) -> Scalars | None:
        """Return what a schema says in this way, or None if it says more of the object."""
        if not isinstance(schema, dict) or not _ROOT.issuperset(schema):
            return None
        members, required = schema.get("properties", {}), schema.get("required", [])
        if schema.get("type") != "object" or not isinstance(members, dict):
            return None
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            return None
        types = {name: _type_of(each) for name, each in members.items()}
        return cls(
            {name: kind for name, kind in types.items() if kind is not None}, frozenset(required)
        )

    def may_be_taken_for(self, known: Iterable[str]) -> bool:
        """Say whether a member differs from another, or from a known name, by case or width."""
        names = {folded(name): name for name in self.types}
        others = ((folded(name), name) for name in known)
        return len(names) < len(self.types) or any(
            names.get(alike, name) != name for alike, name in others
        )

    def hold(self, value: dict[str, Any]) -> bool:
        """Say whether every member is one of these, of its type, and none is missing."""
        types = self.types
        for name, member in value.items():
            if type(member) is not types.get(name):
                return False
        return self.required.issubset(value)


def _type_of(member: object) -> type | None:
    if not isinstance(member, dict) or not (_WORDS | {"type"}).issuperset(member):
        return None
    kind = member.get("type")
    return _TYPES.get(kind) if isinstance(kind, str) else None
