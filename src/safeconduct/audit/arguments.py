"""Arguments as a record may carry them: sealed, so that a decision can be computed again.

The trail shows shapes and digests to whoever may read it. Whoever also holds the installation's
key can open the arguments, for that one purpose; they are bound to their host and nothing else
opens them.
"""

from __future__ import annotations

from safeconduct.core.model import HostId
from safeconduct.core.secrets import Sealer, SealError

MOST_BYTES = 64 * 1024  # of arguments as JSON; above it a record would be little else


class SealedArguments:
    """Seals the arguments of calls, and opens them again."""

    def __init__(self, root_key: bytes) -> None:
        self._root_key = root_key
        self._sealers: dict[HostId, Sealer] = {}

    def sealed_json(self, host: HostId, arguments: bytes) -> str:
        """Seal arguments that are JSON, as they stand in the input of a decision.

        How many are kept says `Keeping`.
        """
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
