"""What must end because of a configuration: sessions and consents that nothing carries any more.

Judged on what the host will be, not on what changed, so that every way of losing access counts:
the person, the group, the ceiling, the server, the client. Pure.
"""

from __future__ import annotations

from safeconduct.app.present import Present
from safeconduct.app.targets import Target
from safeconduct.consent import Consent
from safeconduct.core.model import ClientId, Level, ServerKey, SubjectId, Value
from safeconduct.relations import Tuple, ceiling_tuple, members, person
from safeconduct.sessions import Session

SERVER_REMOVED = "server.removed"
CLIENT_REMOVED = "client.removed"
PERSON_REMOVED = "person.removed"
CEILING_NONE = "ceiling.none"
HOST_REMOVED = "host.removed"

WORDS = {
    SERVER_REMOVED: "the server is removed",
    CLIENT_REMOVED: "the client is removed",
    PERSON_REMOVED: "the person may not sign in",
    CEILING_NONE: "the person has no ceiling on the server any more",
    HOST_REMOVED: "the host is removed",
}


class Ending(Value, frozen=True):
    """A session or consent that ends, and why, as machine text."""

    what: Session | Consent
    because: str


class Future(Value, frozen=True):
    """What decides whether access goes on.

    Attributes:
        groups: Groups of those who may sign in, by subject.
    """

    groups: dict[SubjectId, tuple[str, ...]]
    servers: frozenset[ServerKey]
    gone_clients: frozenset[ClientId]
    edges: frozenset[Tuple]

    def ends(self, access: Session | Consent) -> str | None:
        """Return why an access ends, or None if it goes on."""
        if access.server not in self.servers:
            return SERVER_REMOVED
        if access.client in self.gone_clients:
            return CLIENT_REMOVED
        if access.subject not in self.groups:
            return PERSON_REMOVED
        spellings = (person(access.subject), *map(members, self.groups[access.subject]))
        for spelled in spellings:
            if any(ceiling_tuple(access.server, level, spelled) in self.edges for level in Level):
                return None
        return CEILING_NONE


def future_of(present: Present, target: Target, edges: frozenset[Tuple]) -> Future:
    """Say what will be once a target is reached."""
    groups: dict[SubjectId, tuple[str, ...]] = {}
    for email, known in present.people.items():
        said = target.people.get(email)
        if said is not None and (known.active or not known.configured):
            groups[known.id] = said.groups
        elif said is None and known.active and not known.configured:
            groups[known.id] = known.groups
    gone = (
        key
        for key, client in present.clients.items()
        if client.kind == "registered" and key not in target.clients
    )
    return Future(
        groups=groups,
        servers=frozenset(target.servers),
        gone_clients=frozenset(gone),
        edges=edges,
    )


def endings(present: Present, future: Future) -> list[Ending]:
    """Return what ends, sessions first."""
    return [
        Ending(what=access, because=because)
        for access in _accesses(present)
        if (because := future.ends(access)) is not None
    ]


def all_endings(present: Present, *, because: str) -> list[Ending]:
    """Return everything that is live, to be ended."""
    return [Ending(what=access, because=because) for access in _accesses(present)]


def _accesses(present: Present) -> list[Session | Consent]:
    return [*present.sessions, *present.consents]
