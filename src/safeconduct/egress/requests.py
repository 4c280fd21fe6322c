"""URLs and requests, checked and written as the bytes of one HTTP/1.1 request.

A request is exactly one request: fields that frame a message or belong to the connection are
ours alone, and no value can start a line of its own (RFC 9112 section 11.1, 11.2).
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, urlsplit

from safeconduct.core.errors import Code, Refused
from safeconduct.egress.addresses import literal

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_URL = 2048
_MAX_BELOW = 8 * 1024
_MAX_NAMES = 1024
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
# A path and a query as they are sent (RFC 3986 sections 3.3 and 3.4).
_BELOW = re.compile(
    rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
    rb"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)
_LABELS = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = bytes([*range(9), *range(10, 32), 127])

# HEAD and CONNECT change how a response is framed; nobody here needs them.
_METHODS = {name: name.encode() for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

_OURS = frozenset(
    {
        b"accept-encoding",
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"user-agent",
    }
)


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454 section 4); connections are shared within one.

    `host` is a name, or an address without brackets.
    """

    tls: bool
    host: str
    port: int


class Target(NamedTuple):
    """A URL, taken apart once.

    `tail` is everything of a request's head that depends on the URL alone, from the space
    after the method on.
    """

    origin: Origin
    tail: bytes


def below(target: Target, rest: bytes) -> Target:
    """Return the target whose path goes on with more of a path, and a query.

    Raises:
        Refused: If what is to follow is not written as it is sent, or the target has a query.
    """
    _, resource, tail = target.tail.split(b" ", 2)
    if len(rest) > _MAX_BELOW or not _BELOW.fullmatch(rest) or b"?" in resource:
        raise Refused(Code.INVALID_MESSAGE, "this path is not sent to upstream servers")
    return Target(target.origin, b" %b%b %b" % (resource.rstrip(b"/"), rest, tail))


def parse_url(url: str) -> Target:
    """Take an absolute http or https URL apart.

    Raises:
        ValueError: If the URL is of another kind, carries credentials or a fragment, or could
            be read in two ways. The message holds nothing of the URL.
    """
    if len(url) > _MAX_URL or not _PRINTABLE.fullmatch(url) or "\\" in url or "#" in url:
        raise ValueError("the URL holds characters that do not belong into one")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("the URL is neither http nor https")
    if "@" in parts.netloc:
        raise ValueError("the URL carries credentials")
    origin = _origin(parts)
    path = parts.path or "/"
    resource = f"{path}?{parts.query}" if parts.query else path
    tail = (
        f" {resource} HTTP/1.1\r\nhost: {_authority(origin)}\r\n"
        "user-agent: safeconduct\r\naccept-encoding: identity\r\n"
    )
    return Target(origin, tail.encode("ascii"))


def _origin(parts: SplitResult) -> Origin:
    tls = parts.scheme == "https"
    host = parts.hostname or ""
    address = literal(host)
    if address is None and (len(host) > 253 or not _LABELS.fullmatch(host)):
        raise ValueError("the URL's host is not a name")
    port = parts.port
    if port is None:
        port = 443 if tls else 80
    if port == 0:
        raise ValueError("the URL's port is zero")
    return Origin(tls, address or host, port)


def _authority(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    default = 443 if origin.tls else 80
    return host if origin.port == default else f"{host}:{origin.port}"


class Fields:
    """A caller's header fields as the lines they are sent as, checked when they are made.

    They hold nothing of a target, so whoever sends the same ones again may keep them.
    """

    __slots__ = ("lines",)

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Check fields and write them.

        Raises:
            Refused: If a field is not the caller's to send, or a name or value holds what must
                not be in it.
        """
        parts: list[bytes] = []
        for name, value in headers:
            parts += (_start(name), value, b"\r\n")
        self.lines = b"".join(parts)
        line_ends = 2 * (len(parts) // 3)
        # One pass over all values: the only control characters left are our own line ends.
        if len(self.lines) - len(self.lines.translate(None, _CONTROLS)) != line_ends:
            raise Refused(Code.INVALID_MESSAGE, "a header value holds a control character")


def write(
    target: Target, method: str, headers: Fields | Iterable[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """Return the whole request.

    Raises:
        Refused: If the method is not one of ours, or a field cannot be sent.
    """
    verb = _METHODS.get(method)
    if verb is None:
        raise Refused(Code.METHOD_NOT_ALLOWED, "this method is not sent to upstream servers")
    lines = headers.lines if isinstance(headers, Fields) else Fields(headers).lines
    if body or method in _METHODS_WITH_BODY:
        length = b"content-length: %d\r\n\r\n" % len(body)
        return b"".join((verb, target.tail, lines, length, body))
    return b"".join((verb, target.tail, lines, b"\r\n"))


@functools.lru_cache(maxsize=_MAX_NAMES)  # the same few names, again and again
def _start(name: bytes) -> bytes:
    """Return how the line of a field with this name starts.

    Raises:
        Refused: If the name is none, or one of ours.
    """
    if not _TOKEN.fullmatch(name):
        raise Refused(Code.INVALID_MESSAGE, "a header name is not a token")
    if name.lower() in _OURS:
        raise Refused(Code.INVALID_MESSAGE, "this header is not the caller's to send")
    return name + b": "
