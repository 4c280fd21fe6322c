"""Calls that wait for an operator's yes, sealed as they were asked about.

Kept beside the request: what the call says, for those who decide about it, and the members of
`_meta` that are not the protocol's own, for with a yes these go to the server and no others. Each
is bound to its host and its request, and opens nowhere else. What is too large to be kept can be
shown to nobody, so nobody can say yes to it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from safeconduct.core.model import HostId, Value
from safeconduct.core.secrets import Sealer, SealError

MOST_BYTES = 256 * 1024


class TooLargeToShow(ValueError):
    """A call is larger than what is kept of one.

    Attributes:
        size: Its size in bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class AskedCall(Value, frozen=True):
    """What was asked about.

    Attributes:
        params: The parameters but for `_meta`.
        meta: Members of `_meta` that are not the protocol's own.
    """

    params: dict[str, Any] = {}
    meta: dict[str, Any] = {}


class SealedCalls:
    """Seals calls, and opens them again."""

    def __init__(self, root_key: bytes) -> None:
        self._root_key = root_key
        self._sealers: dict[HostId, Sealer] = {}

    def seal(self, host: HostId, approval: str, call: AskedCall) -> str:
        """Seal a call.

        Raises:
            TooLargeToShow: If it is larger than what is kept of one.
        """
        plain = msgspec.json.encode(call)
        if len(plain) > MOST_BYTES:
            raise TooLargeToShow(len(plain))
        return self._of(host).seal(plain, bound_to=_bound(host, approval))

    def open(self, host: HostId, approval: str, sealed: str | None) -> AskedCall | None:
        """Return the call; None if nothing was kept, or not by this installation."""
        if sealed is None:
            return None
        try:
            plain = self._of(host).open(sealed, bound_to=_bound(host, approval))
            return msgspec.json.decode(plain, type=AskedCall)
        except (SealError, msgspec.MsgspecError):
            return None

    def _of(self, host: HostId) -> Sealer:
        sealer = self._sealers.get(host)
        if sealer is None:
            sealer = self._sealers[host] = Sealer(self._root_key, purpose=f"approvals {host}")
        return sealer


def _bound(host: HostId, approval: str) -> bytes:
    return f"{host}\0{approval}".encode()
