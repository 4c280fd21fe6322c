"""Shows live sessions and ends them, one by one or by what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from safeconduct import people, sessions
from safeconduct.cli.failures import Failed
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import Desk, at_desk, run
from safeconduct.cli.work.lookups import agent_called, agents_called
from safeconduct.cli.work.servers import no_server
from safeconduct.core.model import ClientId, ServerKey, SessionId
from safeconduct.sessions import Session

_REVOKED = "operator.revoked"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which sessions are meant."""

    session: str | None = None
    person: str | None = None
    agent: str | None = None
    server: str | None = None


def list_sessions(asked: Asked, choice: Choice) -> None:
    """Print the live sessions."""
    asked.out.rows(
        run(lambda: _listed(asked, choice)),
        *("id", "person", "agent", "server", "opened", "used"),
        nothing="No session is live.",
    )


def revoke(asked: Asked, choice: Choice) -> None:
    """End sessions with everything under them.

    Raises:
        Failed: If the choice is none that can be made, or nothing of the kind is live.
    """
    match choice:
        case Choice(session=str(), person=None, agent=None, server=None):
            said = "The session is ended."
        case Choice(session=None, person=str(), agent=None, server=None | str()):
            said = "Everything the person allowed is ended."
        case Choice(session=None, person=None, agent=str(), server=None):
            said = "Everything the agent was allowed is ended."
        case _:
            raise Failed("Name one session, or --person (with --server if you like), or --agent.")
    if choice.person is not None and choice.server is not None:
        said = "Everything the person allowed on this server is ended."
    ended = run(lambda: _ended(asked, choice))
    if not ended:
        raise Failed("Nothing of the kind is live; nothing was changed.")
    asked.out.sentence(said, ended=int(ended))


async def _listed(asked: Asked, choice: Choice) -> list[dict[str, Any]]:
    async with at_desk(asked) as desk:
        parts, host = desk.parts, desk.host.key
        await _check_server(desk, choice.server)
        who = None if choice.person is None else (await desk.person(choice.person)).id
        async with parts.database.read() as tx:
            emails = {each.id: each.email for each in await people.every(tx, host)}
            live = await sessions.live(
                tx,
                host,
                at=parts.clock.now(),
                subject=who,
                server=None if choice.server is None else ServerKey(choice.server),
            )
        if choice.agent is not None:
            live = await _of_agent(desk, live, choice.agent)
        return [
            {
                "id": session.id,
                "person": emails.get(session.subject, session.subject),
                "agent": session.client,
                "server": session.server,
                "opened": session.opened_at,
                "used": session.used_at,
                "ends": session.ends_at,
            }
            for session in live
        ]


async def _of_agent(desk: Desk, live: list[Session], called: str) -> list[Session]:
    """Return the sessions of an id, or of everything that goes by a name.

    Raises:
        Failed: If there are none, and the host knows no such agent either.
    """
    found = [each for each in live if each.client == ClientId(called)]
    if found:
        return found
    ids = {each.id for each in await agents_called(desk, called)}
    return [each for each in live if each.client in ids]


async def _check_server(desk: Desk, key: str | None) -> None:
    """Refuse the key of a server that the host has not: nothing could fit it.

    Raises:
        Failed: With the nearest one.
    """
    if key is not None and await desk.parts.catalogue.get(desk.host.key, ServerKey(key)) is None:
        raise await no_server(desk, key)


async def _ended(asked: Asked, choice: Choice) -> int:
    async with at_desk(asked) as desk:
        await _check_server(desk, choice.server)
        revocations, host = desk.parts.revocations, desk.host.key
        by = desk.by
        if choice.session is not None:
            session = SessionId(choice.session)
            return await revocations.end_session(host, session, by=by, because=_REVOKED)
        if choice.agent is not None:
            return await _end_agent(desk, choice.agent)
        return await _end_person(desk, str(choice.person), choice.server)


async def _end_agent(desk: Desk, called: str) -> int:
    """End what has an id; what has a name only once nothing has that id."""
    revocations, host = desk.parts.revocations, desk.host.key
    ended = await revocations.end_client(host, ClientId(called), by=desk.by, because=_REVOKED)
    if ended:
        return ended
    agent = await agent_called(desk, called)
    return await revocations.end_client(host, agent.id, by=desk.by, because=_REVOKED)


async def _end_person(desk: Desk, email: str, server: str | None) -> int:
    revocations, host = desk.parts.revocations, desk.host.key
    person = await desk.person(email)
    if server is None:
        return await revocations.end_person(host, person.id, by=desk.by, because=_REVOKED)
    return await revocations.end_access(
        host, person.id, ServerKey(server), by=desk.by, because=_REVOKED
    )
