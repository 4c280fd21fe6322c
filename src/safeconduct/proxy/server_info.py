"""What a server says of itself where nothing is reviewed: what it is called, and no more.

Beside its instructions a server introduces itself (`serverInfo`), and greetings and lists have a
`_meta`. Clients show that to people and hand it to models, and it may be other words each time. So
of an introduction only names pass, too short to tell anybody what to do; of `_meta` only that.
Sources: MCP 2025-11-25, schema, Implementation; MCP 2026-07-28, `_meta` of results.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from safeconduct.proxy.results import UNREADABLE, members
from safeconduct.upstreams import Server

META_SERVER = "io.modelcontextprotocol/serverInfo"
_NAME = re.compile(r"[\w@/.+:()-]+( [\w@/.+:()-]+){0,3}")  # at most four words
_VERSION = re.compile(r"[\w./+:-]+")
_FORMS = {"name": _NAME, "title": _NAME, "version": _VERSION}
_LONGEST_BYTES = 64
_GREETING = frozenset({"serverInfo", "protocolVersion", "supportedVersions"})
_NO_VERSION = "0"


def is_greeting(result: dict[str, Any]) -> bool:
    """Say whether a result is one in which a server introduces itself."""
    return not _GREETING.isdisjoint(result)


def introduced(result: dict[str, Any], server: Server) -> dict[str, Any]:
    """Return a result's members, with only names in what nobody reviewed; the same if all fits.

    Args:
        result: Its members as they are spelled.
        server: Whose it is; its admin's name for it stands in for one that does not fit.

    Raises:
        UpstreamFailed: If `_meta` is no object.
    """
    said = {name: result[name] for name in ("serverInfo", "_meta") if name in result}
    if not said:
        return result
    kept: dict[str, Any] = {}
    if "serverInfo" in said:
        kept["serverInfo"] = _about(said["serverInfo"], server)
    if "_meta" in said:
        kept |= _of_meta(said["_meta"], server)
    if all(kept.get(name) is raw for name, raw in said.items()):
        return result
    others = {name: raw for name, raw in result.items() if name not in said}
    return others | kept


def _of_meta(raw: msgspec.Raw, server: Server) -> dict[str, Any]:
    meta = members(raw)
    if META_SERVER not in meta:
        return {} if meta else {"_meta": raw}
    about = _about(meta[META_SERVER], server)
    same = len(meta) == 1 and about is meta[META_SERVER]
    return {"_meta": raw if same else {META_SERVER: about}}


def _about(raw: msgspec.Raw, server: Server) -> Any:
    try:
        said = msgspec.json.decode(raw, type=dict[str, Any])
    except UNREADABLE:
        said = {}
    kept = {name: said[name] for name, form in _FORMS.items() if _fits(said.get(name), form)}
    if kept == said and {"name", "version"} <= kept.keys():
        return raw
    return {"name": server.name, "version": _NO_VERSION} | kept


def _fits(text: object, form: re.Pattern[str]) -> bool:
    return (
        isinstance(text, str)
        and len(text.encode()) <= _LONGEST_BYTES
        and form.fullmatch(text) is not None
    )
