"""Arguments as a record may carry them: sealed, so that a decision can be computed again.

The trail shows shapes and digests to whoever may read it. Whoever also holds the installation's
key can open the arguments, for that one purpose; they are bound to their host and nothing else
opens them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from safeconduct.core.model import HostId
from safeconduct.core.secrets import Sealer, SealError

MOST_BYTES = 64 * 1024
_ENCODER = msgspec.json.Encoder()


class SealedArguments:
    """Seals the arguments of calls, and opens them again."""

    def __init__(self, root_key: bytes) -> None:
        self._root_key = root_key
        self._sealers: dict[HostId, Sealer] = {}

    def sealed(self, host: HostId, arguments: Mapping[str, Any] | None) -> str | None:
        """Seal arguments as they stand in the input of a decision.

        Returns:
            None if there are none, or if they are larger than a record should be: such a
            decision cannot be computed again.
        """
        if not arguments:
            return None
        try:
            return self.sealed_json(host, _ENCODER.encode(arguments))
        except (ValueError, TypeError):
            return None  # no JSON: the decision on them was a deny

    def sealed_json(self, host: HostId, arguments: bytes) -> str | None:
        """Seal arguments that are JSON already; see `sealed`."""
        if len(arguments) > MOST_BYTES:
            return None
        sealer = self._sealers.get(host) or self._of(host)
        return sealer.seal(arguments, bound_to=host.encode())

    def opened(self, host: HostId, sealed: str) -> bytes:
        """Return the arguments as JSON.

        Raises:
            SealError: If the text was changed, is another host's or of another installation.
        """
        return self._of(host).open(sealed, bound_to=host.encode())

    def _of(self, host: HostId) -> Sealer:
        sealer = self._sealers.get(host)
        if sealer is None:
            sealer = self._sealers[host] = Sealer(self._root_key, purpose=f"audit-arguments {host}")
        return sealer


__all__ = ["SealError", "SealedArguments"]
