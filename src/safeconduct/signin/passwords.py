"""Passwords: hashed with Argon2id, in threads, few at a time.

Verifying costs the same whether or not there is anything to verify against, so time does
not tell which people exist. Passwords are compared in Unicode form NFKC, so that the same
keys on two keyboards are the same password (NIST SP 800-63B section 3.1.1.2).
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import Value

P = ParamSpec("P")
T = TypeVar("T")

# OWASP Password Storage Cheat Sheet, Argon2id: 19 MiB, two passes, one lane.
_MEMORY_KIB = 19 * 1024
_PASSES = 2
_LANES = 1

LONGEST_BYTES = 1024  # more is not a password but an attempt to keep us busy
_AT_ONCE = 2  # each costs a core and 19 MiB
_MOST_WAITING = 64


class Verdict(Value, frozen=True):
    """What came of comparing a password.

    Attributes:
        matches: Whether the password is the one that was hashed.
        replacement: A new hash to store, when the old one has outdated parameters.
    """

    matches: bool
    replacement: str | None = None


class Passwords:
    """Makes and checks password hashes."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(
            time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES, type=Type.ID
        )
        self._nobody = self._hasher.hash(secrets.token_hex())
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return the form in which a password is stored.

        Raises:
            Refused: If the password is too long, or too many others are waiting.
        """
        text = _prepared(password)
        if text is None:
            raise Refused(Code.INVALID_PARAMS, "That password is too long.")
        return await self._in_turn(self._hasher.hash, text)

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """Compare a password with a stored hash; without one, take as long and say no.

        Raises:
            Refused: If too many others are waiting.
        """
        text = _prepared(password)
        if stored is None or text is None:
            await self._in_turn(self._compare, self._nobody, "")
            return Verdict(matches=False)
        return await self._in_turn(self._compare, stored, text)

    def _compare(self, stored: str, text: str) -> Verdict:
        try:
            self._hasher.verify(stored, text)
        except (VerificationError, InvalidHashError):
            return Verdict(matches=False)
        if self._hasher.check_needs_rehash(stored):
            return Verdict(matches=True, replacement=self._hasher.hash(text))
        return Verdict(matches=True)

    async def _in_turn(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._waiting >= _MOST_WAITING:
            raise Refused(Code.THROTTLED, "Too many people are signing in. Try again shortly.")
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work, *args, **kwargs)
        finally:
            self._waiting -= 1


def _prepared(password: str) -> str | None:
    """Return the form that is hashed, or None if no password of ours looks like this."""
    if len(password) > LONGEST_BYTES:
        return None
    text = unicodedata.normalize("NFKC", password)
    return text if len(text.encode("utf-8", "surrogatepass")) <= LONGEST_BYTES else None
