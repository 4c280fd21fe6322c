"""What SpiceDB asks of a schema before it takes it: that every name leads somewhere sensible."""

from __future__ import annotations

from collections.abc import Mapping

from safeconduct.relations.errors import SchemaError, nearest
from safeconduct.relations.syntax import (
    Allowed,
    Arrow,
    Definition,
    Permission,
    Ref,
    Relation,
    leaves,
)


def typecheck(definitions: Mapping[str, Definition], known: Mapping[str, Definition]) -> None:
    """Check definitions against everything there is.

    Args:
        definitions: What is to be checked.
        known: The same, and whatever they may refer to.

    Raises:
        SchemaError: At the first name that leads nowhere, or where it may not.
    """
    for definition in definitions.values():
        _Check(definition, known).run()


class _Check:
    def __init__(self, definition: Definition, known: Mapping[str, Definition]) -> None:
        self._definition = definition
        self._known = known

    def run(self) -> None:
        for member in self._definition.members.values():
            if isinstance(member, Permission):
                self._permission(member)
            else:
                self._relation(member)
        self._no_circles()

    def _permission(self, permission: Permission) -> None:
        for leaf in leaves(permission.expression):
            if isinstance(leaf, Ref):
                self._exists(self._definition, leaf.name, leaf.line)
            else:
                self._arrow(permission, leaf)

    def _arrow(self, permission: Permission, arrow: Arrow) -> None:
        self._exists(self._definition, arrow.relation, arrow.line)
        left = self._definition.members[arrow.relation]
        if isinstance(left, Permission):
            raise SchemaError(
                f"{permission.name} has an arrow from {arrow.relation}, which is a permission; "
                "arrows start at relations",
                line=arrow.line,
            )
        if self._open(self._definition, left, set()):
            raise SchemaError(
                f"{permission.name} has an arrow from {arrow.relation}, which may hold a "
                "wildcard; arrows need relations without",
                line=arrow.line,
            )

    def _relation(self, relation: Relation) -> None:
        seen: set[str] = set()
        for allowed in relation.allowed:
            if str(allowed) in seen:
                raise SchemaError(f"{relation.name} allows {allowed} twice", line=allowed.line)
            seen.add(str(allowed))
            self._allowed(relation, allowed)

    def _allowed(self, relation: Relation, allowed: Allowed) -> None:
        subject = self._known.get(allowed.type)
        if subject is None:
            hint = nearest(allowed.type, list(self._known))
            raise SchemaError(
                f"{relation.name} allows {allowed.type}, which is not defined{hint}",
                line=allowed.line,
            )
        if not allowed.relation:
            return
        self._exists(subject, allowed.relation, allowed.line)
        other = subject.members[allowed.relation]
        if subject is not self._definition and self._open(subject, other, set()):
            raise SchemaError(
                f"{relation.name} allows {allowed.spelled}, which may hold a wildcard; "
                "wildcards cannot be passed on through a relation",
                line=allowed.line,
            )

    def _open(
        self, definition: Definition, member: Relation | Permission, seen: set[tuple[str, str]]
    ) -> bool:
        """Say whether a relation may hold a wildcard, itself or through others."""
        if isinstance(member, Permission) or (definition.name, member.name) in seen:
            return False
        seen.add((definition.name, member.name))
        for allowed in member.allowed:
            if allowed.wildcard:
                return True
            subject = self._known.get(allowed.type)
            other = subject.members.get(allowed.relation) if subject else None
            if subject and other and self._open(subject, other, seen):
                return True
        return False

    def _exists(self, definition: Definition, name: str, line: int) -> None:
        if name not in definition.members:
            hint = nearest(name, list(definition.members))
            raise SchemaError(
                f"{definition.name} has no relation or permission {name}{hint}", line=line
            )

    def _no_circles(self) -> None:
        """Refuse permissions that are nothing but other names of each other."""
        members = self._definition.members
        for member in members.values():
            seen: list[str] = []
            at: Relation | Permission = member
            while isinstance(at, Permission) and isinstance(at.expression, Ref):
                if at.name in seen:
                    circle = ", ".join(sorted(seen))
                    raise SchemaError(
                        f"permissions of {self._definition.name} go in a circle: {circle}",
                        line=member.line,
                    )
                seen.append(at.name)
                at = members[at.expression.name]
