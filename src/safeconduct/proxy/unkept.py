"""What the road saw and could not store yet: this process refuses its calls until it can.

Filled by `Sightings` before it writes, emptied once that is done; `Decider` asks it. Only what
could be called is remembered, so there is never more than was reviewed; definitions beyond a
budget are remembered by their names alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from safeconduct.core.model import HostId, ServerKey
from safeconduct.proxy.calls import Call
from safeconduct.upstreams import (
    PINNED,
    TEMPLATE,
    Omission,
    Server,
    Sighting,
    fits,
    unreadable,
)

_MOST_BYTES = 16 * 1024 * 1024
_LISTINGS = {"tool": "tools", "prompt": "prompts", "template": "resourceTemplates"}
_UNSTORED = "it changed while nothing could be stored, and was not kept"


class Unkept:
    """Sightings that wait to be stored, by server."""

    def __init__(self, *, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._seen: dict[tuple[HostId, ServerKey], dict[tuple[str, str], tuple[Sighting, int]]] = {}
        self._calls: dict[tuple[HostId, ServerKey], Call] = {}

    def add(self, call: Call, seen: Iterable[Sighting]) -> None:
        """Refuse the calls of what was reviewed otherwise, from now on."""
        server = call.server
        for each in seen:
            known = server.offer(each.kind, each.name)
            if each.kind in _LISTINGS and known is not None and known.state == PINNED:
                self._forget(server, each)
                size = len(msgspec.json.encode(each.definition))
                fitting = self._bytes + size <= self._most_bytes
                waits = self._seen.setdefault((server.host, server.key), {})
                waits[each.kind, each.name] = (each, size) if fitting else (_unstored(each), 0)
                self._bytes += size if fitting else 0
                self._calls[server.host, server.key] = call

    def drop(self, server: Server, seen: Iterable[Sighting]) -> None:
        """Leave to the catalogue what is stored there now."""
        for each in seen:
            self._forget(server, each)

    def withholds(self, server: Server, kind: str, name: str) -> bool:
        """Say whether a tool, a prompt or a resource is of something that waits to be stored."""
        if not self._seen:
            return False
        waits = self._seen.get((server.host, server.key))
        if not waits:
            return False
        if kind != "resource":
            return (kind, name) in waits
        return any(
            each == TEMPLATE and (template == name or fits(template, name))
            for each, template in waits
        )

    def waiting(self) -> list[tuple[Call, list[Sighting]]]:
        """Return what is to be stored, with the call that last showed something of the server."""
        return [
            (self._calls[server], [each for each, _ in waits.values()])
            for server, waits in self._seen.items()
        ]

    def _forget(self, server: Server, seen: Sighting) -> None:
        key = server.host, server.key
        waits = self._seen.get(key, {})
        _, size = waits.pop((seen.kind, seen.name), (None, 0))
        self._bytes -= size
        if not waits and key in self._seen:
            del self._seen[key], self._calls[key]


def _unstored(seen: Sighting) -> Sighting:
    item = Omission(listing=_LISTINGS[seen.kind], item=seen.name, reason=_UNSTORED)
    return unreadable(seen.kind, item)
