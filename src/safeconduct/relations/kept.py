"""What the base schema keeps for one decision's own use: a host's definitions may not name it.

No decision passes any of it and a stored edge counts for nothing, with either engine, so a
permission that is built on it is always a no. That is said when rules are offered; those that
are in force already go on, for leaving them out would change more than that one permission.
"""

from __future__ import annotations

from collections.abc import Iterator

from safeconduct.relations.errors import SchemaError
from safeconduct.relations.parser import parsed
from safeconduct.relations.syntax import Arrow, Definition, Permission, leaves

_PERSON = "use mandate, or bind the permission to the person (subject: person)"
_SERVER = "use ceiling_low, ceiling_medium or ceiling_high of the server"
KEPT = {
    ("person", "delegate"): _PERSON,
    ("group", "delegate"): _PERSON,
    ("server", "granted_low"): _SERVER,
    ("server", "granted_medium"): _SERVER,
    ("server", "granted_high"): _SERVER,
    ("server", "use_low"): _SERVER,
    ("server", "use_medium"): _SERVER,
    ("server", "use_high"): _SERVER,
    ("tool", "call"): _SERVER,
}


def check_kept(own: str) -> None:
    """Refuse a host's definitions that build on what is kept.

    Raises:
        SchemaError: At the first such name, or if the text is no schema.
    """
    for definition in parsed(own).values():
        for member, kind, name, line in _named(definition):
            instead = KEPT.get((kind, name))
            if instead is not None:
                raise SchemaError(
                    f"{member} names {kind}#{name}, which is kept for decisions' own use and "
                    f"is always a no; {instead}",
                    line=line,
                )


def _named(definition: Definition) -> Iterator[tuple[str, str, str, int]]:
    """Yield what each member names of other types: (member, type, name, line)."""
    for member in definition.members.values():
        if isinstance(member, Permission):
            for leaf in leaves(member.expression):
                if isinstance(leaf, Arrow):
                    for kind in _led_to(definition, leaf.relation):
                        yield member.name, kind, leaf.name, leaf.line
            continue
        for allowed in member.allowed:
            yield member.name, allowed.type, allowed.relation, allowed.line


def _led_to(definition: Definition, relation: str) -> list[str]:
    member = definition.members.get(relation)
    if member is None or isinstance(member, Permission):
        return []  # refused elsewhere
    return [each.type for each in member.allowed]
