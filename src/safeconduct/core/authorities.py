"""Certificates of authorities in a file: whether it is one that can be trusted at all."""

from __future__ import annotations

import errno
import os
import ssl
from pathlib import Path

_NONE = "holds no certificates in PEM that can be read"


def fault_of_authorities(path: Path) -> str:
    """Return why a file cannot be read as certificates in PEM, or ""."""
    try:
        # Nothing but a file is opened: a named pipe would hold up the start for ever.
        if not path.is_file():
            return "there is no such file beside this file"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        return _NONE
    except OSError as error:
        return f"the file cannot be read: {os.strerror(error.errno or errno.EIO)}"
    return "" if context.cert_store_stats()["x509"] else _NONE  # lists of revoked ones are none
