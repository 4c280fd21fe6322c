"""Calls the tools of plain HTTP APIs: one call is one request, or none where it cannot be sent.

Nothing of the caller's connection goes along; what the API wants to see is opened here and kept
nowhere. Redirects are answers like any other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from safeconduct.core.http_request import TEXT
from safeconduct.egress import Transport
from safeconduct.upstreams.catalogue import Server
from safeconduct.upstreams.credentials import Credentials
from safeconduct.upstreams.http_answers import read_answer, refusal
from safeconduct.upstreams.http_tools import HttpTool, Unsendable, written

_ACCEPT = (b"accept", b"application/json, text/*;q=0.5")
_CONTENT = b"content-type"


class Called(NamedTuple):
    """What became of a call: the result of the tool, and the API's status if it was asked."""

    result: dict[str, Any]
    status: int | None


class HttpCalls:
    """Sends calls on behalf of callers who were allowed to make them."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._credentials = credentials

    async def call(self, server: Server, tool: HttpTool, arguments: dict[str, Any]) -> Called:
        """Send one request; arguments that cannot be sent are the tool's error, and nothing is.

        Raises:
            UpstreamFailed: If there is no answer, or none that can be passed on.
        """
        try:
            below, body = written(tool.request, arguments)
        except Unsendable as error:
            return Called(refusal(f"{error} Nothing was sent to {server.name}."), None)
        own = self._credentials.opened(server)
        accepts = any(name == _ACCEPT[0] for name, _ in own)
        kind = () if body is None else ((_CONTENT, _content_type(tool.request.media)),)
        headers = [*(() if accepts else (_ACCEPT,)), *kind, *own]
        reply = await self._transport.exchange(
            server.url, method=tool.request.method, headers=headers, body=body or b"", rest=below
        )
        secrets = [value for name, value in own if name != _ACCEPT[0]]
        result = await read_answer(reply, name=server.name, secrets=secrets)
        return Called(result, reply.status)


def _content_type(media: str) -> bytes:
    return (f"{TEXT}; charset=utf-8" if media == TEXT else media).encode("ascii")
