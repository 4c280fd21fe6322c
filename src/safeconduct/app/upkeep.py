"""What one process of an installation does for all: reads servers when due, and listens to them."""

from __future__ import annotations

from safeconduct.app.listening import Listening
from safeconduct.app.sweeping import Sweeps
from safeconduct.storage import Leading


class Upkeep:
    """Does it for as long as this process leads, and leaves it to another one after that."""

    def __init__(self, leading: Leading, *, sweeps: Sweeps, listening: Listening) -> None:
        self._leading = leading
        self._sweeps = sweeps
        self._listening = listening

    async def look_around(self) -> None:
        """Begin what is due; waits for no server."""
        if await self._leading.is_ours():
            await self._sweeps.look_around()
            await self._listening.look_around()
        else:
            self._sweeps.forget()
            await self._listening.close()

    async def close(self) -> None:
        await self._listening.close()
        await self._sweeps.close()
        self._leading.close()
