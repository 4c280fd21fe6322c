"""What a plain HTTP API answered, as the result of a tool call (MCP, tools: results).

A JSON object is data, and the same as text; other JSON and text are text. Whatever else comes is
not passed on. An error of the API's is an error of the tool's, with its status, so that a model
reads what went wrong.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

from safeconduct.core.canonical import StrictJSONError, parse
from safeconduct.core.headers import media_of
from safeconduct.egress import Reply, UpstreamFailed, UpstreamTimeout

_MOST_BYTES = 2 * 1024 * 1024
_ERROR_BYTES = 64 * 1024
_ERROR_CHARACTERS = 2000
_BODY_SECONDS = 60.0
_SHORTEST_SECRET = 16  # what is shorter, a version or a date, may be there by chance
_JSON = re.compile(r"application/([^/]+\+)?json")
Result = dict[str, Any]


async def read_answer(
    reply: Reply, *, name: str, secrets: Sequence[bytes], seconds: float = _BODY_SECONDS
) -> Result:
    """Read a reply to its end and return what becomes of it.

    Args:
        reply: The API's, just begun; it is closed when this returns or raises.
        name: The API's, for people.
        secrets: What was sent with the request and must not come back.
        seconds: How long the body may take, however it drips.

    Raises:
        UpstreamFailed: If it is nothing that can be passed on.
    """
    try:
        async with asyncio.timeout(seconds):
            if 200 <= reply.status < 300:
                return _success(await _read(reply, _MOST_BYTES, name, secrets), reply, name)
            return await _failure(reply, name, secrets)
    except TimeoutError as error:
        raise UpstreamTimeout(f"{name} takes too long to answer.", sent=True) from error
    finally:
        await reply.aclose()


def refusal(sentence: str) -> Result:
    """Return the result of a call that failed, with the reason where a model reads it."""
    return {"content": [{"type": "text", "text": sentence}], "isError": True}


async def _read(reply: Reply, limit: int, name: str, secrets: Sequence[bytes]) -> bytes:
    raw = await reply.read(limit)
    for secret in secrets:
        # `Bearer` and the like are no secret, what follows them is one by itself.
        if any(len(part) >= _SHORTEST_SECRET and part in raw for part in secret.split()):
            raise UpstreamFailed(
                f"{name} repeats the gateway's credentials in its answer, so it was withheld.",
                sent=True,
            )
    return raw


def _success(raw: bytes, reply: Reply, name: str) -> Result:
    if not raw:
        return _text(f"{name} answered with HTTP {reply.status} and nothing else.")
    kind = _kind(reply)
    if kind == "json":
        try:
            value = parse(raw)
        except StrictJSONError as error:
            raise _unusable(name, "JSON that cannot be read") from error
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        data = {"structuredContent": value} if isinstance(value, dict) else {}
        return _text(text) | data
    if kind != "text":
        raise _unusable(name, "content of a kind that is not passed on")
    try:
        return _text(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _unusable(name, "text that is not UTF-8") from error


async def _failure(reply: Reply, name: str, secrets: Sequence[bytes]) -> Result:
    sentence = f"{name} answered with HTTP {reply.status}."
    if reply.points_to is not None:
        sentence += " That is a redirect, which is not followed; ask an admin to set its url."
    try:
        raw = await _read(reply, _ERROR_BYTES, name, secrets)
        shown = raw.decode("utf-8") if _kind(reply) else ""
    except (UpstreamFailed, UnicodeDecodeError):
        shown = ""  # the status is what counts
    if len(shown) > _ERROR_CHARACTERS:
        shown = f"{shown[:_ERROR_CHARACTERS]}…"
    return refusal(f"{sentence}\n{shown}" if shown.strip() else sentence)


def _kind(reply: Reply) -> str:
    """Return `json` or `text`, or "" for what is neither or not in UTF-8."""
    coding = reply.header(b"content-encoding") or b"identity"
    media = media_of((reply.header(b"content-type") or b"").decode("latin-1"))
    if coding.lower() != b"identity" or not media.utf_8:
        return ""
    if _JSON.fullmatch(media.type):
        return "json"
    return "text" if media.type.startswith("text/") and media.type != "text/event-stream" else ""


def _text(text: str) -> Result:
    return {"content": [{"type": "text", "text": text}], "isError": False}


def _unusable(name: str, what: str) -> UpstreamFailed:
    return UpstreamFailed(f"{name} answered with {what}.", sent=True)
