"""Token introspection over HTTPS (RFC 7662): a form in, one answer out. Nothing is decided here.

Only enforcement points may ask, shown as for AuthZEN and before the body is read: whoever else
could ask would have a way to try tokens out (RFC 7662 section 2.1).
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.api.callers import Stranger, challenges
from safeconduct.api.http import answer, host_of, refuse_other_media
from safeconduct.api.introspection import Introspection, read_inquiry
from safeconduct.api.refusals import STATUS, bad
from safeconduct.api.routes import MOST_BYTES, asking_of, body_of
from safeconduct.core.errors import RETRY_SECONDS, GatewayError
from safeconduct.core.forms import form_pairs
from safeconduct.hosts import Host
from safeconduct.oauth import INTROSPECT

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 64
_ERRORS = {401: "invalid_client", 503: "temporarily_unavailable"}


class IntrospectionEndpoint:
    """The address where enforcement points ask about tokens."""

    def __init__(self, introspection: Introspection) -> None:
        self._introspection = introspection

    def routes(self) -> list[Route]:
        limit = Middleware(RequestBodyLimitMiddleware, max_body_size=MOST_BYTES)
        return [Route(INTROSPECT, self.introspect, methods=["POST"], middleware=[limit])]

    async def introspect(self, request: Request) -> Response:
        host = host_of(request)
        try:
            asking = asking_of(request, host)
            refuse_other_media(request.headers, _FORM)
            inquiry = read_inquiry(read_form(await body_of(request)))
            return answer(await self._introspection.answer(asking, inquiry))
        except GatewayError as error:
            return _refusal(error, host)


def read_form(raw: bytes) -> dict[str, str]:
    """Read a form: each name once, and one without a value is left out (RFC 6749 section 3.1).

    Raises:
        Refused: If it cannot be read, or a name is there twice.
    """
    try:
        pairs = form_pairs(raw, most=_MOST_FIELDS)
    except ValueError as error:
        raise bad("The form cannot be read.") from error
    if len({name for name, _ in pairs}) != len(pairs):
        raise bad("The form has a parameter twice.")
    return {name: value for name, value in pairs if value}


def _refusal(error: GatewayError, host: Host) -> Response:
    status = STATUS[error.code]
    otherwise = "invalid_request" if status < 500 else "server_error"
    said = answer(
        {"error": _ERRORS.get(status, otherwise), "error_description": error.public},
        status=status,
    )
    if status == 503:
        said.headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, Stranger):
        for challenge in challenges(host):
            said.headers.append("WWW-Authenticate", challenge)
    return said
