"""How much of a decision its record keeps: all of it, unless somebody would fill the disk with it.

Every decision has its record, whatever it costs. What a caller chooses the size of (arguments,
and facts that repeat what was asked for) is kept whole as long as that is reasonable: what was
allowed up to a budget nobody reaches who works, what was refused up to a few kilobytes and a
small budget. Where something is left out the record says what and why, in `omitted`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from safeconduct.audit.arguments import MOST_BYTES, SealedArguments
from safeconduct.core.model import HostId

# Arguments below this cost no more than the rest of the record and are always kept.
_FREE_BYTES = 1024
_REFUSED_ARGUMENT_BYTES = 4 * 1024
_REFUSED_FACT_BYTES = 16 * 1024
_MOST_KEYS = 20_000
_KIB, _MIB = 1024, 1024 * 1024

TOO_LARGE, REFUSED, BUDGET = "too_large", "refused", "budget"


# What a record may hold: the arguments, sealed; what was decided on; and what is left out, by
# member: `too_large` for what is larger than a record should be, `refused` for what is too much
# for a refusal, `budget` for what was too much altogether. A plain tuple: each call makes one.
Kept = tuple[str | None, bytes, dict[str, str] | None]


class Budget:
    """Bytes that may be written for each of many, in a bucket that fills again."""

    def __init__(
        self, *, at_once: int, each_second: int, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._at_once = at_once
        self._each_second = each_second
        self._seconds = seconds
        self._taken: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()

    def take(self, who: tuple[str, ...], size: int) -> bool:
        """Take so many bytes if they are there."""
        now = self._seconds()
        taken, at = self._taken.pop(who, (0.0, now))
        taken = max(0.0, taken - max(0.0, now - at) * self._each_second)
        fits = taken + size <= self._at_once
        self._taken[who] = (taken + size if fits else taken, now)  # the last used last
        if len(self._taken) > _MOST_KEYS:
            self._taken.popitem(last=False)
        return fits


class Keeping:
    """Says what a record keeps of one decision. Counts are this process's own."""

    def __init__(
        self, arguments: SealedArguments, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._arguments = arguments
        self._allowed = Budget(at_once=64 * _MIB, each_second=_MIB, seconds=seconds)
        self._refused = Budget(at_once=_MIB, each_second=4 * _KIB, seconds=seconds)
        self._refused_at = Budget(at_once=4 * _MIB, each_second=16 * _KIB, seconds=seconds)

    def allowed(self, host: HostId, who: str, agent: str, arguments: bytes, facts: bytes) -> Kept:
        """Keep what was allowed.

        Args:
            who: The caller within the host, with `agent`.
            agent: Through which they came.
            arguments: As JSON, or b"" for none.
            facts: What was decided on, as JSON.
        """
        size = len(arguments)
        if not size:
            return None, facts, None
        if size > MOST_BYTES:
            return None, facts, _TOO_LARGE
        if size > _FREE_BYTES and not self._allowed.take((host, who, agent), size):
            return None, facts, _TOO_OFTEN
        return self._arguments.sealed_json(host, arguments), facts, None

    def refused(
        self,
        host: HostId,
        who: str,
        agent: str,
        arguments: bytes,
        facts: bytes,
        *,
        ip: str | None,
    ) -> Kept:
        """Keep a little of what was refused, and less of it for whom that happens all the time.

        Args:
            who: The caller within the host, with `agent`.
            agent: Through which they came.
            arguments: As JSON, or b"" for none.
            facts: What was decided on, as JSON.
            ip: The address, which several callers may share.
        """
        omitted = {}
        if len(arguments) > _REFUSED_ARGUMENT_BYTES:
            omitted["arguments"] = TOO_LARGE if len(arguments) > MOST_BYTES else REFUSED
            arguments = b""
        if len(facts) > _REFUSED_FACT_BYTES:
            omitted["facts"] = REFUSED
            facts = b""
        size = len(arguments) + len(facts)
        if not (
            self._refused.take((host, who, agent), size)
            and self._refused_at.take((ip or "",), size)
        ):
            if arguments:
                omitted["arguments"] = BUDGET
            if facts:
                omitted["facts"] = BUDGET
            arguments = facts = b""
        sealed = self._arguments.sealed_json(host, arguments) if arguments else None
        return sealed, facts, omitted or None


_TOO_LARGE = {"arguments": TOO_LARGE}
_TOO_OFTEN = {"arguments": BUDGET}
