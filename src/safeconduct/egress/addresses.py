"""Which network addresses the gateway may connect to.

Pure: an address in, yes or no out. Both ways out (the upstream transport and the document
fetcher) ask here after a name was resolved and connect to the very address that was judged,
so that a second answer of the DNS cannot change the destination.

Default is the public internet only. The tables are the IANA special-purpose registries
(RFC 6890), spelled out here because the standard library's differ between patch releases.
"""

from __future__ import annotations

from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

from safeconduct.core.model import Value

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What an operator may open for servers on the company's own network: RFC 1918, RFC 4193 and
# the shared space of RFC 6598 that overlay networks use.
_PRIVATE: tuple[Network, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),
    IPv6Network("fc00::/7"),
)

_LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

# Never, whatever the switches say. The single hosts are cloud metadata and control services
# that hide in otherwise private or even global space.
_NEVER: tuple[Network, ...] = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.0.2.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("198.18.0.0/15"),
    IPv4Network("198.51.100.0/24"),
    IPv4Network("203.0.113.0/24"),
    IPv4Network("224.0.0.0/4"),
    IPv4Network("240.0.0.0/4"),
    IPv4Network("100.100.100.200/32"),
    IPv4Network("168.63.129.16/32"),
    IPv6Network("fd00:ec2::/32"),
    IPv6Network("fd20:ce::/32"),
)

# IPv6 is allowed from the one block that is assigned (RFC 3513 global unicast), less these.
_IPV6_ASSIGNED = IPv6Network("2000::/3")
_IPV6_NEVER: tuple[IPv6Network, ...] = (
    IPv6Network("2001::/23"),  # protocol assignments, Teredo and ORCHID among them
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
)
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")


class Reach(Value, frozen=True):
    """How far a connection may go.

    Attributes:
        allow_loopback: This machine; for development and tests.
        allow_private: The company's network; only for servers an operator approved, never for
            addresses learned from somebody's metadata.
    """

    allow_loopback: bool = False
    allow_private: bool = False

    def permits(self, address: str) -> bool:
        """Whether a connection to this address, given as text, may be made."""
        judged = _plain(address)
        if judged is None or _in(judged, _NEVER):
            return False
        return self.is_local(address) or _is_global(judged)

    def is_local(self, address: str) -> bool:
        """Whether the address is one that a switch, and not the public internet, lets in.

        Only there may a connection be without TLS.
        """
        judged = _plain(address)
        if judged is None or _in(judged, _NEVER):
            return False
        return (self.allow_loopback and _in(judged, _LOOPBACK)) or (
            self.allow_private and _in(judged, _PRIVATE)
        )


def literal(host: str) -> str | None:
    """Return the address a URL's host part spells, or None where it is a name.

    Raises:
        ValueError: If the host is an address in a spelling that readers disagree about:
            decimal, octal, hexadecimal or short IPv4, or IPv6 with a zone.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("an address with a zone is not used here")
        return str(IPv6Address(host))
    last = host.rstrip(".").rpartition(".")[2].lower()
    if not (last.isdigit() or _is_hexadecimal(last)):
        return None
    return str(IPv4Address(host))


def _is_hexadecimal(label: str) -> bool:
    digits = label.removeprefix("0x")
    return digits != label and all(digit in "0123456789abcdef" for digit in digits)


def _plain(address: str) -> Address | None:
    """Return the address that is really reached, unwrapped, or None if there is no saying.

    IPv4-mapped addresses are the IPv4 address. Translated and tunnelled ones (NAT64, 6to4)
    leave this machine, so what they embed must itself be global.
    """
    if "%" in address:
        return None
    try:
        judged = ip_address(address)
    except (AddressValueError, ValueError):
        return None
    if isinstance(judged, IPv4Address):
        return judged
    if judged.ipv4_mapped is not None:
        return judged.ipv4_mapped
    embedded = None
    if judged in _NAT64:
        embedded = IPv4Address(int(judged) & 0xFFFFFFFF)
    elif judged in _SIX_TO_FOUR:
        embedded = judged.sixtofour
    if embedded is None:
        return judged
    return embedded if _is_global(embedded) and not _in(embedded, _NEVER) else None


def _is_global(address: Address) -> bool:
    if _in(address, _NEVER) or _in(address, _PRIVATE) or _in(address, _LOOPBACK):
        return False
    if isinstance(address, IPv6Address):
        return address in _IPV6_ASSIGNED and not _in(address, _IPV6_NEVER)
    return address.is_global


def _in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
