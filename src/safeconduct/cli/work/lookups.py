"""Finds people and agents by what their administrators know: an address, a name, an id."""

from __future__ import annotations

from safeconduct.cli.failures import Failed
from safeconduct.cli.work.installations import Desk
from safeconduct.core.model import ClientId
from safeconduct.oauth import Client, every_client
from safeconduct.settings import suggestion


async def agents_called(desk: Desk, called: str) -> list[Client]:
    """Return the agent of an id, or all that go by a name: a name is nobody's alone.

    Raises:
        Failed: If the host knows none, with the nearest.
    """
    async with desk.parts.database.read() as tx:
        known = await every_client(tx, desk.host.key)
    found = [each for each in known if each.id == ClientId(called)]
    found = found or [each for each in known if each.name.casefold() == called.casefold()]
    if not found:
        near = suggestion(called, [text for each in known for text in (each.name, each.id)])
        raise Failed(
            f"Host {desk.host.key} knows no agent by that id or name{near or '.'} "
            "See: safeconduct agents list"
        )
    return found


async def agent_called(desk: Desk, called: str) -> Client:
    """Return the one agent of an id or a name.

    Raises:
        Failed: If there is none, or several of that name.
    """
    found = await agents_called(desk, called)
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise Failed(
            f"{len(found)} agents go by that name; nothing was changed. Name one by its id: {ids}"
        )
    return found[0]
