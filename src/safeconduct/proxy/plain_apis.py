"""Speaks MCP, in both eras, in the place of servers that are plain HTTP APIs.

Step 7 of the road ends here for them: the reply is made instead of fetched, and takes the way
back like any other. Only a tool call asks the API; what the server is and offers was declared.
"""

from __future__ import annotations

import json
from typing import Any

from safeconduct.core.errors import Code, Refused
from safeconduct.egress import Reply
from safeconduct.proxy.calls import Call
from safeconduct.proxy.messages import MODERN
from safeconduct.upstreams import LEGACY_VERSIONS, MODERN_VERSIONS, HttpCalls

_META_SERVER = "io.modelcontextprotocol/serverInfo"
_CAPABILITIES: dict[str, Any] = {"tools": {}}
_FRESH: dict[str, Any] = {"ttlMs": 0, "cacheScope": "private"}


class PlainApis:
    """Answers for plain HTTP APIs."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    async def answer(self, call: Call) -> Reply:
        """Return the reply to a call that may be carried out.

        Raises:
            UpstreamFailed: If the API does not answer, or not so that it can be passed on.
            Refused: If the call is for something such a server has not.
        """
        if call.exchange.verb != "POST":
            raise Refused(Code.METHOD_NOT_ALLOWED, "The server offers no stream here.")
        if call.message.form != "request":
            return Reply.made(202, upstream_status=None)
        match call.message.method:
            case "initialize":
                return _reply(call, _hello(call))
            case "ping":
                return _reply(call, {})
            case "server/discover":
                return _reply(call, _discovered(call) | _FRESH)
            case "tools/list":
                return _reply(call, {"tools": _tools(call)} | _FRESH)
            case "tools/call":
                return await self._called(call)
            case method:
                raise Refused(Code.UNKNOWN_METHOD, f"Method not found: {method}")

    async def _called(self, call: Call) -> Reply:
        known = call.server.tools.get(call.message.name)
        if known is None or known.http is None:  # it was another server's, and waits to be read
            raise Refused(Code.UNKNOWN_TOOL, f"Unknown tool: {call.message.name[:100]}")
        done = await self._calls.call(call.server, known.http, call.message.arguments or {})
        return _reply(call, done.result, status=done.status)


def _hello(call: Call) -> dict[str, Any]:
    asked = call.message.params.get("protocolVersion")
    about = _about(call)
    return {
        "protocolVersion": asked if asked in LEGACY_VERSIONS else LEGACY_VERSIONS[0],
        "capabilities": _CAPABILITIES,
        "serverInfo": about,
        **_instructions(call),
    }


def _discovered(call: Call) -> dict[str, Any]:
    return {
        "supportedVersions": list(MODERN_VERSIONS),
        "capabilities": _CAPABILITIES,
        "_meta": {_META_SERVER: _about(call)},
        **_instructions(call),
    }


def _about(call: Call) -> dict[str, str]:
    return {"name": call.server.key, "title": call.server.name, "version": "1"}


def _instructions(call: Call) -> dict[str, str]:
    return {"instructions": call.server.description} if call.server.description else {}


def _tools(call: Call) -> list[dict[str, Any]]:
    """Return every tool that was reviewed, on one page; the way back leaves out what is hidden."""
    if call.message.params.get("cursor") is not None:
        raise Refused(Code.INVALID_PARAMS, "This list has one page.")
    tools = call.server.tools.values()
    return [tool.http.definition for tool in tools if tool.offered and tool.http is not None]


def _reply(call: Call, result: dict[str, Any], *, status: int | None = None) -> Reply:
    if call.revision.era == MODERN:
        result = {**result, "resultType": "complete"}
    else:
        result = {name: value for name, value in result.items() if name not in _FRESH}
    message = {"jsonrpc": "2.0", "id": call.message.id, "result": result}
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply.made(200, b"application/json", body, upstream_status=status)
