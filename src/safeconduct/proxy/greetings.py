"""What a server says that it speaks, held against what is spoken here.

A revision that `initialize` or `server/discover` lets through is one that the next message may
carry; a client that was told another would find every later message refused, and no reason.
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeconduct.egress import UpstreamFailed
from safeconduct.proxy.results import UNREADABLE, members
from safeconduct.upstreams import LEGACY_VERSIONS, VERSIONS

GREETINGS = frozenset({"initialize", "server/discover"})
_LONGEST = 40


def greeted(raw: bytes, method: str, server: str) -> bytes:
    """Return the answer to a greeting; what is not spoken here is not in it.

    Args:
        raw: The server's whole answer.
        method: One of `GREETINGS`.
        server: The server's name, for people.

    Raises:
        UpstreamFailed: If nothing is left to speak.
    """
    whole = members(raw)
    if "result" not in whole:
        return raw
    result = members(whole["result"])
    if method == "initialize":
        version = _read(result.get("protocolVersion"))
        if version not in LEGACY_VERSIONS:
            raise _unspoken(server, [version])
        return raw
    named = _read(result.get("supportedVersions"))
    versions = named if isinstance(named, list) else [named]
    spoken = [each for each in versions if each in VERSIONS]
    if not spoken:
        raise _unspoken(server, versions)
    if spoken == named:
        return raw
    return msgspec.json.encode({**whole, "result": {**result, "supportedVersions": spoken}})


def _read(raw: msgspec.Raw | None) -> Any:
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except UNREADABLE:
        return None


def _unspoken(server: str, versions: list[Any]) -> UpstreamFailed:
    named = ", ".join(repr(each[:_LONGEST]) for each in versions[:3] if isinstance(each, str))
    return UpstreamFailed(
        f"{server} speaks the revision {named or 'none'}, which is not spoken here; spoken are "
        f"{', '.join(VERSIONS)}. Ask an admin.",
        sent=True,
    )
