"""`safeconduct serve`: one process, or several workers on one address."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import uvloop

from safeconduct.app.building import open_installation
from safeconduct.app.connections import raise_file_limit
from safeconduct.app.provision import Provisioner
from safeconduct.app.serving import NOT_RELOADED, work
from safeconduct.app.started_settings import note_served
from safeconduct.app.worker import answer
from safeconduct.app.workers import Workers
from safeconduct.settings import Settings
from safeconduct.telemetry import configure_logging


def serve(settings: Settings, *, listening: Callable[[str], None] = lambda _address: None) -> int:
    """Serve until told to stop; returns the exit code.

    Args:
        settings: The configuration file, read.
        listening: Told the address as soon as requests are answered there.
    """

    def ready(address: str) -> None:
        note_served(settings)
        listening(address)

    configure_logging(settings.server.log_level)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # also while we start; later it is logged
    raise_file_limit()
    if settings.server.workers == 1:
        return work(settings, listening=ready)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_apply(settings))
    workers = Workers(settings, answer=answer, listening=ready, not_reloaded=NOT_RELOADED)
    return workers.run()


async def _apply(settings: Settings) -> None:
    async with open_installation(settings) as parts:
        await Provisioner.of(parts).apply(settings)
