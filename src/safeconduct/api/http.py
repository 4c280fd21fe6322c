"""What endpoints for programs have in common: the host, the kind of body, JSON answers."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from safeconduct.core.errors import Code, Refused
from safeconduct.hosts import Host

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
    if headers.get("content-type", "").partition(";")[0].strip().lower() != expected:
        raise Refused(Code.UNSUPPORTED_MEDIA, f"Send {expected} in UTF-8.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(Code.UNSUPPORTED_MEDIA, "Send the body without a content encoding.")


def answer(said: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return JSON, for the one who asked and for nobody's cache unless `headers` say so."""
    return Response(
        msgspec.json.encode(said),
        status_code=status,
        headers=headers or PRIVATE,
        media_type="application/json",
    )
