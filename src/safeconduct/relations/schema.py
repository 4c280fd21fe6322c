"""A host's schema: the base every host has, and the definitions of its own.

Types that have tuples and no definition need none: each relation found among their tuples can
be asked for by its name. Writing a definition for the type ends that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib.resources import files

from safeconduct.core.model import HostId
from safeconduct.relations.errors import SchemaError, nearest
from safeconduct.relations.parser import parsed
from safeconduct.relations.syntax import (
    Arrow,
    Definition,
    Permission,
    Ref,
    Relation,
    Union,
    leaves,
)
from safeconduct.relations.tuples import Tuple
from safeconduct.relations.typecheck import typecheck

# Edges that exist for one decision only. A stored one would be a standing grant, or would lend
# one person's ceiling to another who shares the agent, so they are not looked for in the store.
CONTEXTUAL = frozenset(
    {
        ("person", "delegate"),
        ("server", "granted_low"),
        ("server", "granted_medium"),
        ("server", "granted_high"),
    }
)
_DEFINITIONS = 1000


class Schema:
    """Definitions that fit together.

    Attributes:
        definitions: By name.
        contextual: Type and relation of edges that are never stored.
        namers: Permissions that name a relation or permission of the same type.
        arrows: Type, permission and arrow, by the name the arrow asks for.
    """

    def __init__(
        self,
        definitions: Mapping[str, Definition],
        *,
        contextual: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        self.definitions = dict(definitions)
        self.contextual = contextual
        self._takes: dict[tuple[str, str], frozenset[str]] = {}
        self._edges: dict[tuple[str, str], tuple[str, ...] | None] = {}
        self.namers: dict[tuple[str, str], list[str]] = {}
        self.arrows: dict[str, list[tuple[str, str, Arrow]]] = {}
        for definition in definitions.values():
            for member in definition.members.values():
                self._index(definition.name, member)

    def _index(self, kind: str, member: Relation | Permission) -> None:
        if isinstance(member, Relation):
            spelled = frozenset(each.spelled for each in member.allowed)
            self._takes[kind, member.name] = spelled
            return
        for leaf in leaves(member.expression):
            if isinstance(leaf, Arrow):
                self.arrows.setdefault(leaf.name, []).append((kind, member.name, leaf))
            else:
                self.namers.setdefault((kind, leaf.name), []).append(member.name)

    def member(self, kind: str, name: str) -> Relation | Permission | None:
        """Return a relation or permission of a type, if both are defined."""
        definition = self.definitions.get(kind)
        return None if definition is None else definition.members.get(name)

    def takes(self, kind: str, relation: str) -> frozenset[str] | None:
        """Return the kinds of subject a defined relation takes, as `kind_of` spells them."""
        return self._takes.get((kind, relation))

    def edges(self, kind: str, name: str) -> tuple[str, ...] | None:
        """Return the relations whose edges, all taken together, are what a name means.

        None if it takes more than looking at edges: arrows, intersections, usersets.
        """
        key = (kind, name)
        if key not in self._edges:
            self._edges[key] = self._plain_edges(kind, self.member(kind, name))
        return self._edges[key]

    def _plain_edges(
        self, kind: str, member: Relation | Permission | None
    ) -> tuple[str, ...] | None:
        if member is None:
            return ()
        if isinstance(member, Relation):
            return None if any(each.relation for each in member.allowed) else (member.name,)
        expression = member.expression
        parts = expression.parts if isinstance(expression, Union) else (expression,)
        found: list[str] = []
        for part in parts:
            other = self.member(kind, part.name) if isinstance(part, Ref) else None
            if not isinstance(other, Relation) or any(each.relation for each in other.allowed):
                return None
            found.append(other.name)
        return tuple(found)

    def check(self, edge: Tuple, *, contextual: bool = False) -> None:
        """Refuse a tuple that the schema has no room for.

        Args:
            edge: The tuple.
            contextual: It is for one decision and will not be stored.

        Raises:
            SchemaError: If a name is unknown, the relation is computed, or this kind of subject
                is not allowed there.
        """
        kind = edge.object.partition(":")[0]
        if not contextual and (kind, edge.relation) in self.contextual:
            raise SchemaError(
                f"{kind}#{edge.relation} exists for the length of one decision and is never stored"
            )
        definition = self.definitions.get(kind)
        if definition is None:
            if edge.subject.endswith(":*"):
                raise SchemaError(f"{kind} needs a definition before it can hold a wildcard")
            return
        member = definition.members.get(edge.relation)
        if member is None:
            hint = nearest(edge.relation, list(definition.members))
            raise SchemaError(f"{kind} has no relation {edge.relation}{hint}")
        if isinstance(member, Permission):
            raise SchemaError(f"{kind}#{edge.relation} is a permission; it is computed, not stored")
        self._check_subject(kind, member, edge)

    def _check_subject(self, kind: str, relation: Relation, edge: Tuple) -> None:
        spelled = kind_of(edge.subject)
        expires = edge.expires_at is not None
        if any(each.spelled == spelled and each.expires is expires for each in relation.allowed):
            return
        wanted = f"{spelled} with expiration" if expires else spelled
        allowed = ", ".join(map(str, relation.allowed))
        raise SchemaError(f"{kind}#{relation.name} does not take {wanted}; it takes {allowed}")


SchemaOf = Callable[[HostId], Schema]


def kind_of(subject: str) -> str:
    """Spell the kind of a subject as a schema does: `type`, `type#relation` or `type:*`."""
    kind, _, rest = subject.partition(":")
    name, _, relation = rest.partition("#")
    if name == "*":
        return f"{kind}:*"
    return f"{kind}#{relation}" if relation else kind


def compile_schema(text: str) -> Schema:
    """Compile a schema that stands alone.

    Raises:
        SchemaError: If it is none; the message names the line.
    """
    definitions = parsed(text)
    typecheck(definitions, definitions)
    return Schema(definitions)


def base_text() -> str:
    """Return the schema every host has, as text."""
    return (files("safeconduct.relations") / "base.zed").read_text("utf-8")


@functools.cache
def _base() -> Schema:
    return compile_schema(base_text())


@functools.lru_cache(maxsize=256)
def host_schema(own: str = "") -> Schema:
    """Compile the base schema together with a host's own definitions.

    Args:
        own: Text of the host's definitions; lines are counted in it. It may use the base types
            as subjects and may not define them again.

    Raises:
        SchemaError: If they cannot be used.
    """
    base = _base().definitions
    definitions = parsed(own)
    for name, definition in definitions.items():
        if name in base:
            raise SchemaError(
                f"{name} is one of the types every host has and cannot be defined again; "
                "define a type of your own that refers to it",
                line=definition.line,
            )
    if len(definitions) > _DEFINITIONS:
        raise SchemaError(f"the schema has more than {_DEFINITIONS} definitions")
    together = {**base, **definitions}
    typecheck(definitions, together)
    return Schema(together, contextual=CONTEXTUAL)
