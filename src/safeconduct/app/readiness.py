"""What `/readyz` says: asked often and by anybody, so it looks at most once a second.

Whoever asks has an answer within a second whatever the database does: a look that takes longer
goes on by itself, and counts as no answer until it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from safeconduct.app.building import Installation
from safeconduct.storage import StorageError
from safeconduct.upstreams import unreadable_servers

_FRESH_SECONDS = 1.0
_PATIENCE_SECONDS = 0.7
_CLOSE_SECONDS = 1.0
_NO_ANSWER = {"database": "it does not answer within a second"}

Problems = dict[str, str]


class Readiness:
    """Remembers for a moment what is not ready."""

    def __init__(self, look: Callable[[], Awaitable[Problems]]) -> None:
        """Take what looks: it returns what is not ready, by name, and nothing if all is."""
        self._look = look
        self._found: Problems = {}
        self._found_at: float | None = None
        self._looking: asyncio.Task[Problems] | None = None

    async def __call__(self) -> Problems:
        """Return what is not ready, as it was a moment ago."""
        loop = asyncio.get_running_loop()
        if self._found_at is not None and loop.time() - self._found_at < _FRESH_SECONDS:
            return self._found
        if self._looking is None:
            self._looking = loop.create_task(self._once())
        looking = self._looking
        done, _ = await asyncio.wait({looking}, timeout=_PATIENCE_SECONDS)
        return looking.result() if done else self._note(_NO_ANSWER)

    async def close(self) -> None:
        """Stop looking."""
        looking = self._looking
        if looking is not None:
            looking.cancel()
            await asyncio.wait({looking}, timeout=_CLOSE_SECONDS)

    async def _once(self) -> Problems:
        try:
            return self._note(await self._look())
        finally:
            self._looking = None

    def _note(self, found: Problems) -> Problems:
        self._found, self._found_at = found, asyncio.get_running_loop().time()
        return found


def readiness_of(parts: Installation) -> Readiness:
    """Look at the trail and the database of an installation."""

    async def look() -> Problems:
        problems = {}
        if reason := parts.trail.problem():
            problems["audit"] = f"the trail cannot be written: {reason}"
        if parts.lease.lapsed:
            problems["database"] = "it does not answer; requests are refused until it does"
            return problems
        try:
            await parts.database.catch_up()
        except (OSError, StorageError):
            problems["database"] = "the database does not answer"
        else:
            if reason := parts.database.problem():
                problems["database"] = f"nothing can be written: {reason}"
        return problems

    return Readiness(look)


def upstreams_of(parts: Installation) -> Readiness:
    """Look at the servers behind the gateway: those that could not be read when last asked."""

    async def look() -> Problems:
        try:
            async with parts.database.read() as tx:
                return await unreadable_servers(tx)
        except (OSError, StorageError):
            return {}  # that the database is away is said already

    return Readiness(look)
