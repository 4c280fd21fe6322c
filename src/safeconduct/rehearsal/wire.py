"""One HTTP request to a program on this machine, and its answer. Blocking; run it in a thread.

The standard library's client on purpose: no pool, no redirects, no cookies of its own, so
that what a test or a story proves was said by the server and by nobody in between.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from safeconduct.core.model import Value

_SECONDS = 60
_MOST_BYTES = 16 * 1024 * 1024


class Answer(Value, frozen=True):
    """What came back. `headers` keeps repeats; names are lower case."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """Return the first header of that name, or ""."""
        return next((value for known, value in self.headers if known == name), "")

    def json(self) -> Any:
        """Return the body's value.

        Raises:
            msgspec.DecodeError: If it is not JSON.
        """
        return msgspec.json.decode(self.body)


def exchange(
    url: str, *, method: str = "GET", headers: Mapping[str, str], body: bytes | None = None
) -> Answer:
    """Send one request over plain HTTP.

    Raises:
        OSError: If nobody answers.
        http.client.HTTPException: If what answers does not speak HTTP.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=_SECONDS
    )
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body=body, headers={**headers, "connection": "close"})
        response = connection.getresponse()
        return Answer(
            url=url,
            status=response.status,
            headers=tuple((name.lower(), value) for name, value in response.getheaders()),
            body=response.read(_MOST_BYTES),
        )
    finally:
        connection.close()


def get(url: str) -> Answer:
    """Fetch an address."""
    return exchange(url, headers={"accept": "*/*"})


def post_json(url: str, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Post a value as JSON."""
    common = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
    }
    return exchange(
        url, method="POST", headers={**common, **(headers or {})}, body=msgspec.json.encode(value)
    )
