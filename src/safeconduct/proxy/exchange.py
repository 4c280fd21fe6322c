"""One HTTP request to the MCP endpoint and its answer, without any web framework."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

import msgspec

from safeconduct.core.model import ServerKey, Value
from safeconduct.hosts import Host
from safeconduct.proxy.claims import Claim
from safeconduct.proxy.eras import Headers

STREAM_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)


class Head(NamedTuple):
    """What a request says before its body; the same bytes always say the same.

    Attributes:
        server: The server named by the path, or None for the host's common endpoint.
        published: The path in the form in which it is published, as tokens are issued for it.
        typed: The path as the client typed it, for the metadata document's address.
        suggestion: The query beside it that suggests a server, with its question mark, or "".
        verb: The HTTP method.
        claim: Whom it claims to come from.
    """

    server: ServerKey | None
    published: str
    typed: str
    suggestion: str
    verb: str
    headers: Headers
    claim: Claim


class Exchange(msgspec.Struct, frozen=True):
    """What came in: what the head says, see `Head`, and the rest.

    Attributes:
        id: Names this exchange in records.
        began: `time.perf_counter()` at the first byte.
    """

    server: ServerKey | None
    published: str
    typed: str
    suggestion: str
    verb: str
    headers: Headers
    claim: Claim
    id: str
    host: Host
    body: bytes
    ip: str
    began: float


class Answer(Value, frozen=True):
    """What goes out: whole, or as a stream whose closing must be awaited."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | AsyncGenerator[bytes] = b""


def raw_body(answer: Answer) -> bytes:
    """Return the body of an answer that is whole; a stream has none yet."""
    return answer.body if isinstance(answer.body, bytes) else b""
