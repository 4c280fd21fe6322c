"""What one of several worker processes does: answer on the socket it was given."""

from __future__ import annotations

import contextlib
import socket
import sys
from multiprocessing.connection import Connection

from safeconduct.app.serving import work
from safeconduct.settings import Settings
from safeconduct.telemetry import configure_logging


def answer(settings: Settings, listening: socket.socket, news: Connection) -> None:
    """Answer until told to stop, then end the process.

    Args:
        settings: What the parent has read and accepted; the file may be another one by now.
        listening: Bound to the address.
        news: Told the address once requests are answered there.
    """
    configure_logging(settings.server.log_level)

    def tell(address: str) -> None:
        with contextlib.suppress(OSError):  # the parent is gone, and we shall be soon
            news.send(address)

    sys.exit(work(settings, sockets=[listening], listening=tell))
