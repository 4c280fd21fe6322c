"""A host's tuples over HTTPS: listed in pages, changed all or none.

Programs of the host do this, with the credentials of enforcement points and only as far as each
of them may. Nothing is changed here but what came this way.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping

from msgspec.structs import replace
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.api.callers import Stranger, challenges, point_of
from safeconduct.api.http import answer, host_of, refuse_other_media
from safeconduct.api.questions import JSON, read_body
from safeconduct.api.refusals import STATUS, bad
from safeconduct.api.tuples import Listing, read_edit, read_listing, resolved, shown, subject_of
from safeconduct.core.clock import Clock
from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.core.secrets import Sealer, SealError
from safeconduct.hosts import EnforcementPoint, Host
from safeconduct.people import People
from safeconduct.relations import Editor, some
from safeconduct.storage import Database

PATH = "/api/v1/relations"
MOST_BYTES = 256 * 1024
# What can be read and means nothing here, unlike what cannot be read at all.
_STATUS: Mapping[Code, int] = {**STATUS, Code.INVALID_PARAMS: 422}
_MAY = {"read": frozenset({"read", "write"}), "write": frozenset({"write"})}

_Handler = Callable[[Request, Host, EnforcementPoint], Awaitable[JSON]]


class RelationEndpoints:
    """The endpoints for a host's tuples."""

    def __init__(
        self,
        *,
        database: Database,
        people: People,
        editor: Editor,
        clock: Clock,
        root_key: bytes,
    ) -> None:
        self._database = database
        self._people = people
        self._editor = editor
        self._clock = clock
        self._sealer = Sealer(root_key, purpose="relations-page")

    def routes(self) -> list[Route]:
        # The application's own limit answers in plain text; `_body` has one that does not.
        unlimited = Middleware(RequestBodyLimitMiddleware, max_body_size=sys.maxsize)
        return [
            Route(PATH, _for("read", self.list), methods=["GET"]),
            Route(PATH, _for("write", self.edit), methods=["POST"], middleware=[unlimited]),
        ]

    async def list(self, request: Request, host: Host, point: EnforcementPoint) -> JSON:
        listing = read_listing(request.query_params.multi_items())
        bound = f"{host.key}\n{listing.digest}".encode()
        which = listing.which
        if which.subject is not None:
            subject = await subject_of(self._people, host.key, which.subject)
            which = replace(which, subject=subject)
        async with self._database.read() as tx:
            found = await some(
                tx,
                host.key,
                which,
                at=self._clock.now(),
                most=listing.limit + 1,
                after=self._opened(listing, bound),
            )
        page = found[: listing.limit]
        token = ""
        if len(found) > len(page):
            last = json.dumps(page[-1].edge.key).encode()
            token = self._sealer.seal(last, bound_to=bound)
        return {
            "relations": [shown(each) for each in page],
            "page": {"next_token": token, "count": len(page)},
        }

    async def edit(self, request: Request, host: Host, point: EnforcementPoint) -> JSON:
        refuse_other_media(request.headers)
        edit = await resolved(self._people, host.key, read_edit(read_body(await _body(request))))
        edited = await self._editor.edit(host.key, edit, by=f"enforcement point {point.id}")
        return {
            "written": [str(each) for each in edited.written],
            "removed": [str(each) for each in edited.removed],
        }

    def _opened(self, listing: Listing, bound: bytes) -> tuple[str, str, str] | None:
        if not listing.token:
            return None
        try:
            object_, relation, subject = json.loads(
                self._sealer.open(listing.token, bound_to=bound)
            )
        except SealError as error:
            raise bad("token is not of this listing; begin again without it.") from error
        return object_, relation, subject


def _for(need: str, handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        host = host_of(request)
        try:
            point = point_of(host, request.headers)
            if point.relations not in _MAY[need]:
                raise Refused(
                    Code.FORBIDDEN, f"This enforcement point may not {need} this host's relations."
                )
            return answer(await handler(request, host, point))
        except GatewayError as error:
            return _refusal(error, host)

    return respond


async def _body(request: Request) -> bytes:
    whole = bytearray()
    try:
        async for chunk in request.stream():
            whole += chunk
            if len(whole) > MOST_BYTES:
                raise Refused(Code.TOO_LARGE, f"Send at most {MOST_BYTES // 1024} KiB at once.")
    except ClientDisconnect as error:
        raise Refused(Code.PARSE_ERROR, "The body is not complete.") from error
    return bytes(whole)


def _refusal(error: GatewayError, host: Host) -> Response:
    said = answer(
        {"error": error.code.value, "message": _sentence(error.public)}, status=_STATUS[error.code]
    )
    if isinstance(error, Stranger):
        for challenge in challenges(host):
            said.headers.append("WWW-Authenticate", challenge)
    return said


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
