"""Refusals as pages: what happened, why, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ExceptionHandler, Receive, Scope, Send

from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.core.model import Value
from safeconduct.hosts import Host
from safeconduct.web.drawing import Drawing
from safeconduct.web.names import cleaned

STATUS: Mapping[Code, int] = {
    Code.UNAUTHENTICATED: 401,
    Code.INSUFFICIENT_LEVEL: 403,
    Code.FORBIDDEN: 403,
    Code.TOOL_CHANGED: 409,
    Code.APPROVAL: 403,
    Code.UNKNOWN_TOOL: 404,
    Code.UNKNOWN_HOST: 404,
    Code.NOT_FOUND: 404,
    Code.BAD_ORIGIN: 403,
    Code.PARSE_ERROR: 400,
    Code.INVALID_MESSAGE: 400,
    Code.INVALID_PARAMS: 422,
    Code.HEADER_MISMATCH: 400,
    Code.UNKNOWN_METHOD: 404,
    Code.UNSUPPORTED_VERSION: 400,
    Code.NOT_ACCEPTABLE: 406,
    Code.UNSUPPORTED_MEDIA: 415,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.TOO_LARGE: 413,
    Code.THROTTLED: 429,
    Code.UPSTREAM_FAILED: 502,
    Code.UPSTREAM_TIMEOUT: 504,
    Code.UNAVAILABLE: 503,
    Code.CONFLICT: 409,
    Code.INTERNAL: 500,
}
_TITLES = {
    401: "Sign in first",
    403: "Nothing was done",
    404: "Not here",
    405: "That does not work here",
    409: "Too late",
    413: "Too large",
    422: "Something is missing",
    429: "Too many attempts",
    500: "Something broke on our side",
    502: "The server behind this did not answer",
    503: "Not possible right now",
    504: "The server behind this did not answer",
}
_TEXTS = {
    404: "There is no page at this address.",
    405: "This address exists, but not for this kind of request.",
    500: "Nothing was granted or changed by this request unless you see it on your account page.",
}
_UNAVAILABLE, _RETRY_SECONDS = 503, "60"
_FOR_PROGRAMS = "/api/v1/"
_API_TEXTS = {
    404: (Code.NOT_FOUND, "There is nothing at this address."),
    405: (Code.METHOD_NOT_ALLOWED, "This address takes other methods; see the Allow header."),
}
_LONGEST_TEXT = 1000
_OUT_OF_TOUCH = (
    "The gateway has lost touch with its database, so it refuses everything until it is back. "
    "Nothing was done. Try again in a few seconds."
)


class DeadEnd(Value, frozen=True):
    """How a page that stops somebody is headed, and the one link that leads on."""

    title: str
    path: str = "/account"
    label: str = "Your account"


class ErrorPages:
    """Draws refusals, for our own pages and for whoever is given `page`."""

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing

    def page(
        self,
        request: Request,
        status: int,
        title: str,
        text: str,
        next_steps: Sequence[str] | None = None,
    ) -> Response:
        """Draw one refusal; all texts are shown as plain text."""
        return self._draw(request, status, DeadEnd(title=title), text, next_steps or ())

    def refused(
        self, request: Request, error: GatewayError, *, end: DeadEnd | None = None
    ) -> Response:
        """Draw what the gateway meant to refuse."""
        status = STATUS[error.code]
        return self._draw(request, status, end or DeadEnd(title=_title(status)), error.public)

    def handlers(self) -> dict[int | type[Exception], ExceptionHandler]:
        """Return what a Starlette application is given for its own refusals."""
        return {HTTPException: self._http, GatewayError: self._gateway, 500: self._broken}

    def _draw(
        self,
        request: Request,
        status: int,
        end: DeadEnd,
        text: str,
        next_steps: Sequence[str] = (),
    ) -> Response:
        host: Host | None = getattr(request.state, "host", None)
        return self._drawing.page(
            host,
            "error.html",
            status=status,
            end=end,
            # A refusal may quote what a client calls itself.
            text=cleaned(text, longest=_LONGEST_TEXT),
            next_steps=next_steps,
        )

    async def _http(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if request.url.path.startswith(_FOR_PROGRAMS) and error.status_code in _API_TEXTS:
            code, sentence = _API_TEXTS[error.status_code]
            said = {"error": code.value, "message": sentence}
            return JSONResponse(said, error.status_code, headers)
        if not _reads_html(request):
            return PlainTextResponse(error.detail, error.status_code, headers)
        text = _TEXTS.get(error.status_code, error.detail)
        response = self.page(request, error.status_code, _title(error.status_code), text)
        response.headers.update(headers)
        return response

    async def away(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer any request while the gateway cannot know what still holds; an application."""
        answer = await self._gateway(Request(scope), Refused(Code.UNAVAILABLE, _OUT_OF_TOUCH))
        await answer(scope, receive, send)

    async def _gateway(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, GatewayError)
        status = STATUS[error.code]
        if _reads_html(request):
            response = self.refused(request, error)
        else:  # in OAuth's words (RFC 6749 section 5.2), and in ours for everybody else
            away = status == _UNAVAILABLE and not request.url.path.startswith(_FOR_PROGRAMS)
            name = "temporarily_unavailable" if away else error.code.value
            said = {"error": name, "error_description": error.public, "message": error.public}
            response = JSONResponse(said, status, {"Cache-Control": "no-store"})
        if status == _UNAVAILABLE:
            response.headers["Retry-After"] = _RETRY_SECONDS
        return response

    async def _broken(self, request: Request, _error: Exception) -> Response:
        if not _reads_html(request):
            return PlainTextResponse(_title(500), 500)
        return self.page(request, 500, _title(500), _TEXTS[500])


def _title(status: int) -> str:
    return _TITLES.get(status, "That did not work")


def _reads_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
