"""Whether a host name can only mean this machine: judged by its spelling, never resolved.

The settings and whoever connects ask here, so that what one lets pass the other does too.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address


def is_this_machine(host: str) -> bool:
    """Say whether a URL's host part is `localhost` or a loopback address in its usual spelling."""
    if host.lower() == "localhost":
        return True
    if "%" in host:
        return False  # an address with a zone is not used here
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
