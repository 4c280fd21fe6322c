"""What a host refers to by name: permissions, relations, people, groups, servers, agents.

A permission or relation that the host's own definitions do not have can never be answered yes, so
it is an error. What may come later, by an API, a directory or a sign-in, is a warning: until then
the answer is no, or nobody is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote

from safeconduct.app.adopting import Adopting
from safeconduct.app.naming import lost_path
from safeconduct.app.present import Present
from safeconduct.app.targets import Edge, Target
from safeconduct.core.binding import OPEN
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Level, SubjectId
from safeconduct.oauth import pinned_documents
from safeconduct.policy import BundleError, KnownData, known_data
from safeconduct.relations import CONFIGURATION, KEPT, Schema, SchemaError, group, host_schema
from safeconduct.settings import suggestion

_GROUP, _MEMBER, _AGENT, _SERVER, _USER = "group:", "#member", "agent:", "server:", "user:"
_MOST = 20


class Asked(NamedTuple):
    """A permission that something of a host asks about, and where that is said."""

    place: str
    object: str
    permission: str


def check_references(present: Present, target: Target, rules: Adopting) -> list[str]:
    """Return what may come later and is not there now.

    Args:
        present: The host as it is stored.
        target: What it is to become.
        rules: Which rules it is to have. Those that a directory offers are all that there will
            be; after a rollback, or where they come otherwise, there may be others.

    Raises:
        Refused: If something refers to what can never be.
    """
    offer = target.offer
    certain = offer is not None and offer.rules.digest == rules.after.digest
    try:
        schema, data = host_schema(rules.after.schema), known_data(rules.after.data)
    except (SchemaError, BundleError):  # those in force are older; the doctor says what is wrong
        return []
    never = [
        *_impossible(schema, _asked(target, data)),
        *_no_room(schema, target.edges),
    ]
    never = never if certain else []
    never += _lost_in_apis(target)
    if never:
        more = f"\nand {len(never) - _MOST} more" if len(never) > _MOST else ""
        lines = "\n".join(f"{target.host.key}: {each}" for each in never[:_MOST])
        raise Refused(Code.INVALID_PARAMS, lines + more)
    known = _Known(present, target)
    later = [] if certain else [*_impossible(schema, _asked(target, data))]
    later += [] if certain else _no_room(schema, target.edges)
    later += _unanswered(schema, _asked(target, data), _relations(present, target))
    later += _closed_to_all(present, target)
    later += [said for edge in target.edges for said in known.of_edge(edge)]
    later += [*known.of_data(data), *known.of_agents(data, target)]
    return list(dict.fromkeys(later))


def _asked(target: Target, data: KnownData) -> Iterator[Asked]:
    """Yield what bindings and questions ask about, by the type of the object."""
    for key, server in target.servers.items():
        for name, tool in server.overrides.items():
            for each in tool.bindings:
                place = f"server {key}: tool {name}: {each.path}"
                yield Asked(place, each.object.partition(":")[0], each.permission)
        for uri in server.resources:
            if uri.permission != OPEN:
                place = f"server {key}: resources: {uri.uri}"
                yield Asked(place, uri.object.partition(":")[0], uri.permission)
    for name, question in data.questions.items():
        kind = question.object.partition(":")[0]
        yield Asked(f"rules: question {name}", kind, question.permission)


def _impossible(schema: Schema, asked: Iterable[Asked]) -> Iterator[str]:
    for place, kind, permission in asked:
        definition = schema.definitions.get(kind)
        if definition is None:
            continue
        if permission not in definition.members:
            near = suggestion(permission, definition.members)
            yield f"{place}: {kind} has no relation or permission {permission}{near}"
        elif (kind, permission) in KEPT:
            instead = KEPT[kind, permission]
            yield f"{place}: {kind}#{permission} is kept and always a no; {instead}"


def _no_room(schema: Schema, edges: Iterable[Edge]) -> list[str]:
    """Return the relations of the file that the definitions have no room for."""
    found = []
    for edge in edges:
        if edge.source == CONFIGURATION:
            # A person of an address is one, whether there is one yet or not.
            ids = {} if edge.email is None else {edge.email: SubjectId("someone")}
            try:
                schema.check(edge.spelled(ids))
            except SchemaError as error:
                found.append(f"relations: {spelled(edge)}: {error.public}")
    return found


def spelled(edge: Edge) -> str:
    return f"{edge.object}#{edge.relation}@{edge.subject}"


def _lost_in_apis(target: Target) -> list[str]:
    """Return the bindings of HTTP tools that lead to no argument: what is sent is declared."""
    found = []
    for key, server in target.servers.items():
        for name, tool in server.overrides.items() if server.http is not None else ():
            declared = server.http.tools.get(name) if server.http is not None else None
            for each in tool.bindings if declared is not None else ():
                schema = declared.definition.get("inputSchema") if declared else None
                lost = lost_path(schema, each.path)
                if lost:
                    found.append(f"server {key}: tool {name}: {each.path}: {lost}")
    return found


def _relations(present: Present, target: Target) -> dict[str, set[str]]:
    """Return the relations that there are, by the type of their object."""
    found: dict[str, set[str]] = {}
    edges = [(each.object, each.relation) for each in present.edges]
    edges += [(each.object, each.relation) for each in target.edges]
    for object_, relation in edges:
        found.setdefault(object_.partition(":")[0], set()).add(relation)
    return found


def _closed_to_all(present: Present, target: Target) -> Iterator[str]:
    """Say on which servers nobody may grant anything."""
    levels = {level.word for level in Level}
    open_to = {each.object for each in target.edges if each.relation in levels}
    open_to |= {each.object for each in present.edges - present.owned if each.relation in levels}
    for key in target.servers:
        if f"{_SERVER}{key}" not in open_to:
            yield f"server {key}: nobody has a ceiling on it, so nobody can use it; see access"


def _unanswered(
    schema: Schema, asked: Iterable[Asked], there: dict[str, set[str]]
) -> Iterator[str]:
    """Say which types have no definition, and no relation of the name is written either."""
    for place, kind, permission in asked:
        if kind in schema.definitions or "{" in kind or permission in there.get(kind, ()):
            continue
        near = suggestion(permission, there[kind]) if kind in there else ""
        near = near or ("" if kind in there else suggestion(kind, {*schema.definitions, *there}))
        yield (
            f"{place}: nothing defines {kind}#{permission} and no relation of it is written, "
            f"so the answer is no{near}"
        )


@cache
def _documents() -> frozenset[str]:
    """Return the ids of the agents that every installation knows."""
    return frozenset(pinned_documents())


class _Known:
    """Everybody and everything that a host knows by name."""

    def __init__(self, present: Present, target: Target) -> None:
        self._people = {*target.people, *present.people}
        self._ids = {f"person:{each}" for each in present.ids.values()}
        self._groups = {name for each in target.people.values() for name in each.groups}
        self._groups |= {name for each in present.people.values() for name in each.groups}
        self._spelled_groups = {group(name) for name in self._groups}
        self._servers = {*target.servers}
        self._agents = {*target.clients, *present.clients}

    def of_edge(self, edge: Edge) -> Iterator[str]:
        """Say whom and what a relation of the file names and nobody is."""
        if edge.source != CONFIGURATION:
            return
        for part in (edge.object, edge.subject):
            said = self._unknown(part)
            if said:
                yield f"relations: {spelled(edge)}: {said}"

    def of_data(self, data: KnownData) -> Iterator[str]:
        """Say whom and what the data of the rules names and nobody is."""
        for role, each in data.roles.definitions.items():
            for name in {**each.servers, **each.tools}:
                yield from self._server(f"rules: role {role}", name)
        for tier, levels in data.agents.tier_levels.items():
            for name in levels:
                yield from self._server(f"rules: tier {tier}", name)
        yield from self._of_people(data)

    def _of_people(self, data: KnownData) -> Iterator[str]:
        for name in data.roles.groups:
            if name not in self._groups:
                near = suggestion(name, self._groups)
                yield f"rules: roles.groups: nobody is in the group {name}{near}"
        for name in data.roles.people:
            if name not in self._people:
                yield f"rules: roles.people: nobody has the address {name} now"
        for name in data.denylists.subjects:
            # Whoever is kept out may be nobody's acquaintance, but hardly by one letter.
            near = suggestion(name, self._people)
            if "@" in name and name not in self._people and near:
                yield f"rules: denylists.subjects: nobody has the address {name}{near}"

    def of_agents(self, data: KnownData, target: Target) -> Iterator[str]:
        """Say which ids of agents are nobody's and near to somebody's: others may yet come."""
        known = {*map(str, self._agents), *_documents()}
        for place, names in (
            ("client_documents.drop", target.host.policies.clients.dropped_documents),
            ("rules: denylists.clients", data.denylists.clients),
            ("rules: roles.agents", data.roles.agents),
            ("rules: agents.providers", data.agents.providers),
        ):
            for name in names:
                near = "" if name in known else suggestion(name, known)
                if near:
                    yield f"{place}: no agent has the id {name}{near}"

    def _server(self, place: str, name: Any) -> Iterator[str]:
        if name not in self._servers and name != "*":
            yield f"{place}: this host has no server {name}{suggestion(name, self._servers)}"

    def _unknown(self, text: str) -> str:
        """Say that what a part of a relation names is not there, or ""."""
        bare = text.removesuffix(_MEMBER)
        if bare.startswith(_GROUP):
            name = unquote(bare.removeprefix(_GROUP))
            missing = bare not in self._spelled_groups
            return f"nobody is in the group {name}{suggestion(name, self._groups)}" * missing
        if text.startswith(_USER) and "@" in text:
            missing = text.removeprefix(_USER).lower() not in self._people
            return "nobody has this address now; apply again once somebody has" * missing
        if text.startswith("person:") and text != "person:*" and "#" not in text:
            return "there is nobody of this id" * (text not in self._ids)
        if text.startswith(_SERVER) and "#" not in text:
            name = text.removeprefix(_SERVER)
            missing = name not in self._servers
            return f"this host has no server {name}{suggestion(name, self._servers)}" * missing
        if text.startswith(_AGENT) and text != "agent:*" and "#" not in text:
            name = unquote(text.removeprefix(_AGENT))
            missing = name not in self._agents
            return f"the agent {name} is not known now{suggestion(name, self._agents)}" * missing
        return ""
