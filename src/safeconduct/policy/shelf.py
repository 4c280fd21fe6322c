"""The bundles in force, in memory: read and verified with the hosts, before a host counts.

What is missing or was altered is not on the shelf, and whoever asks for it denies. It is tried
again whenever the hosts are read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from safeconduct.core.model import HostId
from safeconduct.policy.content import OwnRules
from safeconduct.policy.rego import BundleError
from safeconduct.policy.signing import Signer
from safeconduct.policy.store import PENDING, load
from safeconduct.storage import Read

_Key = tuple[HostId, str]
_log = logging.getLogger(__name__)


class Shelf:
    """Each host's own rules by the name of their bundle."""

    def __init__(self, signer: Signer) -> None:
        self.signer = signer
        self._current: dict[_Key, OwnRules] = {}
        self._earlier: dict[_Key, OwnRules] = {}
        self._said: set[_Key] = set()

    async def fill(self, tx: Read, active: Iterable[tuple[HostId, str]]) -> None:
        """Read what is in force and not here yet; forget what has not been for a while."""
        before = {**self._earlier, **self._current}
        after: dict[_Key, OwnRules] = {}
        for host, digest in active:
            if not digest:
                continue  # the built-in rules alone
            rules = before.get((host, digest)) or await self._read(tx, host, digest)
            if rules is not None:
                after[host, digest] = rules
        # Whoever still has the hosts of a moment ago finds what they decide by.
        self._earlier, self._current = self._current, after

    def of(self, host: HostId, digest: str) -> OwnRules:
        """Return the rules of a bundle.

        Raises:
            LookupError: If there is no such bundle that can be trusted.
        """
        if not digest:
            return OwnRules()
        key = (host, digest)
        return self._current[key] if key in self._current else self._earlier[key]

    async def _read(self, tx: Read, host: HostId, digest: str) -> OwnRules | None:
        key = (host, digest)
        try:
            rules = (await load(tx, host, digest, signer=self.signer)).rules
        except BundleError as error:
            if key not in self._said and digest != PENDING:
                self._said.add(key)
                _log.error(
                    "host %s: bundle %s cannot be used (%s): everything is refused until it is "
                    "whole again. Apply the configuration, or go back: safeconduct policy rollback",
                    host,
                    digest[:12],
                    error.public,
                )
            return None
        self._said.discard(key)
        return rules
