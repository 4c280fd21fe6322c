"""Signing in and out."""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.signin import (
    FORM_COOKIE,
    SESSION_COOKIE,
    Local,
    Recovery,
    SlowDown,
    own_path,
)
from safeconduct.web.desk import (
    Desk,
    Signed,
    drop_cookie,
    host_of,
    read_form,
    read_query,
    set_cookie,
    visitor_of,
)
from safeconduct.web.drawing import see_other
from safeconduct.web.refusals import STATUS

_PURPOSE = "sign_in"
SIGN_OUT = "sign_out"


class LoginPages:
    """`/login` and `/logout`."""

    def __init__(self, *, desk: Desk, local: Local, recovery: Recovery) -> None:
        self._desk = desk
        self._local = local
        self._recovery = recovery

    def routes(self) -> list[Route]:
        guarded = self._desk.guarded
        return [
            Route("/login", guarded(self.show), methods=["GET"]),
            Route("/login", guarded(self.sign_in), methods=["POST"]),
            Route("/logout", guarded(self.sign_out), methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        return_to = own_path(read_query(request).get("return_to"))
        if await self._desk.signed_in(request) is not None:
            return see_other(return_to)
        return self._draw(request, return_to)

    async def sign_in(self, request: Request) -> Response:
        fields = await read_form(request)
        return_to = own_path(fields.get("return_to"))
        try:
            self._desk.require_own(request, fields, purpose=_PURPOSE, signed=None)
        except Refused:
            return await self._stale(request, return_to)
        email, password = fields.get("email", "").strip(), fields.get("password", "")
        try:
            if not email or not password:
                _incomplete(email)
            handle = await self._local.sign_in(
                host_of(request), email=email, password=password, visitor=visitor_of(request)
            )
        except GatewayError as error:
            return self._draw(request, return_to, email=email, error=error)
        before = await self._desk.signed_in(request)
        if before is not None:  # nobody is two people in one browser
            await self._end(request, before)
        response = see_other(return_to)
        set_cookie(response, SESSION_COOKIE, handle.reveal())
        drop_cookie(response, FORM_COOKIE)
        return response

    async def _stale(self, request: Request, return_to: str) -> Response:
        """Answer a form that is not ours, or not any more: nobody is signed in by it.

        Agents open several tabs at once; whoever signed in through one goes on in the others.
        """
        if await self._desk.signed_in(request) is not None:
            return see_other(return_to)
        stale = Refused(
            Code.FORBIDDEN, "The form was out of date, so nobody was signed in. Fill it in again."
        )
        return self._draw(request, return_to, error=stale)

    async def sign_out(self, request: Request) -> Response:
        fields = await read_form(request)
        response = see_other("/login")
        signed = await self._desk.signed_in(request)
        if signed is not None:
            self._desk.require_own(request, fields, purpose=SIGN_OUT, signed=signed)
            await self.leave(request, response, signed)
        return response

    async def leave(self, request: Request, response: Response, signed: Signed) -> None:
        """End a browser session on the server, and in the browser that gets the response."""
        await self._end(request, signed)
        drop_cookie(response, SESSION_COOKIE)

    async def _end(self, request: Request, signed: Signed) -> None:
        await self._local.sign_out(
            host_of(request),
            signed.session,
            email=signed.person.email,
            visitor=visitor_of(request),
        )

    def _draw(
        self,
        request: Request,
        return_to: str,
        *,
        email: str = "",
        error: GatewayError | None = None,
    ) -> Response:
        host = host_of(request)
        response = self._desk.form_page(
            request,
            "login.html",
            purpose=_PURPOSE,
            status=200 if error is None else STATUS[error.code],
            # Somebody who consented before may go on from here to a client at once.
            form_targets=("https:",) if return_to.startswith("/consent?") else (),
            return_to=return_to,
            email=email[:254],
            error=None if error is None else error.public,
            reset_open=self._recovery.reset_open(host),
            sign_up_open=self._recovery.sign_up_open(host),
        )
        if isinstance(error, SlowDown):
            response.headers["Retry-After"] = str(error.seconds)
        return response


def login_path(return_to: str) -> str:
    """Return where to sign in and then go on to a path of ours."""
    return f"/login?return_to={quote(return_to, safe='/')}"


def _incomplete(email: str) -> NoReturn:
    missing = "your password" if email else "your email address"
    raise Refused(Code.INVALID_PARAMS, f"Enter {missing}.")
