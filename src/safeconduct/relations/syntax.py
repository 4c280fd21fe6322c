"""What a schema says, as values: definitions, relations, permissions and their expressions.

The names are SpiceDB's. Nothing here checks anything; `schema.py` does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowed:
    """A kind of subject a relation takes: `type`, `type#relation` or `type:*`."""

    type: str
    relation: str = ""
    wildcard: bool = False
    expires: bool = False
    line: int = 0

    @property
    def spelled(self) -> str:
        """The kind of subject without its expiration: what a tuple's subject looks like."""
        if self.wildcard:
            return f"{self.type}:*"
        return f"{self.type}#{self.relation}" if self.relation else self.type

    def __str__(self) -> str:
        return f"{self.spelled} with expiration" if self.expires else self.spelled


@dataclass(frozen=True, slots=True)
class Ref:
    """Whoever has another relation or permission of the same object."""

    name: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Arrow:
    """Whoever has `name` on the objects a relation leads to: on any of them, or on every one."""

    relation: str
    name: str
    every: bool = False
    line: int = 0


@dataclass(frozen=True, slots=True)
class Nil:
    """Nobody."""


@dataclass(frozen=True, slots=True)
class Itself:
    """The object itself, asked about itself (`self`)."""


@dataclass(frozen=True, slots=True)
class Union:
    """Whoever is in any part (`+`)."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Intersection:
    """Whoever is in all parts (`&`)."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Whoever is in the first and in none of the others (`-`)."""

    first: Expression
    others: tuple[Expression, ...]


Expression = Ref | Arrow | Nil | Itself | Union | Intersection | Exclusion


@dataclass(frozen=True, slots=True)
class Relation:
    """Edges that are stored."""

    name: str
    allowed: tuple[Allowed, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Permission:
    """Edges that are computed."""

    name: str
    expression: Expression
    line: int = 0


@dataclass(frozen=True, slots=True)
class Definition:
    """A type of object with its relations and permissions by name."""

    name: str
    members: dict[str, Relation | Permission]
    line: int = 0


def leaves(expression: Expression) -> list[Ref | Arrow]:
    """Return every relation or permission an expression names, in order."""
    match expression:
        case Ref() | Arrow():
            return [expression]
        case Union(parts=parts) | Intersection(parts=parts):
            return [leaf for part in parts for leaf in leaves(part)]
        case Exclusion(first=first, others=others):
            return [leaf for part in (first, *others) for leaf in leaves(part)]
        case Nil() | Itself():
            return []
