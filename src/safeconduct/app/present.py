"""What a host is now: everything a configuration is compared with, read in one transaction."""

from __future__ import annotations

from datetime import datetime

from safeconduct import consent as consents
from safeconduct import hosts, people, relations, sessions
from safeconduct.app.targets import Target
from safeconduct.consent import Consent
from safeconduct.core.model import ClientId, HostId, ServerKey, SubjectId, Value
from safeconduct.hosts import Host
from safeconduct.oauth import Client, every_client
from safeconduct.people import Operator, Person
from safeconduct.relations import ACCESS, CONFIGURATION, DIRECTORY, Tuple
from safeconduct.sessions import Session
from safeconduct.storage import Read
from safeconduct.upstreams import Wanted, server_keys, wanted


class Present(Value, frozen=True):
    """One host as it is stored.

    Attributes:
        host: The host's row, or None when there is none yet.
        people: Everybody, by address.
        passwords: Addresses of people that have a password.
        operator_passwords: The same for operators.
        edges: Every edge, whoever wrote it, but for those that people's groups make.
        owned: The edges that came from a configuration, which may take them away again.
        sessions: Those that are live.
        consents: Those that nobody has ended.
    """

    host: Host | None
    people: dict[str, Person]
    passwords: frozenset[str]
    operators: dict[str, Operator]
    operator_passwords: frozenset[str]
    servers: dict[ServerKey, Wanted]
    clients: dict[ClientId, Client]
    edges: frozenset[Tuple]
    owned: frozenset[Tuple]
    sessions: tuple[Session, ...]
    consents: tuple[Consent, ...]

    @property
    def ids(self) -> dict[str, SubjectId]:
        """Ids of the people by address."""
        return {email: person.id for email, person in self.people.items()}


async def read_present(tx: Read, key: HostId, *, at: datetime, target: Target | None) -> Present:
    """Read what is stored about a host.

    Args:
        tx: The transaction; the caller's own writes would show.
        key: The host.
        at: Which sessions are live is asked for this instant.
        target: What the host is to become; says whose passwords matter.
    """
    asked_people = target.people if target else {}
    asked_operators = target.operators if target else {}
    operators = {each.email: each for each in await people.operators(tx, key)}
    everybody = {each.email: each for each in await people.every(tx, key)}
    granted = await consents.every(tx, key)
    return Present(
        host=next((host for host in await hosts.every(tx) if host.key == key), None),
        people=everybody,
        passwords=await _passwords(tx, key, [each for each in asked_people if each in everybody]),
        operators=operators,
        operator_passwords=frozenset(
            [
                each
                for each in asked_operators
                if each in operators and await people.operator_password(tx, key, each)
            ]
        ),
        servers=await _servers(tx, key),
        clients={each.id: each for each in await every_client(tx, key)},
        edges=frozenset(await relations.every(tx, key))
        - frozenset(await relations.every(tx, key, source=DIRECTORY)),
        owned=frozenset(
            [
                edge
                for source in (ACCESS, CONFIGURATION)
                for edge in await relations.every(tx, key, source=source)
            ]
        ),
        sessions=tuple(await sessions.live(tx, key, at=at)),
        consents=tuple(each for each in granted if each.ended_at is None),
    )


async def _passwords(tx: Read, key: HostId, emails: list[str]) -> frozenset[str]:
    found = set()
    for email in emails:
        row = await people.by_email(tx, key, email)
        if row is not None and row[1] is not None:
            found.add(email)
    return frozenset(found)


async def _servers(tx: Read, key: HostId) -> dict[ServerKey, Wanted]:
    found = [await wanted(tx, key, server) for server in await server_keys(tx, key)]
    return {each.key: each for each in found if each is not None}
