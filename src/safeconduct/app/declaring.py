"""The tools of plain HTTP APIs, as a configuration declares them: by hand, by a document, by both.

Read once, when a configuration is planned or applied, and stored; no node needs the document
afterwards, and nobody asks the API.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import ServerKey
from safeconduct.settings import (
    HostSettings,
    HttpSettings,
    HttpToolSettings,
    SettingsError,
    UpstreamSettings,
    read_document,
    suggestion,
)
from safeconduct.upstreams import (
    BadOperation,
    HttpApi,
    HttpTool,
    Operation,
    Refusal,
    declare,
    list_operations,
)

_PASTE = "Have those left out with `import: usable`, or name them under tools:"


class Declared(NamedTuple):
    """What the plain HTTP APIs of a host offer.

    Attributes:
        of: What each offers, by the server's key.
        left_out: Sentences about what cannot be a tool, or is one without a part of it.
    """

    of: dict[ServerKey, HttpApi]
    left_out: tuple[str, ...] = ()


async def declared(said: HostSettings) -> Declared:
    """Return what the plain HTTP APIs of a host offer.

    Raises:
        Refused: If a document cannot be used.
    """
    found, left_out = {}, []
    for each in said.servers:
        if each.http is not None:
            api = await asyncio.to_thread(_read_api, said.key, each, each.http)
            found[ServerKey(each.key)] = HttpApi(tools=api.tools)
            left_out += [f"server {each.key}: {sentence}" for sentence in api.left_out]
    return Declared(found, tuple(left_out))


class _Api:
    """One API, while its declaration is read."""

    def __init__(self, server: UpstreamSettings, http: HttpSettings) -> None:
        self._server = server
        self._sent = frozenset(map(str.lower, http.headers))
        self.tools = {tool.name: tool for tool in map(_by_hand, http.tools)}
        self._by_hand = frozenset(self.tools)
        self._refused: list[Refusal] = []
        self.left_out: list[str] = []

    def read(self, document: Path) -> None:
        """Add the tools of a document.

        Raises:
            BadOperation: If it cannot be used, with everything that is wrong with it.
        """
        found = list_operations(read_document(document), _beside(document))
        names = {*self.tools, *(each.name for each in found.found)}
        names |= {each.name for each in found.refused}
        _check_names(self._server, names)
        for refusal in found.refused:
            self._refuse(refusal)
        for operation in found.found:
            if self._is_wanted(operation.name):
                self._add(operation)
        self._settle(len(found.found) + len(found.refused))

    def _add(self, operation: Operation) -> None:
        """Read an operation that is imported; what is switched off need not be readable."""
        if operation.name in self._by_hand:
            raise BadOperation(f"it has {operation.name!r}, which is declared by hand too")
        try:
            tool, left_out = operation.read(self._sent)
        except BadOperation as error:
            self._refuse(Refusal(operation.name, str(error)))
            return
        self.tools[tool.name] = tool
        self.left_out += [f"{operation.place} goes without {each}" for each in left_out]

    def _refuse(self, refusal: Refusal) -> None:
        said = self._server.tools.get(refusal.name)
        if self._is_wanted(refusal.name) and (said is None or said.enabled):
            self._refused.append(refusal)

    def _is_wanted(self, name: str) -> bool:
        imports = self._server.imports
        return isinstance(imports, str) or name in imports

    def _settle(self, count: int) -> None:
        """Leave out what was refused, or refuse the document for it."""
        if self._refused and self._server.imports != "usable":
            raise BadOperation(_complaint(self._refused, count))
        self.left_out += [f"no tool: {each.reason}" for each in self._refused]


def _read_api(host: str, server: UpstreamSettings, http: HttpSettings) -> _Api:
    api = _Api(server, http)
    try:
        if http.openapi is not None:
            api.read(http.openapi)
        else:
            _check_names(server, {*api.tools})
    except SettingsError as error:
        raise _unusable(host, server, str(error)) from error
    except BadOperation as error:
        name = "" if http.openapi is None else f"{http.openapi.name}: "
        raise _unusable(host, server, f"{name}{error}") from error
    return api


def _complaint(refused: list[Refusal], count: int) -> str:
    """Say of every operation that cannot be a tool why, and what to paste."""
    named = sorted({each.name for each in refused if each.name})
    reasons = [f"  {each.reason}" for each in refused]
    switched = [f"  {name}: {{enabled: false}}" for name in named]
    head = f"{len(refused)} of {count} operations cannot be tools:"
    return "\n".join([head, *reasons, _PASTE, *switched])


def _beside(document: Path) -> Callable[[str], Any]:
    """Return what reads the files that a document refers to: those in its directory."""
    directory = document.parent.resolve()

    def read(name: str) -> Any:
        path = (directory / name).resolve()
        if not path.is_relative_to(directory) or not path.is_file():
            raise ValueError("there is no such file beside the document")
        try:
            return read_document(path)
        except SettingsError as error:
            raise ValueError(str(error)) from error

    return read


def _check_names(server: UpstreamSettings, declared: set[str]) -> None:
    """Refuse a name that nothing has: what was meant would go without its level or binding."""
    imports = () if isinstance(server.imports, str) else server.imports
    for member, names in {"import": imports, "tools": server.tools}.items():
        missing = sorted({*names} - declared)
        if missing:
            near = suggestion(missing[0], declared)
            raise BadOperation(f"{member} names {missing[0]!r}, which nothing declares{near}")


def _by_hand(said: HttpToolSettings) -> HttpTool:
    request, schema = said.declared()
    return declare(said.name, request, schema, title=said.title, about=said.description)


def _unusable(host: str, server: UpstreamSettings, why: str) -> Refused:
    ending = "" if "\n" in why else "."
    said = f"Server {server.key} of host {host} cannot be used: {why}{ending}"
    return Refused(Code.CONFLICT, said)
