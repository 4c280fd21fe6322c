"""Refusals in AuthZEN's dialect: a status, and a sentence as a JSON string.

A refusal is about the request, never about what was asked: a "no" is `{"decision": false}` with
status 200. Whoever gets anything else has no decision, and no decision is a deny.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from safeconduct.api.callers import Stranger, challenges
from safeconduct.api.http import answer
from safeconduct.core.errors import RETRY_SECONDS, Code, GatewayError, Refused
from safeconduct.hosts import Host

STATUS: Mapping[Code, int] = {
    Code.UNAUTHENTICATED: 401,
    Code.INSUFFICIENT_LEVEL: 403,
    Code.FORBIDDEN: 403,
    Code.TOOL_CHANGED: 403,
    Code.APPROVAL: 403,
    Code.UNKNOWN_TOOL: 404,
    Code.UNKNOWN_HOST: 404,
    Code.NOT_FOUND: 404,
    Code.BAD_ORIGIN: 403,
    Code.PARSE_ERROR: 400,
    Code.INVALID_MESSAGE: 400,
    Code.INVALID_PARAMS: 400,
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


def bad(sentence: str) -> Refused:
    """Return the refusal of a request that says too little, too much or nonsense."""
    return Refused(Code.INVALID_PARAMS, sentence)


def refusal(error: GatewayError, host: Host) -> Response:
    """Spell a refusal; whoever is not known hears how to show who it is."""
    said = answer(error.public, status=STATUS[error.code])
    if error.code is Code.UNAVAILABLE:
        said.headers["Retry-After"] = str(RETRY_SECONDS)
    if isinstance(error, Stranger):
        for challenge in challenges(host):
            said.headers.append("WWW-Authenticate", challenge)
    return said
