"""Whom a question is about: a subject of AuthZEN becomes a person and an agent of the host.

`person` and `user` are people, by id or by address; their agent stands in `context.agent` or in
the subject's `properties.agent`. `agent` is an agent by its client id, acting for the person in
`context.person` or `properties.person`. Any other type is a subject of the relations alone.
"""

from __future__ import annotations

from safeconduct.api.questions import Question, named
from safeconduct.api.refusals import bad
from safeconduct.core.model import ClientId, SubjectId, Value
from safeconduct.hosts import Host
from safeconduct.oauth import Clients
from safeconduct.people import People, Person
from safeconduct.policy import ClientFacts
from safeconduct.relations import agent, person

PEOPLE = frozenset({"person", "user"})
AGENT = "agent"


class Party(Value, frozen=True):
    """The person and the agent behind a question.

    Attributes:
        subject: The person's id, or what was said where nobody is known by it; "" for nobody.
        person: Who that is, if anybody.
        client: The agent; its id is "" where none was named.
        registered: Whether the host knows the agent.
        spelled: The subject as the relations spell it.
    """

    subject: SubjectId
    person: Person | None
    client: ClientFacts
    registered: bool
    spelled: str

    @property
    def blocked(self) -> bool:
        """Whether an admin blocked the agent; one the host never saw can have no block."""
        return self.registered and not self.client.active


class Naming:
    """Finds people and agents by what enforcement points call them."""

    def __init__(self, people: People, clients: Clients) -> None:
        self._people = people
        self._clients = clients

    async def party(self, host: Host, question: Question) -> Party:
        """Return who a question is about; whoever is unknown stays so, and has nothing.

        Raises:
            Refused: If two agents, or two people, are named.
        """
        kind, said = question.subject.type, question.subject.id
        who = said if kind in PEOPLE else _beside(question, "person") if kind == AGENT else ""
        program = said if kind == AGENT else _beside(question, AGENT)
        human = await self._person(host, who) if who else None
        subject = SubjectId(who) if human is None else human.id
        client, registered = await self._client(host, ClientId(program))
        return Party(
            subject=subject,
            person=human,
            client=client,
            registered=registered,
            spelled=_spelled(kind, said, subject),
        )

    async def _person(self, host: Host, said: str) -> Person | None:
        if "@" in said:
            return await self._people.at(host.key, said)
        return await self._people.get(host.key, SubjectId(said))

    async def _client(self, host: Host, said: ClientId) -> tuple[ClientFacts, bool]:
        client = self._clients.held(host, said) if said else None
        if client is None and said:
            entry = await self._clients.known(host, said)
            client = None if entry is None else entry.client
        if client is None:
            return ClientFacts(id=said, name="", active=False), False
        facts = ClientFacts(
            id=client.id, name=client.name, active=not client.blocked, kind=client.kind
        )
        return facts, True


def _beside(question: Question, name: str) -> str:
    """Return who else a question names: in its context, or among its subject's properties."""
    in_context = named(question.context, name)
    in_properties = named(question.subject.properties, name)
    if in_context and in_properties and in_context != in_properties:
        raise bad(f"The context and the subject's properties name two of {name}; name one.")
    return in_context or in_properties


def _spelled(kind: str, said: str, subject: SubjectId) -> str:
    if kind in PEOPLE:
        return person(subject)
    return agent(ClientId(said)) if kind == AGENT else f"{kind}:{said}"
