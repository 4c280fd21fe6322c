"""Shows people, keeps them out, lets them back."""

from __future__ import annotations

from collections import Counter
from typing import Any

from safeconduct import people, sessions
from safeconduct.audit import Event
from safeconduct.cli.failures import Failed
from safeconduct.cli.output import several
from safeconduct.cli.work.asking import Asked
from safeconduct.cli.work.installations import at_desk, run

_SUSPENDED = "person.suspended"


def list_people(asked: Asked) -> None:
    """Print the people."""
    asked.out.rows(
        run(lambda: _listed(asked)),
        *("email", "name", "groups", "active", "ceilings", "sessions"),
        nothing="This host knows nobody yet.",
    )


def suspend(asked: Asked, email: str) -> None:
    """Keep a person out."""
    ended = run(lambda: _suspended(asked, email))
    asked.out.sentence(
        f"{email} is suspended; {several(ended, 'consent')} ended.",
        email=email,
        active=False,
        ended=ended,
    )


def restore(asked: Asked, email: str) -> None:
    """Let a person back."""
    run(lambda: _restored(asked, email))
    asked.out.sentence(f"{email} may sign in again.", email=email, active=True)


async def _listed(asked: Asked) -> list[dict[str, Any]]:
    async with at_desk(asked) as desk:
        parts, host = desk.parts, desk.host.key
        async with parts.database.read() as tx:
            everybody = await people.every(tx, host)
            live = Counter(
                each.subject for each in await sessions.live(tx, host, at=parts.clock.now())
            )
        rows = []
        for person in everybody:
            ceilings = await parts.ceilings.of(host, person.id, person.groups)
            rows.append(
                {
                    "email": person.email,
                    "id": person.id,
                    "name": person.name,
                    "groups": list(person.groups),
                    "active": person.active,
                    "configured": person.configured,
                    "ceilings": [f"{key} {level.word}" for key, level in sorted(ceilings.items())],
                    "sessions": live[person.id],
                }
            )
        return rows


async def _suspended(asked: Asked, email: str) -> int:
    async with at_desk(asked) as desk:
        parts, host = desk.parts, desk.host.key
        person = await desk.person(email)
        if not person.active:
            raise Failed(f"{person.email} is suspended already; nothing was changed.")
        parts.trail.append(
            Event(
                kind=_SUSPENDED,
                host=host,
                subject=person.id,
                subject_email=person.email,
                detail={"by": desk.by},
            )
        )
        # First out, then the ending: whatever begins in between is refused already.
        async with parts.database.write() as tx:
            await people.set_active(tx, host, person.id, active=False)
        return await parts.revocations.end_person(host, person.id, by=desk.by, because=_SUSPENDED)


async def _restored(asked: Asked, email: str) -> None:
    async with at_desk(asked) as desk:
        person = await desk.person(email)
        if person.active:
            raise Failed(f"{person.email} is not suspended; nothing was changed.")
        desk.parts.trail.append(
            Event(
                kind="person.restored",
                host=desk.host.key,
                subject=person.id,
                subject_email=person.email,
                detail={"by": desk.by},
            )
        )
        async with desk.parts.database.write() as tx:
            await people.set_active(tx, desk.host.key, person.id, active=True)
