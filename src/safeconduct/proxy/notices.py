"""Tells a client why it waits: progress on a stream while its call is held, then the answer.

Only a client that asked for progress hears of it (MCP, utilities: progress), and only when its
call is really held; all other answers keep their form and their HTTP status.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import msgspec

from safeconduct.approvals import Approval
from safeconduct.core.decision import RequireApproval
from safeconduct.core.errors import GatewayError
from safeconduct.proxy import refusals
from safeconduct.proxy.calls import Call
from safeconduct.proxy.exchange import STREAM_HEADERS, Answer, raw_body
from safeconduct.upstreams import message_event

_STEP = 0.001  # stays below what the server itself may report later: progress only grows


class Notices:
    """Streams to clients whose calls are held."""

    def __init__(self, *, every_seconds: float = 15.0) -> None:
        self._every_seconds = every_seconds
        self._begun: dict[str, asyncio.Future[Approval]] = {}

    def reach(self, call: Call) -> bool:
        """Say whether the client hears that its call waits."""
        return call.exchange.id in self._begun

    def begin(self, call: Call, approval: Approval) -> None:
        """Note that a call is held from now on."""
        begun = self._begun.get(call.exchange.id)
        if begun is not None and not begun.done():
            begun.set_result(approval)

    async def beside(self, call: Call, carrying: Coroutine[Any, Any, Answer]) -> Answer:
        """Return what comes of carrying a call, or the stream that tells of it once it is held."""
        if not _wanted(call):
            return await carrying
        key, loop = call.exchange.id, asyncio.get_running_loop()
        begun = self._begun[key] = loop.create_future()
        task = loop.create_task(carrying)
        task.add_done_callback(lambda _: self._begun.pop(key, None))
        try:
            await asyncio.wait({task, begun}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _ended(task)
            raise
        if task.done():
            return task.result()
        stream = self._stream(call, task, begun.result())
        await anext(stream)  # begun before it is handed out: then closing it ends the call
        return Answer(200, STREAM_HEADERS, stream)

    async def _stream(
        self, call: Call, task: asyncio.Task[Answer], approval: Approval
    ) -> AsyncGenerator[bytes]:
        try:
            yield b""
            count = 0
            while not task.done():
                count += 1
                yield _progress(call, approval, count)
                await asyncio.wait({task}, timeout=self._every_seconds)
            answer = _answer(call, task)
            if isinstance(answer.body, bytes):
                yield message_event(raw_body(answer))
                return
            async with contextlib.aclosing(answer.body) as events:
                async for event in events:
                    yield event
        finally:
            await _ended(task)


def _wanted(call: Call) -> bool:
    held = call.decision is not None and any(
        isinstance(each, RequireApproval) for each in call.decision.obligations
    )
    return held and call.message.form == "request" and _token(call) is not None


def _token(call: Call) -> str | int | None:
    token = call.message.meta.get("progressToken")
    return token if isinstance(token, str | int) and not isinstance(token, bool) else None


def _progress(call: Call, approval: Approval, count: int) -> bytes:
    said = (
        f"Waits for the approval of an operator ({approval.role}), until "
        f"{approval.expires_at:%H:%M:%S} UTC; request {approval.id}."
    )
    params = {"progressToken": _token(call), "progress": count * _STEP, "message": said}
    note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
    return message_event(msgspec.json.encode(note))


def _answer(call: Call, task: asyncio.Task[Answer]) -> Answer:
    try:
        return task.result()
    except GatewayError as error:
        return refusals.answer(error, era=call.revision.era, message_id=call.message.id)


async def _ended(task: asyncio.Task[Answer]) -> None:
    """Cancel what still carries the call, and wait until its outcome is on record."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and task.exception() is None:
        body = task.result().body
        if not isinstance(body, bytes):
            await body.aclose()
