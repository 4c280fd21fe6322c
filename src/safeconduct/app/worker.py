"""What one of several worker processes does: read the file, answer on the shared socket."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from safeconduct.app.serving import work
from safeconduct.settings import load
from safeconduct.telemetry import configure_logging


def answer(path: Path, listening: socket.socket) -> None:
    """Answer until told to stop, then end the process."""
    settings = load(path, os.environ)
    configure_logging(settings.server.log_level)
    sys.exit(work(settings, sockets=[listening]))
