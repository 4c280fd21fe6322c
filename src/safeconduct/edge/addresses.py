"""Where a request comes from: the peer's address, or what trusted proxies say of it.

Addresses are compared in one spelling. Some gateways write ports (`198.51.100.8:50123`,
`[2001:db8::2]:443`), a socket for both families writes IPv4 as `::ffff:198.51.100.8`, and a
local one has a zone: what counts is the address alone.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
RawHeaders = Sequence[tuple[bytes, bytes]]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_IPV6_PREFIX = 64  # what one subscriber usually gets
# A zone is a matter of the machine that wrote it; behind `%25` where it was taken from a URL.
_WITH_PORT = re.compile(
    r"\[([0-9A-Fa-f:.]+)(?:%[0-9A-Za-z._~%-]{1,64})?\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}"
)
_MOST_COMPLAINTS = 100  # of different proxies; there are few, and they are the operator's
_SHOWN = 80
_log = logging.getLogger(__name__)


class ClientAddresses:
    """Reads the addresses of clients behind the proxies that an operator trusts."""

    def __init__(self, trusted_proxies: tuple[Network, ...] = ()) -> None:
        self._trusted_proxies = trusted_proxies
        self._complained: set[str] = set()

    def of(self, peer: str, headers: RawHeaders) -> str:
        """Return the client's address: the peer's, or what trusted proxies say of it."""
        peer = _spelled(peer)
        if not self._trusted_proxies or not self.trusts(peer):
            return peer
        stated = [
            part
            for name, value in headers
            if name == b"x-forwarded-for"
            for part in map(str.strip, value.decode("latin-1").split(","))
            if part  # empty elements count for nothing (RFC 9110 section 5.6.1.2)
        ]
        for text in reversed(stated):  # the nearest stranger is the client
            address = _stated(text)
            if address is None:
                self._complain(peer, text)
                return peer
            if not self.trusts(address):
                return address
            peer = address
        return peer

    def trusts(self, address: str) -> bool:
        """Say whether an address is that of a trusted proxy."""
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._trusted_proxies)

    def _complain(self, proxy: str, text: str) -> None:
        """Tell the operator once of each proxy that states what is no address."""
        if proxy in self._complained or len(self._complained) >= _MOST_COMPLAINTS:
            return
        self._complained.add(proxy)
        _log.warning(
            "the trusted proxy %s states a client address that cannot be read: %r. Its own address "
            "is written down instead, and its requests are counted by no limit per address. Let it "
            "send X-Forwarded-For with addresses, or take it off server.trusted_proxies.",
            proxy,
            text[:_SHOWN],
        )


def subscriber(address: str) -> str:
    """Return what stands for one subscriber: an IPv4 address, or an IPv6 network."""
    if ":" not in address:
        return address
    parsed = _parsed(address)
    if parsed is None:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))


def is_loopback(address: str) -> bool:
    parsed = _parsed(address)
    return parsed is not None and parsed.is_loopback


def _stated(text: str) -> str | None:
    """Return the address in an element of X-Forwarded-For, or None if there is none."""
    found = _WITH_PORT.fullmatch(text)
    parsed = _parsed(text if found is None else found[1] or found[2])
    return None if parsed is None else str(parsed)


def _spelled(address: str) -> str:
    parsed = _parsed(address) if ":" in address else None
    return address if parsed is None else str(parsed)


def _parsed(address: str) -> _Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
