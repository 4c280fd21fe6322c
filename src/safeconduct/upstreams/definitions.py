"""A tool's definition as its server states it: what we read out of it. `pins` recognises it."""

from __future__ import annotations

import re
from typing import Any

from safeconduct.core.model import Value

# Members of MCP's own. All members are pinned; none may be one of these but for its capitals.
PINNED_MEMBERS = frozenset(
    {
        *("name", "title", "description", "inputSchema", "outputSchema", "annotations"),
        *("_meta", "icons", "execution"),
    }
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110 section 5.6.2, token
_HEADER_TYPES = frozenset({"string", "integer", "boolean"})
_MAX_PROPERTIES_DEPTH = 16


class HeaderParam(Value, frozen=True):
    """An argument a client mirrors into `Mcp-Param-{name}`; `path` leads to it."""

    name: str
    path: tuple[str, ...]
    type: str


def header_params(definition: dict[str, Any]) -> tuple[HeaderParam, ...]:
    """Return the `x-mcp-header` annotations of an input schema (MCP 2026-07-28).

    Raises:
        ValueError: If one is not allowed: bad or repeated name, a type that cannot be a
            header. Clients must drop such a tool, so we do not offer it either.
    """
    found: list[HeaderParam] = []
    schema = definition.get("inputSchema")
    if isinstance(schema, dict):
        _collect(schema, (), found)
    names = [param.name.lower() for param in found]
    if len(set(names)) != len(names):
        raise ValueError("two arguments are mirrored into the same header")
    return tuple(found)


def _collect(schema: dict[str, Any], path: tuple[str, ...], found: list[HeaderParam]) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or len(path) > _MAX_PROPERTIES_DEPTH:
        return
    for name, member in properties.items():
        if not isinstance(member, dict):
            continue
        header = member.get("x-mcp-header")
        if header is not None:
            kind = member.get("type")
            if not isinstance(header, str) or not _HEADER_NAME.fullmatch(header):
                raise ValueError(f"argument {name!r} is mirrored into an impossible header")
            if not isinstance(kind, str) or kind not in _HEADER_TYPES:
                raise ValueError(f"argument {name!r} has a type that headers cannot carry")
            found.append(HeaderParam(name=header, path=(*path, name), type=kind))
        _collect(member, (*path, name), found)
