"""Whether an address can be listened on, before somebody tries in earnest."""

from __future__ import annotations

import os
import socket


def unusable(host: str, port: int) -> str | None:
    """Return why nobody can listen there now, in the system's words, or None."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            # A name's errors are the resolver's own, with numbers that mean something else.
            named = isinstance(error, socket.gaierror) or error.errno is None
            return "the name has no address" if named else os.strerror(error.errno or 0)
    return None
