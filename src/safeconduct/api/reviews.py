"""What servers changed, over HTTPS: shown with its differences, accepted or refused as read.

Programs of the host do this, with the credentials of enforcement points and only as far as each
of them may. Whoever decides names the entity tag of what was read (RFC 9110 section 13.1.1).
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.api.http import PRIVATE, answer
from safeconduct.api.managing import Matter, read_query, refused
from safeconduct.api.questions import JSON
from safeconduct.api.tuples import instant
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId, ServerKey
from safeconduct.hosts import EnforcementPoint, Host
from safeconduct.upstreams import (
    Moved,
    Review,
    differences_of,
    flags_of,
    witnessed_differences,
)

PATH = "/api/v1/servers"
_TOOLS = Matter("tools", lambda point: point.tools)
# What stands in the address for each kind, and whether its things have names.
_KINDS = {"tools": "tool", "prompts": "prompt", "templates": "template"}


class Reviewing(Protocol):
    """Shows what is pinned of servers, and takes a decision on what waits."""

    async def every(
        self, host: HostId, server: ServerKey | None = None, *, waiting: bool = True
    ) -> list[Review]:
        """Return what waits, or everything that is pinned."""

    async def one(self, host: HostId, server: ServerKey, kind: str, name: str) -> Review | None:
        """Return one thing."""

    async def decide(
        self,
        host: HostId,
        server: ServerKey,
        kind: str,
        name: str,
        *,
        digest: str,
        accept: bool,
        by: str,
    ) -> None:
        """Accept or refuse what waits, if it is still what was read."""


class ReviewEndpoints:
    """The endpoints for what servers offer and what of it waits."""

    def __init__(self, reviewing: Reviewing) -> None:
        self._reviewing = reviewing

    def routes(self) -> list[Route]:
        one = f"{PATH}/{{server}}/{{kind:str}}/{{name:path}}"
        said = f"{PATH}/{{server}}/instructions"
        return [
            _TOOLS.route("GET", f"{PATH}/{{server}}/review", self.waiting),
            _TOOLS.route("GET", said, self.show),
            _TOOLS.route("POST", f"{said}/accept", self.accept),
            _TOOLS.route("POST", f"{said}/refuse", self.refuse),
            _TOOLS.route("GET", f"{PATH}/{{server}}/{{kind:str}}", self.list),
            _TOOLS.route("POST", f"{one}/accept", self.accept),
            _TOOLS.route("POST", f"{one}/refuse", self.refuse),
            _TOOLS.route("GET", one, self.show),
        ]

    async def waiting(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """List what waits for review on a server, of every kind."""
        read_query(request.query_params.multi_items(), ())
        found = await self._reviewing.every(host.key, _server(request))
        return answer({"waiting": [_row(each) for each in found]})

    async def list(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """List everything of one kind that is pinned, whether it waits or not."""
        read_query(request.query_params.multi_items(), ())
        kind = _kind(request)
        found = await self._reviewing.every(host.key, _server(request), waiting=False)
        rows = [_row(each) for each in found if each.kind == kind]
        return answer({request.path_params["kind"]: rows})

    async def show(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """Return one thing as it was reviewed and as it is, with the difference word by word."""
        read_query(request.query_params.multi_items(), ())
        found = await self._found(request, host)
        # Words are compared beside the loop: servers write what is compared.
        shown = await asyncio.to_thread(_whole, found)
        return answer(shown, headers=PRIVATE | {"ETag": f'"{found.digest}"'})

    async def accept(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """Let what was read be used from now on."""
        return await self._decided(request, host, point, accept=True)

    async def refuse(self, request: Request, host: Host, point: EnforcementPoint) -> Response:
        """Keep out what was read, on record."""
        return await self._decided(request, host, point, accept=False)

    async def _decided(
        self, request: Request, host: Host, point: EnforcementPoint, *, accept: bool
    ) -> Response:
        found = await self._found(request, host)
        tag = request.headers.get("if-match")
        if tag is None:
            error = Refused(
                Code.INVALID_PARAMS,
                "Name what was read: send its ETag as If-Match. GET this address without its "
                "last part to read it.",
            )
            return refused(error, host, status=428)
        try:
            await self._reviewing.decide(
                host.key,
                found.server,
                found.kind,
                found.name,
                digest=tag.strip().strip('"'),
                accept=accept,
                by=f"enforcement point {point.id}",
            )
        except Moved as error:
            return refused(error, host, status=412)
        return answer(_row(await self._found(request, host)))

    async def _found(self, request: Request, host: Host) -> Review:
        """Return what the address names.

        Raises:
            Refused: NOT_FOUND if there is nothing of that name.
        """
        kind = _kind(request) if "kind" in request.path_params else "instructions"
        name = request.path_params.get("name", "")
        found = await self._reviewing.one(host.key, _server(request), kind, name)
        if found is None:
            raise Refused(Code.NOT_FOUND, f"The server has no {kind} of that name.")
        return found


def _server(request: Request) -> ServerKey:
    return ServerKey(request.path_params["server"])


def _kind(request: Request) -> str:
    kind = _KINDS.get(request.path_params["kind"])
    if kind is None:
        raise Refused(Code.NOT_FOUND, f"There are {', '.join(_KINDS)} and instructions here.")
    return kind


def _row(found: Review) -> JSON:
    return {
        "kind": found.kind,
        "name": found.name,
        "state": found.state,
        "refused": found.refused,
        "digest": found.digest,
    }


def _whole(found: Review) -> JSON:
    seen: Any = None
    if found.witnessed_at is not None:
        changes = msgspec.to_builtins(witnessed_differences(found))
        seen = {"at": instant(found.witnessed_at), "changes": changes}
    return {
        **_row(found),
        "pinned": list(found.pinned),
        "present": list(found.present),
        "changes": msgspec.to_builtins(differences_of(found)),
        "flags": list(flags_of(found)),
        "renamed_from": found.renamed_from,
        "seen_by_callers": seen,
    }
