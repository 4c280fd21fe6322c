"""Who may, what on, and which actions: candidates first, then the question about each.

A result is in a page because the question about it was answered with yes, by the same judge
that answers evaluations; what a search leaves out was answered with no, or can only be: without
a live session nobody uses a server. Candidates are in the order of their ids and a page ends at
one of them, so that the next page begins there, whatever came or went meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from msgspec.structs import replace

from safeconduct import people, sessions
from safeconduct.api.judging import SERVER, Judge, Relations, memberships, parts_of
from safeconduct.api.naming import AGENT, PEOPLE, Naming
from safeconduct.api.questions import Question, Search
from safeconduct.api.refusals import bad
from safeconduct.core.clock import Clock
from safeconduct.core.model import ClientId, ServerKey, SubjectId
from safeconduct.core.secrets import Sealer, SealError
from safeconduct.hosts import Host
from safeconduct.oauth import every_client
from safeconduct.people import People, Person
from safeconduct.relations import Unanswerable
from safeconduct.sessions import Session
from safeconduct.storage import Database
from safeconduct.upstreams import Catalogue

_MOST_LOOKED_AT = 1000  # in one page: a fraction of a second of the event loop, in slices
_PER_SLICE = 20


class Page(NamedTuple):
    """Some results, by id; `next_token` is "" where there are no more."""

    results: list[str]
    next_token: str
    looked_at: int


class Searches:
    """Finds what would be answered with yes."""

    def __init__(
        self,
        *,
        judge: Judge,
        naming: Naming,
        database: Database,
        people: People,
        catalogue: Catalogue,
        relations: Relations,
        methods: Mapping[str, tuple[str, ...]],
        clock: Clock,
        root_key: bytes,
        most_looked_at: int = _MOST_LOOKED_AT,
    ) -> None:
        self._judge = judge
        self._naming = naming
        self._database = database
        self._people = people
        self._catalogue = catalogue
        self._relations = relations
        self._methods = methods
        self._clock = clock
        self._most_looked_at = most_looked_at
        self._sealer = Sealer(root_key, purpose="authzen-page")

    async def page(self, host: Host, point: str, search: Search) -> Page:
        """Return one page of a search.

        Raises:
            Refused: If the token is not of this search, this host and this enforcement point,
                or if what is sought cannot be listed.
        """
        bound = f"{host.key}\n{point}\n{search.digest}".encode()
        after = self._opened(search.token, bound)
        try:
            candidates = sorted(await self._candidates(host, search))
        except Unanswerable as error:
            raise bad(f"{error.public}.") from error
        later = [each for each in candidates if after is None or each > after]
        results: list[str] = []
        for looked_at, candidate in enumerate(later):
            if looked_at == self._most_looked_at:
                return Page(results, self._sealed(later[looked_at - 1], bound), looked_at)
            if not await self._allowed(host, search, candidate):
                continue
            if len(results) == search.limit:
                last = results[-1] if results else after
                return Page(results, self._sealed(last, bound), looked_at + 1)
            results.append(candidate)
            if looked_at % _PER_SLICE == 0:
                await asyncio.sleep(0)
        return Page(results, "", len(later))

    async def _allowed(self, host: Host, search: Search, candidate: str) -> bool:
        return (await self._judge.judge(host, _about(search, candidate))).decision.allow

    async def _candidates(self, host: Host, search: Search) -> set[str]:
        """Return everything that may be a result: too much rather than too little."""
        of_server = search.question.resource.type in self._methods
        match search.sought:
            case "subject" if of_server:
                return await self._users(host, search.question)
            case "subject":
                return await self._related(host, search.question)
            case "resource" if of_server:
                return await self._items(host, search.question)
            case "resource":
                return await self._objects(host, search.question)
            case "action" if of_server:
                return set(self._methods[search.question.resource.type])
            case "action":
                kind = search.question.resource.type
                return set(await self._relations.permissions(host.key, kind))

    async def _users(self, host: Host, question: Question) -> set[str]:
        """Return people with a session of the agent on the server, or agents with the person's."""
        kind, (server, _) = question.subject.type, parts_of(question)
        party = await self._naming.party(host, question)
        if kind in PEOPLE and party.client.id:
            found = await self._live(host, client=party.client.id, server=server)
            known = [await self._people.get(host.key, each.subject) for each in found]
            return {_spelled(kind, each) for each in known if each is not None}
        if kind == AGENT and party.subject:
            found = await self._live(host, subject=party.subject, server=server)
            return {each.client for each in found}
        return set()

    async def _items(self, host: Host, question: Question) -> set[str]:
        kind = question.resource.type
        if kind not in {"tool", SERVER}:
            raise bad(f"What is of type {kind} is known to its server alone; ask about one.")
        party = await self._naming.party(host, question)
        if not party.subject or not party.client.id:
            return set()
        found = await self._live(host, subject=party.subject, client=party.client.id)
        keys = {each.server for each in found}
        if kind == SERVER:
            return {*keys}
        servers = [await self._catalogue.get(host.key, key) for key in keys]
        return {
            f"{server.key}/{name}"
            for server in servers
            if server is not None
            for name in server.tools
        }

    async def _related(self, host: Host, question: Question) -> set[str]:
        kind = question.subject.type
        async with self._database.read() as tx:
            if kind in PEOPLE:
                return {_spelled(kind, each) for each in await people.every(tx, host.key)}
            clients = await every_client(tx, host.key) if kind == AGENT else []
        party = await self._naming.party(host, question)
        found = await self._relations.subjects(
            host.key,
            kind,
            question.action,
            f"{question.resource.type}:{question.resource.id}",
            context=memberships(party),
            at=self._clock.seconds(),
        )
        ids = {each.partition(":")[2] for each in found.found}
        if kind == AGENT:
            return {*map(unquote, ids), *(each.id for each in clients)}
        return ids

    async def _objects(self, host: Host, question: Question) -> set[str]:
        party = await self._naming.party(host, question)
        found = await self._relations.objects(
            host.key,
            question.resource.type,
            question.action,
            party.spelled,
            context=memberships(party),
            at=self._clock.seconds(),
        )
        return {each.partition(":")[2] for each in found}

    async def _live(
        self,
        host: Host,
        *,
        subject: SubjectId | None = None,
        client: ClientId | None = None,
        server: ServerKey | None = None,
    ) -> list[Session]:
        async with self._database.read() as tx:
            return await sessions.live(
                tx, host.key, at=self._clock.now(), subject=subject, client=client, server=server
            )

    def _sealed(self, after: str | None, bound: bytes) -> str:
        return self._sealer.seal(b"" if after is None else after.encode(), bound_to=bound)

    def _opened(self, token: str, bound: bytes) -> str | None:
        if not token:
            return None
        try:
            return self._sealer.open(token, bound_to=bound).decode() or None
        except SealError as error:
            raise bad("page.token is not of this search; begin again without it.") from error


def _about(search: Search, candidate: str) -> Question:
    question = search.question
    match search.sought:
        case "subject":
            return replace(question, subject=replace(question.subject, id=candidate))
        case "resource":
            return replace(question, resource=replace(question.resource, id=candidate))
        case "action":
            return replace(question, action=candidate)


def _spelled(kind: str, found: Person) -> str:
    """Spell a person as they were asked for: users by address, persons by id."""
    return found.email if kind == "user" else found.id
