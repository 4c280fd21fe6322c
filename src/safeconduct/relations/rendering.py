"""Writes definitions as SpiceDB's schema language, each type under a prefix of its host."""

from __future__ import annotations

from collections.abc import Iterable

from safeconduct.relations.syntax import (
    Allowed,
    Arrow,
    Definition,
    Exclusion,
    Expression,
    Intersection,
    Itself,
    Nil,
    Ref,
    Relation,
    Union,
)


def rendered(definitions: Iterable[Definition], *, prefix: str) -> str:
    """Return the text of definitions, without the `use` lines that come before."""
    return "\n".join(_definition(each, prefix) for each in definitions)


def _definition(definition: Definition, prefix: str) -> str:
    lines = [f"definition {prefix}/{definition.name} {{"]
    for member in definition.members.values():
        if isinstance(member, Relation):
            allowed = " | ".join(_allowed(each, prefix) for each in member.allowed)
            lines.append(f"\trelation {member.name}: {allowed}")
        else:
            lines.append(f"\tpermission {member.name} = {_expression(member.expression)}")
    return "\n".join([*lines, "}"])


def _allowed(allowed: Allowed, prefix: str) -> str:
    return f"{prefix}/{allowed}"


def _expression(expression: Expression) -> str:  # noqa: PLR0911  one for each kind
    match expression:
        case Ref(name=name):
            return name
        case Arrow(relation=relation, name=name, every=every):
            return f"{relation}.all({name})" if every else f"{relation}->{name}"
        case Union(parts=parts):
            return _joined(" + ", parts)
        case Intersection(parts=parts):
            return _joined(" & ", parts)
        case Exclusion(first=first, others=others):
            return _joined(" - ", (first, *others))
        case Nil():
            return "nil"
        case Itself():
            return "self"


def _joined(sign: str, parts: Iterable[Expression]) -> str:
    return f"({sign.join(map(_expression, parts))})"
