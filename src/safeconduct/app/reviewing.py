"""What operators review of servers, for commands and the API alike: one act, one record."""

from __future__ import annotations

from safeconduct.audit import Event, Trail
from safeconduct.core.errors import Code, Refused
from safeconduct.core.model import HostId, ServerKey
from safeconduct.storage import Database
from safeconduct.upstreams import (
    Review,
    decide_review,
    find_review,
    list_reviews,
    lower_level,
    wanted,
)


class Reviews:
    """Shows what waits, and takes an operator's word on it."""

    def __init__(self, database: Database, trail: Trail) -> None:
        self._database = database
        self._trail = trail

    async def every(
        self, host: HostId, server: ServerKey | None = None, *, waiting: bool = True
    ) -> list[Review]:
        """Return what waits on a host or one of its servers, or everything that is pinned.

        Raises:
            Refused: NOT_FOUND if the host has no such server.
        """
        async with self._database.read() as tx:
            if server is not None and await wanted(tx, host, server) is None:
                raise Refused(Code.NOT_FOUND, "This host has no server of that key.")
            return await list_reviews(tx, host, server, everything=not waiting)

    async def one(self, host: HostId, server: ServerKey, kind: str, name: str) -> Review | None:
        async with self._database.read() as tx:
            return await find_review(tx, host, server, kind, name)

    async def decide(
        self,
        host: HostId,
        server: ServerKey,
        kind: str,
        name: str,
        *,
        digest: str,
        accept: bool,
        by: str,
    ) -> None:
        """Accept or refuse what waits, if it is still what was read; on record before it counts.

        Raises:
            NothingToDecide, Moved: See `upstreams.decide`.
        """
        async with self._database.write() as tx:
            await decide_review(tx, host, server, kind, name, digest=digest, accept=accept)
            self._trail.append(
                Event(
                    kind=f"{kind}.{'accepted' if accept else 'refused'}",
                    host=host,
                    server=server,
                    resource_kind=kind,
                    resource=name or None,
                    tool_hash=digest,
                    detail={"by": by},
                )
            )

    async def lower(self, host: HostId, server: ServerKey, tool: str, *, by: str) -> bool:
        """Let a tool have the lower level that waits; returns False if none does."""
        async with self._database.write() as tx:
            if not await lower_level(tx, host, server, tool):
                return False
            self._trail.append(
                Event(
                    kind="tool.level_lowered",
                    host=host,
                    server=server,
                    resource_kind="tool",
                    resource=tool,
                    detail={"by": by},
                )
            )
        return True
