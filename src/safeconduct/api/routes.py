"""AuthZEN over HTTPS (section 10): bytes in, one question, bytes out. Nothing is decided here.

An enforcement point shows who it is before its body is read. Pages of other sites can do
nothing here: no cookie counts, and no answer may be read across origins.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.api.authzen import PATHS, Authzen, metadata
from safeconduct.api.callers import point_of
from safeconduct.api.http import answer, host_of, refuse_other_media
from safeconduct.api.questions import JSON, Sought, read_body
from safeconduct.api.records import Asking
from safeconduct.api.refusals import bad, refusal
from safeconduct.core.errors import GatewayError
from safeconduct.hosts import Host
from safeconduct.policy import Device

MOST_BYTES = 256 * 1024
_SHORT = {"Cache-Control": "public, max-age=60", "Access-Control-Allow-Origin": "*"}
_LONGEST = 200

_Ask = Callable[[Asking, JSON], Awaitable[JSON]]


class AuthzenEndpoints:
    """The endpoints for enforcement points, and the document that names them."""

    def __init__(self, authzen: Authzen) -> None:
        self._authzen = authzen

    def routes(self) -> list[Route]:
        searches: tuple[Sought, ...] = ("subject", "resource", "action")
        return [
            Route("/.well-known/authzen-configuration", self.configuration, methods=["GET"]),
            _at(PATHS["access_evaluation_endpoint"], self._authzen.evaluation),
            _at(PATHS["access_evaluations_endpoint"], self._authzen.evaluations),
            *(
                _at(PATHS[f"search_{each}_endpoint"], partial(self._authzen.search, sought=each))
                for each in searches
            ),
        ]

    async def configuration(self, request: Request) -> Response:
        return answer(metadata(host_of(request)), headers=_SHORT)


def _at(path: str, ask: _Ask) -> Route:
    async def respond(request: Request) -> Response:
        host = host_of(request)
        try:
            asking = asking_of(request, host)
            refuse_other_media(request.headers)
            return answer(await ask(asking, read_body(await body_of(request))))
        except GatewayError as error:
            return refusal(error, host)

    limit = Middleware(RequestBodyLimitMiddleware, max_body_size=MOST_BYTES)
    return Route(path, respond, methods=["POST"], middleware=[limit])


def asking_of(request: Request, host: Host) -> Asking:
    """Say who asks.

    Raises:
        Stranger: If it is no enforcement point of the host.
    """
    point, headers = point_of(host, request.headers).id, request.headers
    request_id = headers.get("x-request-id")
    return Asking(
        host=host,
        point=point,
        device=Device(
            ip=getattr(request.state, "ip", ""),
            user_agent=headers.get("user-agent", "")[:_LONGEST],
        ),
        request_id=request_id[:_LONGEST] if request_id else None,
        began=time.perf_counter(),
    )


async def body_of(request: Request) -> bytes:
    """Return the whole body.

    Raises:
        Refused: If its sender hangs up.
    """
    try:
        return await request.body()
    except ClientDisconnect as error:
        raise bad("The body is not complete.") from error
