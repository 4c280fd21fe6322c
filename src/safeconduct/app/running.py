"""`safeconduct serve`: one process, or several workers on one socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import uvloop
from starlette.types import Receive, Scope, Send

from safeconduct.app.building import open_installation
from safeconduct.app.provision import Provisioner
from safeconduct.app.serving import configured, work
from safeconduct.app.worker import answer
from safeconduct.app.workers import Workers
from safeconduct.settings import Settings
from safeconduct.telemetry import configure_logging


def serve(settings: Settings, *, path: Path | None = None) -> int:
    """Serve until told to stop; returns the exit code."""
    configure_logging(settings.server.log_level)
    if settings.server.workers > 1:
        if path is None:
            raise ValueError("several workers read the configuration file themselves: name it")
        return _serve_with_workers(settings, path)
    return work(settings)


def _serve_with_workers(settings: Settings, path: Path) -> int:
    """Apply the file once, then let several processes share one listening socket."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_apply(settings))
    listening = configured(_no_app, settings).bind_socket()
    return Workers(settings.server.workers, path, listening, answer=answer).run()


async def _apply(settings: Settings) -> None:
    async with open_installation(settings) as parts:
        await Provisioner.of(parts).apply(settings)


async def _no_app(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("the parent answers nothing")
