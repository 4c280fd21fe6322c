"""What every page starts with: who is visiting, is the form ours, how is it answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.core.forms import form_pairs
from safeconduct.core.headers import media_of
from safeconduct.core.model import Value
from safeconduct.core.secrets import Secret, mint
from safeconduct.hosts import Host
from safeconduct.people import People, Person
from safeconduct.signin import (
    FORM_COOKIE,
    SESSION_COOKIE,
    BrowserSession,
    BrowserSessions,
    Visitor,
    form_token,
    require_own_form,
)
from safeconduct.web.drawing import Drawing
from safeconduct.web.refusals import DeadEnd, ErrorPages

Endpoint = Callable[[Request], Awaitable[Response]]

_LONGEST_FORM = 32 * 1024
_MOST_FIELDS = 32
_FORM_TYPE = "application/x-www-form-urlencoded"


class Signed(Value, frozen=True):
    """A signed-in visitor. `handle` is the cookie itself, from which form tokens are made."""

    person: Person
    session: BrowserSession
    handle: Secret


class Desk:
    """Receives visitors of people's pages."""

    def __init__(
        self, *, browsers: BrowserSessions, people: People, drawing: Drawing, errors: ErrorPages
    ) -> None:
        self._browsers = browsers
        self._people = people
        self.drawing = drawing
        self._errors = errors

    def guarded(self, endpoint: Endpoint, ends: Mapping[Code, DeadEnd] | None = None) -> Endpoint:
        """Answer what an endpoint refuses with a page; `ends` says more than the code does."""
        known = ends or {}

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except GatewayError as error:
                return self._errors.refused(request, error, end=known.get(error.code))

        return answer

    async def signed_in(self, request: Request) -> Signed | None:
        """Return the visitor if a live session of an active person came with the request."""
        host = host_of(request)
        handle = request.cookies.get(SESSION_COOKIE)
        session = await self._browsers.find(host.key, handle)
        if session is None or handle is None:
            return None
        person = await self._people.get(host.key, session.subject)
        if person is None or not person.active:
            return None
        return Signed(person=person, session=session, handle=Secret(handle))

    async def form(
        self, request: Request, *, purpose: str, signed: Signed | None
    ) -> dict[str, str]:
        """Read a submitted form that is ours.

        Raises:
            Refused: FORBIDDEN if it is not, or the form cannot be read.
        """
        fields = await read_form(request)
        self.require_own(request, fields, purpose=purpose, signed=signed)
        return fields

    def require_own(
        self, request: Request, fields: dict[str, str], *, purpose: str, signed: Signed | None
    ) -> None:
        """Refuse fields that did not come from our page in this browser."""
        cookie = signed.handle.reveal() if signed else request.cookies.get(FORM_COOKIE)
        require_own_form(
            request.headers,
            origin=host_of(request).origin,
            cookie=cookie,
            token=fields.get("csrf"),
            purpose=purpose,
        )

    def form_page(
        self, request: Request, template: str, *, purpose: str, status: int = 200, **values: object
    ) -> Response:
        """Draw a form for somebody who is not signed in, bound to a cookie of its own."""
        cookie = request.cookies.get(FORM_COOKIE) or mint("sc_fc").reveal()
        token = form_token(cookie, purpose=purpose)
        host = host_of(request)
        targets = values.pop("form_targets", ())
        assert isinstance(targets, tuple)
        response = self.drawing.page(
            host, template, status=status, csrf=token, form_targets=targets, **values
        )
        set_cookie(response, FORM_COOKIE, cookie)
        return response


def host_of(request: Request) -> Host:
    """Return the tenant the outer layer found."""
    host = request.state.host
    assert isinstance(host, Host)
    return host


def visitor_of(request: Request) -> Visitor:
    """Return where a request comes from."""
    return Visitor(ip=str(request.state.ip), user_agent=request.headers.get("user-agent", ""))


def set_cookie(response: Response, name: str, value: str) -> None:
    """Give a browser a cookie that scripts, other origins and plain networks never see."""
    response.set_cookie(name, value, path="/", secure=True, httponly=True, samesite="lax")


def drop_cookie(response: Response, name: str) -> None:
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")


async def read_form(request: Request) -> dict[str, str]:
    """Read a URL-encoded form: bounded, UTF-8, every field once.

    Raises:
        Refused: If it is anything else.
    """
    if media_of(request.headers.get("content-type", "")).type != _FORM_TYPE:
        raise Refused(Code.UNSUPPORTED_MEDIA, "This address takes forms only.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise Refused(Code.TOO_LARGE, "The form is too large.")
    try:
        pairs = form_pairs(bytes(body), most=_MOST_FIELDS)
    except ValueError as error:
        raise Refused(Code.INVALID_MESSAGE, "The form cannot be read.") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refused(Code.INVALID_MESSAGE, "The form has a field twice.")
    return fields


def read_query(request: Request) -> dict[str, str]:
    """Read an address's query by the rules of forms.

    Raises:
        Refused: If it cannot be read, or names something twice.
    """
    try:
        pairs = form_pairs(request.scope["query_string"], most=_MOST_FIELDS)
    except ValueError as error:
        raise Refused(Code.INVALID_MESSAGE, "The address cannot be read.") from error
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Refused(Code.INVALID_MESSAGE, "The address names something twice.")
    return values
