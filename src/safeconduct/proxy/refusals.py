"""How a refusal is said on the wire: HTTP status, JSON-RPC code, and a sentence.

One table, one row for each code (a test keeps it complete). Our own codes are positive,
outside everything JSON-RPC and MCP reserve, and the same in every revision. A denial is
HTTP 200, because clients read 403 as "sign in again"; 403 is sent only where that helps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from safeconduct.core.decision import Decision
from safeconduct.core.errors import Code, GatewayError, Refused
from safeconduct.proxy.exchange import Answer
from safeconduct.proxy.messages import MODERN, Era, MessageId

ARGUMENTS_UNFIT = "arguments.unfit"
DENIED, APPROVAL, TOOL_CHANGED, THROTTLED = 4030, 4031, 4033, 4290


class Row(NamedTuple):
    """JSON-RPC code, and the HTTP status in each era."""

    code: int
    modern: int
    legacy: int


TABLE: dict[Code, Row] = {
    Code.UNAUTHENTICATED: Row(-32600, 401, 401),
    Code.INSUFFICIENT_LEVEL: Row(DENIED, 403, 403),
    Code.FORBIDDEN: Row(DENIED, 200, 200),
    Code.TOOL_CHANGED: Row(TOOL_CHANGED, 200, 200),
    Code.APPROVAL: Row(APPROVAL, 200, 200),
    Code.UNKNOWN_TOOL: Row(-32602, 400, 200),
    Code.UNKNOWN_HOST: Row(-32600, 421, 421),
    Code.NOT_FOUND: Row(-32600, 404, 404),
    Code.BAD_ORIGIN: Row(-32600, 403, 403),
    Code.PARSE_ERROR: Row(-32700, 400, 400),
    Code.INVALID_MESSAGE: Row(-32600, 400, 400),
    Code.INVALID_PARAMS: Row(-32602, 400, 200),
    Code.HEADER_MISMATCH: Row(-32020, 400, 400),
    Code.UNKNOWN_METHOD: Row(-32601, 404, 200),
    Code.UNSUPPORTED_VERSION: Row(-32022, 400, 400),
    Code.NOT_ACCEPTABLE: Row(-32600, 406, 406),
    Code.UNSUPPORTED_MEDIA: Row(-32600, 415, 415),
    Code.METHOD_NOT_ALLOWED: Row(-32600, 405, 405),
    Code.TOO_LARGE: Row(-32600, 413, 413),
    Code.THROTTLED: Row(THROTTLED, 200, 200),
    Code.UPSTREAM_FAILED: Row(-32603, 200, 200),
    Code.UPSTREAM_TIMEOUT: Row(-32603, 200, 200),
    Code.UNAVAILABLE: Row(-32603, 503, 503),
    Code.CONFLICT: Row(-32600, 409, 409),
    Code.INTERNAL: Row(-32603, 500, 500),
}
JSON_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


class Denied(GatewayError):
    """The PDP said no; carries the decision, which goes to the caller in part."""

    def __init__(self, code: Code, decision: Decision) -> None:
        super().__init__(decision.message)
        self.code = code
        self.decision = decision


class Busy(Refused):
    """Somebody has as much under way as they may.

    Attributes:
        retry_seconds: When it is worth trying again.
    """

    retry_seconds = 5

    def __init__(self, public: str) -> None:
        super().__init__(Code.THROTTLED, public)


def answer(
    error: GatewayError,
    *,
    era: Era | None,
    message_id: MessageId | None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Answer:
    """Write a refusal as the caller's revision spells it."""
    if is_tool_error(error) and message_id is not None:
        body = tool_error(error.public, era=era, message_id=message_id)
        return Answer(status=200, headers=(*JSON_HEADERS, *headers), body=body)
    row = TABLE[error.code]
    status = row.modern if era == MODERN else row.legacy
    if message_id is None and status == 200:
        # Nothing with an id can carry it.
        status = 429 if error.code is Code.THROTTLED else 400
    if isinstance(error, Busy):
        headers = (*headers, (b"retry-after", b"%d" % error.retry_seconds))
    said: dict[str, Any] = {"code": row.code, "message": error.public}
    data = _data(error)
    if data:
        said["data"] = data
    payload = msgspec.json.encode({"jsonrpc": "2.0", "id": message_id, "error": said})
    return Answer(status=status, headers=(*JSON_HEADERS, *headers), body=payload)


def is_tool_error(error: GatewayError) -> bool:
    """Say whether a model should read a refusal as its tool's, correct the call and go on."""
    return isinstance(error, Denied) and error.decision.reason == ARGUMENTS_UNFIT


def tool_error(sentence: str, *, era: Era | None, message_id: MessageId | None) -> bytes:
    """Write a tool's result that says what went wrong: models read it, and call again."""
    result: dict[str, Any] = {"content": [{"type": "text", "text": sentence}], "isError": True}
    if era == MODERN:
        result["resultType"] = "complete"
    return msgspec.json.encode({"jsonrpc": "2.0", "id": message_id, "result": result})


def _data(error: GatewayError) -> dict[str, Any]:
    if isinstance(error, Denied) and error.code is not Code.UNKNOWN_TOOL:
        decision = error.decision
        return {
            "reason": decision.reason,
            "required_level": decision.required_level and decision.required_level.word,
            "effective_level": decision.effective_level and decision.effective_level.word,
            "decision_id": decision.id,
        }
    supported = getattr(error, "supported", None)
    if supported:
        return {"supported": list(supported), "requested": getattr(error, "requested", "")}
    if error.code in {Code.UPSTREAM_FAILED, Code.UPSTREAM_TIMEOUT, Code.UNAVAILABLE}:
        return {"reason": error.code.value}
    return {}
