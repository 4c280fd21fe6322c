"""Names in a configuration that nothing of a server has, told with the nearest that it has.

A level or a binding under a misspelled name protects nothing, and a misspelled import takes
nothing over. Neither is an error while a server may yet get the tool, so both are said.
"""

from __future__ import annotations

from collections.abc import Iterable

from safeconduct.settings import suggestion
from safeconduct.upstreams import Findings, Omission, Server, Wanted

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
        for member, those in (("setting import", imports), ("setting tools", overrides))
        for name in sorted({*those} - names)
    )


def names_of(found: Findings) -> set[str]:
    """Return the names of all tools that were read, those that were left out too."""
    return {
        *(str(tool.get("name")) for tools in found.spellings for tool in tools),
        *(each.item for each in found.omissions if each.listing == "tools"),
    }


def unknown_as_read(said: Wanted, server: Server | None) -> tuple[Omission, ...]:
    """Return the same of what was read before; nothing where that may not be all there is."""
    if server is None or not server.eras or server.imports is not None or said.http is not None:
        return ()
    if server.url != said.url:
        return ()
    known = {*server.tools, *(each.item for each in server.omissions if each.listing == "tools")}
    return unknown_names(said.tools or (), said.overrides, known)
