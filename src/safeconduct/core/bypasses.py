"""What is reached without the forward proxy: names with all below them, addresses, networks.

One spelling each, so that a setting, the variable `NO_PROXY` and git mean the same. An address
is compared as one and a name as one: `10.0.0.0/8` covers no name, `corp.example` no address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from safeconduct.core.model import Value

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"\.?({_LABEL}\.)*{_LABEL}\.?")
_NUMERIC = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
_EVERYTHING = "*"

_WANTED = (
    "must be a name such as corp.example or .corp.example (both stand for the name and all below "
    "it), an address such as 10.1.2.3, or a network such as 10.0.0.0/8"
)


class Bypasses(Value, frozen=True):
    """What goes round the proxy.

    Attributes:
        names: In lower case, without dots at either end; `*` is everything.
        networks: An address is a network of one.
    """

    names: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    def cover(self, host: str) -> bool:
        """Whether a name or a literal address is reached directly."""
        if _EVERYTHING in self.names:
            return True
        address = _address(host)
        if address is not None:
            return any(address in each for each in self.networks)
        parts = host.lower().rstrip(".").split(".")
        return any(".".join(parts[at:]) in self.names for at in range(len(parts)))


def read_bypass(text: str) -> str:
    """Return a bypass in its one spelling.

    Raises:
        ValueError: With what to write instead.
    """
    lowered = text.strip().lower()
    network = _network(lowered)
    if network is not None:
        return str(network.network_address if network.num_addresses == 1 else network)
    if not _NAME.fullmatch(lowered) or _NUMERIC.fullmatch(lowered.rstrip(".")):
        raise ValueError(f"{_WANTED}{_hint(lowered)}")
    return lowered.strip(".")


def read_variable(words: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read `NO_PROXY`: returns what is understood, and what is not and so goes by the proxy.

    Other programs also write `*` and `*.corp.example`, which are understood here too.
    """
    understood, other = [], []
    for word in filter(None, map(str.strip, words.split(","))):
        try:
            bare = word[1:] if word.startswith("*.") else word
            understood.append(_EVERYTHING if word == _EVERYTHING else read_bypass(bare))
        except ValueError:
            other.append(word)
    return tuple(understood), tuple(other)


def bypasses_of(spelled: Iterable[str]) -> Bypasses:
    """Gather what the functions above returned."""
    known = [(each, _network(each)) for each in spelled]
    return Bypasses(
        names=frozenset(each for each, network in known if network is None),
        networks=tuple(network for _, network in known if network is not None),
    )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _hint(text: str) -> str:
    if text.startswith("*"):
        return "; a name covers all below it without '*'"
    if "://" in text:
        return "; leave out the scheme and what follows the name"
    if "/" in text:
        return "; a network has no bits set behind its length"
    if ":" in text:
        return "; it counts for every port, so leave the port out"
    return ""
