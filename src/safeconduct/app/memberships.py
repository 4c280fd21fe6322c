"""Keeps the groups of people as tuples, `group:engineering#member@person:p_1`, beside the people.

Plans say nothing of them: they follow from what plans say about people.
"""

from __future__ import annotations

from datetime import datetime

from safeconduct import people, relations
from safeconduct.core.model import HostId
from safeconduct.relations import DIRECTORY, membership_tuples
from safeconduct.storage import Write


async def store_memberships(tx: Write, host: HostId, *, at: datetime) -> None:
    """Write the tuples that the groups of everybody make, and take away those they made once.

    Last in its transaction: whatever else was written or removed, what groups say is there.
    """
    wanted = {
        edge
        for person in await people.every(tx, host)
        for edge in membership_tuples(person.id, person.groups)
    }
    present = set(await relations.every(tx, host, source=DIRECTORY))
    for edge in sorted(present - wanted, key=str):
        await relations.remove(tx, host, edge)
    for edge in sorted(wanted - present, key=str):
        await relations.write(tx, host, edge, source=DIRECTORY, at=at)
