"""The one schema of a cluster, in which every host has its own part and touches no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from safeconduct.relations.parser import parsed
from safeconduct.relations.rendering import rendered
from safeconduct.relations.schema import Schema, kind_of
from safeconduct.relations.syntax import Allowed, Definition, Relation
from safeconduct.relations.tuples import Tuple
from safeconduct.relations.wire import can_hold, can_name

SHIPMENT = "safeconduct_shipment"
_STARTS = re.compile(r"^(?:definition|caveat)\s+([a-z0-9_/]+)", re.MULTILINE)
_USE = re.compile(r"^use\s+\w+$", re.MULTILINE)
_CURSOR = Definition(
    name=SHIPMENT,
    members={"arrived": Relation(name="arrived", allowed=(Allowed(type=SHIPMENT),))},
)

Inferred = dict[str, dict[str, set[str]]]


def blocks(text: str) -> dict[str, str]:
    """Cut a schema as SpiceDB prints it into its definitions by name."""
    found: dict[str, str] = {}
    at = 0
    for match in _STARTS.finditer(text):
        if match.start() < at:
            continue
        at = _end(text, match.end())
        found[match[1]] = text[match.start() : at]
    return found


def _end(text: str, at: int) -> int:
    depth = 0
    for position in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if text[position] == "}" and depth == 0:
            return position + 1
    return len(text)


def merged(present: str, prefix: str, definitions: Iterable[Definition]) -> str:
    """Return a cluster's schema with one host's part put in place of the one before."""
    uses = dict.fromkeys([*_USE.findall(present), "use expiration", "use self"])
    others = [block for name, block in blocks(present).items() if not name.startswith(f"{prefix}/")]
    own = rendered([*definitions, _CURSOR], prefix=prefix)
    return "\n".join([*uses, *others, own, ""])


def inferred_in(present: str, prefix: str, schema: Schema) -> Inferred:
    """Read which types without a definition of the host's a cluster knows already."""
    mine = [
        block.replace(f"{prefix}/", "")
        for name, block in blocks(present).items()
        if name.startswith(f"{prefix}/")
    ]
    found: Inferred = {}
    for name, definition in parsed("\n".join(["use expiration", "use self", *mine])).items():
        if name == SHIPMENT or name in schema.definitions:
            continue
        relations = found.setdefault(name, {})
        for member in definition.members.values():
            if isinstance(member, Relation):
                relations[member.name] = {str(each) for each in member.allowed}
    return found


def infer(found: Inferred, schema: Schema, edges: Iterable[Tuple]) -> bool:
    """Make room for edges of types without a definition; returns whether it took any."""
    grown = False
    for edge in edges:
        kind = edge.object.partition(":")[0]
        spelled = kind_of(edge.subject)
        other, _, relation = spelled.partition("#")
        if edge.expires_at is not None:
            spelled = f"{spelled} with expiration"
        grown |= _add(found, kind, edge.relation, spelled)
        if other not in schema.definitions:
            grown |= other not in found
            found.setdefault(other, {})
            if relation and relation not in found[other]:
                grown |= _add(found, other, relation, other)
    return grown


def _add(found: Inferred, kind: str, relation: str, spelled: str) -> bool:
    takes = found.setdefault(kind, {}).setdefault(relation, set())
    if spelled in takes:
        return False
    takes.add(spelled)
    return True


def definitions_of(found: Mapping[str, Mapping[str, set[str]]]) -> list[Definition]:
    """Return definitions for what was inferred."""
    return [
        Definition(
            name=kind,
            members={
                name: Relation(name=name, allowed=tuple(map(_allowed, sorted(takes))))
                for name, takes in relations.items()
            },
        )
        for kind, relations in found.items()
    ]


def _allowed(spelled: str) -> Allowed:
    sort, _, expiration = spelled.partition(" with ")
    kind, _, relation = sort.partition("#")
    return Allowed(type=kind, relation=relation, expires=bool(expiration))


def has_room(schema: Schema, edge: Tuple) -> bool:
    """Say whether an edge can be named in a cluster at all."""
    kind = edge.object.partition(":")[0]
    spelled = kind_of(edge.subject)
    if spelled.endswith(":*") and kind not in schema.definitions:
        return False
    other, _, relation = spelled.removesuffix(":*").partition("#")
    names = [kind, edge.relation, other, *([relation] if relation else [])]
    if not all(map(can_name, names)) or not (can_hold(edge.object) and can_hold(edge.subject)):
        return False
    return (
        not relation
        or other not in schema.definitions
        or schema.member(other, relation) is not None
    )
