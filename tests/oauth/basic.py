"""Client credentials as strict clients send them."""

from __future__ import annotations

import base64
from urllib.parse import quote


def oauth4webapi_encoded(text: str) -> str:
    """Encode as oauth4webapi 3 does: everything but letters and digits, a space as a plus."""
    encoded = quote(text, safe="")
    for mark in "-_.~":  # which `quote` leaves, and the form encoding need not
        encoded = encoded.replace(mark, f"%{ord(mark):02X}")
    return encoded.replace("%20", "+")


def strict_basic(client: str, secret: str) -> str:
    """Return an Authorization header of RFC 6749 section 2.3.1."""
    pair = f"{oauth4webapi_encoded(client)}:{oauth4webapi_encoded(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
