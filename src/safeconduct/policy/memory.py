"""Answers that need not be computed again: the same input gets the same answer.

The same of what the rules read, that is (`reading`): a fact that changed makes another key, and
so does another value of an attribute. What failed is not in here, so the next call tries again.
"""

from __future__ import annotations

import re
from collections import OrderedDict

import msgspec

from safeconduct.core.decision import Decision
from safeconduct.policy.facts import Environment, Input
from safeconduct.policy.reading import Reads

MOST = 4096
LONGEST = 4096
_UNDOUBTED = 250  # bytes; an engine refuses numbers of 309 digits, and what is 126 deep
_DEPTH = 64
_STRIDE = 32
_DIGITS = re.compile(rb"[0-9]{9}")
_ENCODER = msgspec.json.Encoder()


class Memory:
    """What the rules of one engine answered, by the bytes of all that they could read.

    Attributes:
        held: Decisions that no call has been put into yet: without id, basis and arguments.
    """

    def __init__(self, reads: Reads | None) -> None:
        """Start empty.

        Args:
            reads: What the answers depend on; without it nothing is ever remembered.
        """
        self._reads = reads
        self.held: OrderedDict[bytes, Decision] = OrderedDict()

    def key(self, given: Input, environment: Environment) -> bytes:
        """Return what the rules can read of an input, or b"" where its answer is not for here.

        Each part ends where JSON says it does, so two inputs never run into one another.
        """
        reads = self._reads
        if reads is None:
            return b""
        key = given.settled
        if reads.environment:
            key += _ENCODER.encode([getattr(environment, name) for name in reads.environment])
        if reads.arguments:
            key += given.arguments
        elif len(given.arguments) > _UNDOUBTED and _doubtful(given.arguments):
            return b""
        return key if len(key) <= LONGEST else b""

    def keep(self, key: bytes, decision: Decision) -> None:
        """Remember an answer; the oldest makes room."""
        if key:
            self.held[key] = decision
            if len(self.held) > MOST:
                self.held.popitem(last=False)


def _doubtful(arguments: bytes) -> bool:
    """Tell whether arguments that nobody reads might still be more than an engine takes.

    Errs to that side. A number of 309 digits shows in at least nine samples in a row.
    """
    if arguments.count(b"[") + arguments.count(b"{") > _DEPTH:
        return True
    return _DIGITS.search(arguments[::_STRIDE]) is not None
