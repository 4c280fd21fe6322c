"""Answers that need not be computed again: the same input gets the same answer.

The same of what the rules read, that is (`reading`): a fact that changed makes another key, and
so does another value of an attribute. What failed is not in here, so the next call tries again.
"""

from __future__ import annotations

import re
from collections import OrderedDict

import msgspec

from safeconduct.core.decision import Decision
from safeconduct.core.json_outline import depth_of, outline_of
from safeconduct.policy.facts import Environment, Input, ToolFacts
from safeconduct.policy.reading import Reads

MOST = 4096
MOST_LISTS = 64
MOST_ITEMS = 1000  # of a list that is remembered; a name is up to 2,048 characters
LONGEST = 4096
_UNDOUBTED = 250  # bytes; an engine refuses numbers of 309 digits, and what is 126 deep
_DEPTH = 64
_STRIDE = 32
_DIGITS = re.compile(rb"[0-9]{9}")
_LONG_NUMBER = b"9" * 300
_NINES = bytes(0x39 if byte in b"0123456789" else byte for byte in range(256))
_ENCODER = msgspec.json.Encoder()
Items = tuple[tuple[str, ToolFacts], ...]  # the names in a list, each with what is known of it


class Memory:
    """What the rules of one engine answered, by the bytes of all that they could read.

    Attributes:
        held: Decisions that no call has been put into yet: without id, basis and arguments.
        lists: Which items of a list may be shown, by what all of them share and what differs.
    """

    def __init__(self, reads: Reads | None) -> None:
        """Start empty.

        Args:
            reads: What the answers depend on; without it nothing is ever remembered.
        """
        self._reads = reads
        self.held: OrderedDict[bytes, Decision] = OrderedDict()
        self.lists: OrderedDict[tuple[bytes, Items], tuple[bool, ...]] = OrderedDict()

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
        elif _doubtful(given.arguments):
            return b""
        return key if len(key) <= LONGEST else b""

    def readable(self, given: Input) -> bytes:
        """Return the input without arguments that no rule reads: nobody waits for those."""
        if self._reads is None or self._reads.arguments or _doubtful(given.arguments):
            return given.document
        return Input(given.settled, given.basis, b"{}").document

    def keep_list(self, key: bytes, items: Items, shown: tuple[bool, ...]) -> None:
        """Remember which items of a list may be shown; the oldest makes room."""
        if key and len(items) <= MOST_ITEMS:
            self.lists[key, items] = shown
            if len(self.lists) > MOST_LISTS:
                self.lists.popitem(last=False)

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
    if len(arguments) <= _UNDOUBTED:
        return False
    brackets = arguments.count(b"[") + arguments.count(b"{")
    if brackets > _DEPTH and depth_of(outline_of(arguments)) > _DEPTH:
        return True
    if _DIGITS.search(arguments[::_STRIDE]) is None:
        return False
    return _LONG_NUMBER in arguments.translate(_NINES)
