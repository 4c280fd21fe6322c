"""Shows agents, keeps them out, lets them back."""

from __future__ import annotations

from collections import Counter
from typing import Any

from safeconduct import sessions
from safeconduct.audit import Event
from safeconduct.cli.failures import Failed
from safeconduct.cli.output import several
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import at_desk, run
from safeconduct.cli.work.lookups import agent_called
from safeconduct.oauth import every_client, set_blocked

_BLOCKED = "client.blocked"


def list_agents(asked: Asked) -> None:
    """Print the agents."""
    asked.out.rows(
        run(lambda: _listed(asked)),
        *("name", "kind", "blocked", "people", "sessions", "id"),
        nothing="No agent has made itself known yet.",
    )


def block(asked: Asked, client: str) -> None:
    """Keep an agent out."""
    ended = run(lambda: _switched(asked, client, blocked=True))
    asked.out.sentence(
        f"The agent is blocked; {several(ended, 'consent')} ended.",
        client=client,
        blocked=True,
        ended=ended,
    )


def unblock(asked: Asked, client: str) -> None:
    """Let an agent back."""
    run(lambda: _switched(asked, client, blocked=False))
    asked.out.sentence("The agent may ask for consent again.", client=client, blocked=False)


async def _listed(asked: Asked) -> list[dict[str, Any]]:
    async with at_desk(asked) as desk:
        parts, host = desk.parts, desk.host.key
        async with parts.database.read() as tx:
            clients = await every_client(tx, host)
            live = await sessions.live(tx, host, at=parts.clock.now())
        count = Counter(session.client for session in live)
        people = Counter(client for client, _ in {(each.client, each.subject) for each in live})
        return [
            {
                "id": client.id,
                "name": client.name,
                "kind": client.kind,
                "published_by": client.document_host,
                "redirect_uris": list(client.redirect_uris),
                "blocked": client.blocked,
                "people": people[client.id],
                "sessions": count[client.id],
            }
            for client in clients
        ]


async def _switched(asked: Asked, key: str, *, blocked: bool) -> int:
    async with at_desk(asked) as desk:
        parts, host = desk.parts, desk.host.key
        client = await agent_called(desk, key)
        if client.blocked == blocked:
            now = "blocked already" if blocked else "not blocked"
            raise Failed(f"This agent is {now}; nothing was changed.")
        parts.trail.append(
            Event(
                kind=_BLOCKED if blocked else "client.unblocked",
                host=host,
                client=client.id,
                client_name=client.name,
                detail={"by": desk.by},
            )
        )
        # First out, then the ending: whatever begins in between is refused already.
        async with parts.database.write() as tx:
            await set_blocked(tx, host, client.id, blocked=blocked)
        if not blocked:
            return 0
        return await parts.revocations.end_client(host, client.id, by=desk.by, because=_BLOCKED)
