"""Names in a configuration that nothing of a server has, told with the nearest that it has.

A level or a binding under a misspelled name protects nothing, and a misspelled import takes
nothing over. Neither is an error while a server may yet get the tool, so both are said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from safeconduct.core.schema_shape import Shape
from safeconduct.settings import suggestion
from safeconduct.upstreams import Findings, Omission, Server, Wanted

Bound = Mapping[str, Iterable[str]]
Schemas = Mapping[str, Iterable[Any]]

_IMPORT, _TOOLS = "setting import", "setting tools"
_ITEM = "*"
_NO_TOOL = "the server has no tool of this name"


def unknown_names(
    imports: Iterable[str], overrides: Iterable[str], known: Iterable[str]
) -> tuple[Omission, ...]:
    """Return the names that a configuration has for tools, and its server has not.

    Args:
        imports: What `import` names.
        overrides: What `tools` names.
        known: Names of the tools that there are.
    """
    names = {*known}
    return tuple(
        Omission(listing=member, item=name, reason=f"{_NO_TOOL}{suggestion(name, names)}")
        for member, those in ((_IMPORT, imports), (_TOOLS, overrides))
        for name in sorted({*those} - names)
    )


def lost_bindings(bound: Bound, schemas: Schemas) -> tuple[Omission, ...]:
    """Return the bindings that read an argument which their tool does not declare.

    Args:
        bound: The paths of the bindings of tools, by name.
        schemas: Every spelling of the schema of the arguments, by name of the tool.
    """
    found = {
        Omission(listing=_TOOLS, item=name, reason=f"{path}: {lost}")
        for name, paths in bound.items()
        for path in paths
        for schema in schemas.get(name, ())
        if (lost := lost_path(schema, path))
    }
    return tuple(sorted(found, key=str))


def lost_path(schema: Any, path: str) -> str:
    """Say what a path into the arguments does not find in their schema, or ""."""
    place: Shape | None = Shape.of(schema)
    for name in path.split(".")[1:]:
        if place is None:
            return ""
        if name == _ITEM:
            place = place.item()
            continue
        silent = not (place.names or place.closed)
        if silent or (name not in place.names and not place.closed and place.member(name)):
            return ""  # whatever it may be
        if name not in place.names:
            return f"the tool declares no argument {name}{suggestion(name, place.names)}"
        place = place.member(name)
    return ""


def bound_in(said: Wanted) -> Bound:
    """Return the paths of the bindings of a server's tools, by name."""
    return {name: [it.path for it in each.bindings] for name, each in said.overrides.items()}


def schemas_in(found: Findings) -> dict[str, list[Any]]:
    """Return the schemas of the tools that were read, by name."""
    schemas: dict[str, list[Any]] = {}
    for tool in (each for tools in found.spellings for each in tools):
        schemas.setdefault(str(tool.get("name")), []).append(tool.get("inputSchema"))
    return schemas


def names_of(found: Findings) -> set[str]:
    """Return the names of all tools that were read, those that were left out too."""
    return {
        *(str(tool.get("name")) for tools in found.spellings for tool in tools),
        *(each.item for each in found.omissions if each.listing == "tools"),
    }


def unknown_as_read(said: Wanted, server: Server | None) -> Iterator[Omission]:
    """Yield the same of what was read before; nothing where that may not be all there is."""
    if server is None or not server.eras or said.http is not None or server.url != said.url:
        return
    schemas = {
        name: [each.input for each in tool.schemas.values()] for name, tool in server.tools.items()
    }
    if server.imports is None:
        left_out = {each.item for each in server.omissions if each.listing == "tools"}
        yield from unknown_names(said.tools or (), said.overrides, {*server.tools, *left_out})
    else:  # what was not imported is not stored, so this is what the reading said
        for each in server.omissions:
            wanted = said.tools if each.listing == _IMPORT else said.overrides
            if each.reason.startswith(_NO_TOOL) and each.item in (wanted or ()):
                yield each
    yield from lost_bindings(bound_in(said), schemas)
