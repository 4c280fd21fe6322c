"""A real Chromium, and real sockets for it to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from playwright.async_api import Browser, async_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parents[2] / "tools/node/node_modules/axe-core/axe.min.js"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=_ARGUMENTS
        )
        try:
            yield browser
        finally:
            await browser.close()


def listening() -> tuple[socket.socket, int]:
    """Return a socket on a free port of this machine."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, sock: socket.socket, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    config = uvicorn.Config(app, log_level="error", lifespan="off")
    config.load()
    config.ssl = tls
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task
        sock.close()


class Callback:
    """The agent's end: a page that writes down what it was called with."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.app = Starlette(routes=[Route("/callback", self._get)])

    async def _get(self, request: Request) -> Response:
        self.seen.append(dict(request.query_params))
        return HTMLResponse("<!doctype html><title>Back</title><h1>Back in the agent</h1>")
