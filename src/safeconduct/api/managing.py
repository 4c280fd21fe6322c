"""Endpoints by which programs manage a host: who may, what a body may be, how a no is spelled.

They show the credentials of enforcement points and do what each of them may; nothing else counts.
Whoever may not is told before its body is read.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping

from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from safeconduct.api.callers import Stranger, challenges, point_of
from safeconduct.api.http import answer, host_of, refuse_other_media
from safeconduct.api.questions import JSON, read_body
from safeconduct.api.refusals import STATUS, bad
from safeconduct.core.errors import RETRY_SECONDS, Code, GatewayError, Refused
from safeconduct.hosts import EnforcementPoint, Host, May

# What can be read and means nothing here, unlike what cannot be read at all.
_STATUS: Mapping[Code, int] = {**STATUS, Code.INVALID_PARAMS: 422}
_WRITING = frozenset({"POST", "PUT", "PATCH"})
_LONGEST = 1024

Handler = Callable[[Request, Host, EnforcementPoint], Awaitable[Response]]


class Matter:
    """Something of a host that enforcement points may read or change, one by one."""

    def __init__(self, name: str, may: Callable[[EnforcementPoint], May]) -> None:
        """Take what it is called and where an enforcement point says what it may."""
        self._name = name
        self._may = may

    def route(self, verb: str, path: str, handler: Handler) -> Route:
        """Make the route of a handler; reading needs less than all else."""
        need = "write" if verb in _WRITING else "read"
        # The application's own limit answers in plain text; `read_json` has one that does not.
        unlimited = Middleware(RequestBodyLimitMiddleware, max_body_size=sys.maxsize)
        more = [unlimited] if need == "write" else []
        return Route(path, self._guarded(need, handler), methods=[verb], middleware=more)

    def _guarded(self, need: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def respond(request: Request) -> Response:
            host = host_of(request)
            try:
                point = point_of(host, request.headers)
                if self._may(point) not in {need, "write"}:
                    raise Refused(
                        Code.FORBIDDEN,
                        f"This enforcement point may not {need} this host's {self._name}.",
                    )
                return await handler(request, host, point)
            except GatewayError as error:
                return refused(error, host)

        return respond


async def read_json(request: Request, *, most_bytes: int) -> JSON:
    """Read the one object that a request consists of.

    Raises:
        Refused: If it is none, or too large.
    """
    refuse_other_media(request.headers)
    whole = bytearray()
    try:
        async for chunk in request.stream():
            whole += chunk
            if len(whole) > most_bytes:
                raise Refused(Code.TOO_LARGE, f"Send at most {most_bytes // 1024} KiB at once.")
    except ClientDisconnect as error:
        raise Refused(Code.PARSE_ERROR, "The body is not complete.") from error
    return read_body(bytes(whole))


def read_query(query: Iterable[tuple[str, str]], known: tuple[str, ...]) -> dict[str, str]:
    """Read a query, each parameter once.

    Raises:
        Refused: If one is unknown, given twice or too long.
    """
    said: dict[str, str] = {}
    for name, value in query:
        if name in said:
            raise bad(f"{name} is given twice.")
        if len(value) > _LONGEST:
            raise bad(f"{name} is too long.")
        said[name] = value
    refuse_unknown(said, known, "the query")
    return said


def read_limit(said: Mapping[str, str], *, most: int) -> int:
    """Read how many are wanted at once."""
    limit = said.get("limit", str(most))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= most):
        raise bad(f"limit must be a whole number from 1 to {most}.")
    return int(limit)


def refuse_unknown(said: Iterable[str], known: tuple[str, ...], where: str) -> None:
    """Let nothing pass that has no meaning: whoever sent it believes it has.

    Raises:
        Refused: INVALID_PARAMS.
    """
    for name in said:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise bad(f"{where} has no member of that name; {has}.")


def refused(
    error: GatewayError, host: Host, *, status: int | None = None, more: JSON | None = None
) -> Response:
    """Spell a refusal; whoever is not known hears how to show who it is."""
    text = error.public
    sentence = text if text.endswith(".") else f"{text}."
    said = answer(
        {"error": error.code.value, "message": sentence} | (more or {}),
        status=_STATUS[error.code] if status is None else status,
    )
    if error.code is Code.UNAVAILABLE:
        said.headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, Stranger):
        for challenge in challenges(host):
            said.headers.append("WWW-Authenticate", challenge)
    return said
