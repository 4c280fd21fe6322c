"""Pages around mailed links: a forgotten password, a first account.

Opening a link shows a form; only its button uses the link.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.signin import Purpose, Recovery, SlowDown
from safeconduct.web.desk import Desk, host_of, read_query, visitor_of
from safeconduct.web.refusals import STATUS, DeadEnd

_SENT = (
    "If that address can be used here, a mail is on its way. "
    "The link in it works once, for 30 minutes."
)
_STALE = "This link does not work any more"
_STALE_RESET = {
    Code.NOT_FOUND: DeadEnd(title=_STALE, path="/login/forgot", label="Ask for a new link")
}
_STALE_CONFIRM = {
    Code.NOT_FOUND: DeadEnd(title=_STALE, path="/login/create", label="Ask for a new link")
}


class MailboxPages:
    """`/login/forgot`, `/login/reset`, `/login/create`, `/login/confirm`."""

    def __init__(self, *, desk: Desk, recovery: Recovery) -> None:
        self._desk = desk
        self._recovery = recovery

    def routes(self) -> list[Route]:
        guarded = self._desk.guarded
        return [
            Route("/login/forgot", guarded(self.show_forgot), methods=["GET"]),
            Route("/login/forgot", guarded(self.forgot), methods=["POST"]),
            Route("/login/create", guarded(self.show_create), methods=["GET"]),
            Route("/login/create", guarded(self.create), methods=["POST"]),
            Route("/login/reset", guarded(self.show_reset, _STALE_RESET), methods=["GET"]),
            Route("/login/reset", guarded(self.reset, _STALE_RESET), methods=["POST"]),
            Route("/login/confirm", guarded(self.show_confirm, _STALE_CONFIRM), methods=["GET"]),
            Route("/login/confirm", guarded(self.confirm, _STALE_CONFIRM), methods=["POST"]),
        ]

    async def show_forgot(self, request: Request) -> Response:
        self._offered(open_=self._recovery.reset_open(host_of(request)))
        return self._ask(request, "forgot")

    async def show_create(self, request: Request) -> Response:
        self._offered(open_=self._recovery.sign_up_open(host_of(request)))
        return self._ask(request, "create")

    async def forgot(self, request: Request) -> Response:
        return await self._asked(request, "forgot")

    async def create(self, request: Request) -> Response:
        return await self._asked(request, "create")

    async def show_reset(self, request: Request) -> Response:
        return await self._open(request, "reset", Purpose.RESET)

    async def show_confirm(self, request: Request) -> Response:
        return await self._open(request, "confirm", Purpose.SIGN_UP)

    async def reset(self, request: Request) -> Response:
        fields = await self._desk.form(request, purpose="reset", signed=None)
        host, token = host_of(request), fields.get("token", "")
        try:
            await self._recovery.reset(
                host, token=token, password=fields.get("password", ""), visitor=visitor_of(request)
            )
        except Refused as error:
            return await self._again(request, "reset", Purpose.RESET, token, error)
        return self._told(
            request, "Password set", "Every browser was signed out. Sign in with the new password."
        )

    async def confirm(self, request: Request) -> Response:
        fields = await self._desk.form(request, purpose="confirm", signed=None)
        token, name = fields.get("token", ""), fields.get("name", "")
        try:
            await self._recovery.create(
                host_of(request),
                token=token,
                name=name,
                password=fields.get("password", ""),
                visitor=visitor_of(request),
            )
        except Refused as error:
            return await self._again(request, "confirm", Purpose.SIGN_UP, token, error, name=name)
        return self._told(request, "Account created", "Sign in with your new password.")

    async def _asked(self, request: Request, what: str) -> Response:
        fields = await self._desk.form(request, purpose=what, signed=None)
        email = fields.get("email", "").strip()
        ask = self._recovery.ask_reset if what == "forgot" else self._recovery.ask_account
        try:
            await ask(host_of(request), email=email, visitor=visitor_of(request))
        except (Refused, SlowDown) as error:
            if error.code is Code.NOT_FOUND:
                raise
            return self._ask(request, what, email=email, error=error)
        return self._told(request, "Look in your mail", _SENT)

    async def _open(self, request: Request, what: str, purpose: Purpose) -> Response:
        token = read_query(request).get("token", "")
        email = await self._recovery.address_of(host_of(request), purpose, token)
        return self._choose(request, what, token, email)

    async def _again(
        self,
        request: Request,
        what: str,
        purpose: Purpose,
        token: str,
        error: Refused,
        *,
        name: str = "",
    ) -> Response:
        if error.code is not Code.INVALID_PARAMS:
            raise error
        email = await self._recovery.address_of(host_of(request), purpose, token)
        return self._choose(request, what, token, email, name=name, error=error)

    def _offered(self, *, open_: bool) -> None:
        if not open_:
            raise Refused(Code.NOT_FOUND, "This host does not offer that. Ask an admin.")

    def _ask(
        self, request: Request, what: str, *, email: str = "", error: GatewayError | None = None
    ) -> Response:
        response = self._desk.form_page(
            request,
            f"{what}.html",
            purpose=what,
            status=200 if error is None else STATUS[error.code],
            email=email[:254],
            error=None if error is None else error.public,
        )
        if isinstance(error, SlowDown):
            response.headers["Retry-After"] = str(error.seconds)
        return response

    def _choose(
        self,
        request: Request,
        what: str,
        token: str,
        email: str,
        *,
        name: str = "",
        error: GatewayError | None = None,
    ) -> Response:
        return self._desk.form_page(
            request,
            f"{what}.html",
            purpose=what,
            status=200 if error is None else STATUS[error.code],
            token=token,
            email=email,
            name=name[:100],
            shortest=host_of(request).policies.sign_in.minimum_length,
            error=None if error is None else error.public,
        )

    def _told(self, request: Request, title: str, text: str) -> Response:
        return self._desk.drawing.page(host_of(request), "told.html", title=title, text=text)
