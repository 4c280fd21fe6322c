"""Audiences: which MCP endpoint of a host a token is for (RFC 8707). Pure.

Each server has its own address, `{origin}/mcp/{server}`; `{origin}/mcp` is the one where the
person chooses. Texts are compared, never resolved: `/mcp/../x` or another port is another
audience.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from safeconduct.core.forms import form_pairs
from safeconduct.core.model import ServerKey, Value
from safeconduct.hosts import Host
from safeconduct.oauth.refusals import OAuthRefused

_URL = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#@\\\s]+)(?P<path>[^?#\\\s]*)"
    r"(?:\?(?P<query>[^#\s]*))?"
)
_SERVER = re.compile(r"/mcp/(?P<key>[A-Za-z0-9._-]{1,63})")
_EVERY = "/mcp"
_PRESELECTION = "upstream_mcp"


class Audience(Value, frozen=True):
    """One MCP endpoint.

    Attributes:
        resource: Its address as published, without a trailing slash.
        server: The server it is fixed to, or None where the person chooses.
        upstream: Address of the server to suggest, as the client wrote it; prove nothing by it.
    """

    resource: str
    server: ServerKey | None = None
    upstream: str | None = None


def every(host: Host) -> Audience:
    """Return the endpoint at which the person chooses."""
    return Audience(resource=host.url(_EVERY))


def of_server(host: Host, server: ServerKey) -> Audience:
    return Audience(resource=host.url(f"{_EVERY}/{server}"), server=server)


def read(host: Host, text: str) -> Audience | None:
    """Read one `resource`; whether its server exists is the caller's question.

    Scheme and host may be in upper case and the path may end with a slash, because clients
    do that (RFC 3986 section 6.2.2.1); nothing else is forgiven.
    """
    found = _URL.fullmatch(text)
    if found is None or not text.isascii():
        return None
    origin = f"{found['scheme']}://{found['authority']}".lower()
    if origin != host.origin:
        return None
    path = found["path"].removesuffix("/")
    if path == _EVERY:
        return _choosing(host, found["query"])
    server = _SERVER.fullmatch(path)
    if server is None or found["query"] is not None:
        return None
    return of_server(host, ServerKey(server["key"]))


def only(host: Host, texts: Iterable[str]) -> Audience | None:
    """Read every `resource` of a request, which must all name one audience.

    Returns:
        The audience, or None when the request names none.

    Raises:
        OAuthRefused: With `invalid_target`, for an address that is not ours or for several.
    """
    chosen: Audience | None = None
    for text in texts:
        audience = read(host, text)
        if audience is None:
            raise unknown()
        if chosen is not None and chosen.resource != audience.resource:
            raise OAuthRefused("invalid_target", "one request may name one resource only")
        chosen = audience
    return chosen


def unknown() -> OAuthRefused:
    return OAuthRefused("invalid_target", "the resource is not an MCP endpoint of this host")


def _choosing(host: Host, query: str | None) -> Audience | None:
    if query is None:
        return every(host)
    try:
        pairs = form_pairs(query.encode(), most=4)
    except ValueError:
        return None
    match pairs:
        case [(name, upstream)] if name == _PRESELECTION and upstream:
            return Audience(resource=host.url(_EVERY), upstream=upstream)
        case _:
            return None
