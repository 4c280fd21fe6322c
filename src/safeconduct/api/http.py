"""What endpoints for programs have in common: the host, the kind of body, JSON answers."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from safeconduct.core.errors import Code, Refused
from safeconduct.core.forms import form_pairs
from safeconduct.core.headers import media_of
from safeconduct.hosts import Host

_MOST_IN_QUERY = 64
PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def host_of(request: Request) -> Host:
    """Return the tenant that the edge found."""
    host = request.state.host
    assert isinstance(host, Host)
    return host


def refuse_other_media(headers: Headers, expected: str = "application/json") -> None:
    """Let nothing else pass; a page of another site cannot send JSON unasked.

    Raises:
        Refused: UNSUPPORTED_MEDIA.
    """
    media = media_of(headers.get("content-type", ""))
    if media.type != expected or not media.utf_8:
        raise Refused(Code.UNSUPPORTED_MEDIA, f"Send {expected} in UTF-8.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(Code.UNSUPPORTED_MEDIA, "Send the body without a content encoding.")


def query_of(request: Request) -> list[tuple[str, str]]:
    """Return the names and values of an address's query.

    Raises:
        Refused: If it cannot be read.
    """
    try:
        return form_pairs(request.scope["query_string"], most=_MOST_IN_QUERY)
    except ValueError as error:
        raise Refused(Code.INVALID_PARAMS, "The query of the address cannot be read.") from error


def answer(said: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return JSON, for the one who asked and for nobody's cache unless `headers` say so."""
    return Response(
        msgspec.json.encode(said),
        status_code=status,
        headers=headers or PRIVATE,
        media_type="application/json",
    )
