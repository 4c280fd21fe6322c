"""Has a question decided: by the PDP for what servers offer, by the relations for all else.

`tool`, `resource` and `prompt` are named `{server}/{name}`, `server` by its key, and the action
is an MCP method. The question is put as a call would put it, about a live session of the person
and the agent on that server, and answered by the same rules on the same facts. Any other type
of resource is an object of the host's relations, and the action a permission on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from safeconduct.api.naming import AGENT, PEOPLE, Naming, Party
from safeconduct.api.questions import Entity, Question, intent_in, named
from safeconduct.api.refusals import bad
from safeconduct.core.clock import Clock
from safeconduct.core.decision import Decision
from safeconduct.core.ids import Series
from safeconduct.core.model import (
    AccessRequest,
    Caller,
    HostId,
    Intent,
    Level,
    Resource,
    ServerKey,
    SessionId,
)
from safeconduct.hosts import Host
from safeconduct.policy import Answered, ClientFacts, Device, HostPolicy
from safeconduct.relations import Subjects, Tuple, membership_tuples
from safeconduct.sessions import Session, Sessions
from safeconduct.upstreams import Catalogue, Server

ITEMS = frozenset({"tool", "resource", "prompt"})
SERVER = "server"
STANDING = "oauth/token"  # whether a session may have tokens: no method, asked as at issuance


class Asks(Protocol):
    """The one way to have a request decided, which calls take too."""

    async def ask(
        self,
        request: AccessRequest,
        *,
        session: Session | None,
        client: ClientFacts,
        server: Server | None,
        device: Device,
        level: Level = Level.LOW,
    ) -> Decision:
        """Decide one request on what is true now."""


class Relations(Protocol):
    """Where questions about relations are answered."""

    async def answer(
        self,
        host: HostId,
        asked: Sequence[tuple[str, str, str]],
        *,
        context: tuple[Tuple, ...],
        at: float,
    ) -> list[Answered]:
        """Answer questions of the form (object, permission, subject), in order."""

    async def objects(
        self,
        host: HostId,
        kind: str,
        permission: str,
        subject: str,
        *,
        context: tuple[Tuple, ...],
        at: float,
    ) -> list[str]:
        """Return what of a type a subject has a permission on."""

    async def subjects(
        self,
        host: HostId,
        kind: str,
        permission: str,
        object_: str,
        *,
        context: tuple[Tuple, ...],
        at: float,
    ) -> Subjects:
        """Return who of a type has a permission."""

    async def permissions(self, host: HostId, kind: str) -> list[str]:
        """Return what can be asked about objects of a type."""


class Judged(NamedTuple):
    """A question's answer, and what a record says about it.

    Attributes:
        path: The tuples and permissions that led to a yes of the relations.
        token_id: Names the access token it was asked by, if by one.
        scope: The words that token is said to have.
    """

    question: Question
    party: Party
    decision: Decision
    arguments: dict[str, Any] | None = None
    intent: Intent | None = None
    server: ServerKey | None = None
    session: SessionId | None = None
    path: tuple[str, ...] = ()
    token_id: str | None = None
    scope: str | None = None


class Judge:
    """Answers one question."""

    def __init__(
        self,
        *,
        naming: Naming,
        sessions: Sessions,
        catalogue: Catalogue,
        decider: Asks,
        relations: Relations,
        policies: Callable[[HostId], HostPolicy],
        methods: Mapping[str, tuple[str, ...]],
        clock: Clock,
    ) -> None:
        """Take what questions are answered with.

        Args:
            policies: Finds a host's policy; raises where nothing may be decided any more.
            methods: The MCP methods there are, by the kind of thing they are aimed at.
        """
        self._naming = naming
        self._sessions = sessions
        self._catalogue = catalogue
        self._decider = decider
        self._relations = relations
        self._policies = policies
        self._methods = methods
        self._clock = clock
        self._new_id = Series("dec")

    async def judge(self, host: Host, question: Question) -> Judged:
        """Answer a question; never a yes by default.

        Raises:
            Refused: If the question contradicts itself.
        """
        party = await self._naming.party(host, question)
        if question.resource.type in self._methods:
            return await self._of_server(host, question, party)
        return await self._of_relations(host, question, party)

    async def of_session(self, host: Host, question: Question, session: Session) -> Judged:
        """Answer a question about one session, whatever others there are between the two.

        Raises:
            Refused: If the question contradicts itself.
        """
        party = await self._naming.party(host, question)
        return await self._of_server(host, question, party, session)

    async def reach(self, host: Host, judged: Judged, session: Session, most: Level) -> Level:
        """Return the highest level, up to `most`, that a session has on its server now.

        Each is asked of the rules, so that tiers and rules of the host's own count as consent
        and ceiling do. What was allowed already counts as low.
        """
        context = {k: v for k, v in judged.question.context.items() if k != "arguments"}
        about = Question(
            subject=judged.question.subject,
            action=STANDING,
            resource=Entity(type=SERVER, id=session.server),
            context=context,
        )
        for level in (Level.HIGH, Level.MEDIUM):
            if level <= most:
                decision = await self._decided(host, about, judged.party, session, level)
                if decision.allow:
                    return level
        return Level.LOW

    async def refused(self, host: Host, question: Question, reason: str) -> Judged:
        """Say no to a question that is not worth deciding, as the record shall have it."""
        party = await self._naming.party(host, question)
        arguments, intent = _arguments(question), intent_in(question.context)
        return Judged(question, party, self._no(reason, ""), arguments, intent)

    async def _of_server(
        self, host: Host, question: Question, party: Party, session: Session | None = None
    ) -> Judged:
        kind, (key, name) = question.resource.type, parts_of(question)
        arguments, intent = _arguments(question), intent_in(question.context)
        judged = Judged(question, party, _PENDING, arguments, intent, server=key or None)
        standing = session is not None and (kind, question.action) == (SERVER, STANDING)
        if not standing and (problem := self._unaskable(question, party, key, name)):
            return judged._replace(decision=self._no(*problem))
        if session is None:
            session = await self._sessions.between(host.key, party.subject, party.client.id, key)
        decision = await self._decided(host, question, party, session)
        return judged._replace(decision=decision, session=None if session is None else session.id)

    async def _decided(
        self,
        host: Host,
        question: Question,
        party: Party,
        session: Session | None,
        level: Level = Level.LOW,
    ) -> Decision:
        key, name = parts_of(question)
        request = AccessRequest(
            caller=Caller(
                host=host.key,
                subject=party.subject,
                client=party.client.id,
                session=SessionId("") if session is None else session.id,
                server=key,
            ),
            action=question.action,
            resource=Resource(kind=question.resource.type, server=key, name=name),
            arguments=_arguments(question),
            phase="check",
            intent=intent_in(question.context),
        )
        return await self._decider.ask(
            request,
            session=session,
            client=party.client,
            server=self._catalogue.held(host.key, key) or await self._catalogue.get(host.key, key),
            device=_device(question),
            level=level,
        )

    def _unaskable(
        self, question: Question, party: Party, key: ServerKey, name: str
    ) -> tuple[str, str] | None:
        """Say why a question cannot be put to the PDP at all, or None."""
        kind = question.resource.type
        if question.action not in self._methods[kind]:
            return "action.unknown", f"There is no such action on a {kind}."
        if not key or (kind in ITEMS and not name):
            return "resource.unnamed", f"Name a {kind} of a server as server/name."
        if question.subject.type not in PEOPLE | {AGENT}:
            return "subject.unknown", "Only people and agents use servers."
        if not party.subject:
            return "person.unnamed", "Name the person the agent acts for in context.person."
        if not party.client.id:
            return "agent.unnamed", "Name the agent that acts for the person in context.agent."
        return None

    async def _of_relations(self, host: Host, question: Question, party: Party) -> Judged:
        policy = self._policies(host.key)
        judged = Judged(question, party, _PENDING)
        edge = (f"{question.resource.type}:{question.resource.id}", question.action, party.spelled)
        if problem := _barred(party) or _unspellable(question, edge):
            return judged._replace(decision=self._no(*problem, bundle=policy.bundle))
        context, seconds = memberships(party), self._clock.seconds()
        answered = await self._relations.answer(host.key, [edge], context=context, at=seconds)
        said = answered[0]
        decision = Decision(
            id=self._new_id(),
            allow=said.allowed,
            reason="allowed" if said.allowed else "relation.denied",
            message=f"{said.reason}.",
            bundle=policy.bundle,
        )
        return judged._replace(decision=decision, path=said.path)

    def _no(self, reason: str, message: str, *, bundle: str = "") -> Decision:
        return Decision(
            id=self._new_id(), allow=False, reason=reason, message=message, bundle=bundle
        )


_PENDING = Decision(id="", allow=False, reason="engine.failed", message="", bundle="")


def parts_of(question: Question) -> tuple[ServerKey, str]:
    """Return the server and the item a resource's id names."""
    if question.resource.type == SERVER:
        return ServerKey(question.resource.id), ""
    key, _, name = question.resource.id.partition("/")
    return ServerKey(key), name


def memberships(party: Party) -> tuple[Tuple, ...]:
    """Return a person's groups; the relations know them for the length of a question."""
    human = party.person
    return () if human is None else membership_tuples(human.id, human.groups)


def _barred(party: Party) -> tuple[str, str] | None:
    """Say who has nothing at all, whatever the relations say; calls are refused to them too."""
    if party.subject and (party.person is None or not party.person.active):
        return "subject.inactive", "This account is not active on this host. Ask an admin."
    if party.blocked:
        return "client.blocked", "An admin of this host has blocked this agent. Ask an admin."
    return None


def _unspellable(question: Question, edge: tuple[str, str, str]) -> tuple[str, str] | None:
    """Say why a question is none for the relations, or None; the parts may not run together."""
    object_, permission, subject = edge
    try:
        same = Tuple.parse(f"{object_}#{permission}@{subject}").key == edge
    except ValueError:
        same = False
    if not same or "#" in subject or ":" in question.resource.type + question.subject.type:
        return "relation.unnamed", "No relation can be about this subject, action and resource."
    if "*" in {object_.partition(":")[2], subject.partition(":")[2]}:
        return "relation.unnamed", "Ask about one subject and one resource."
    return None


def _arguments(question: Question) -> dict[str, Any] | None:
    arguments = question.context.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise bad("context.arguments must be an object.")
    return arguments


def _device(question: Question) -> Device:
    """Describe where the call came from, which only the enforcement point can know."""
    said = question.context
    return Device(
        ip=named(said, "ip"),
        user_agent=named(said, "user_agent")[:200],
        software=named(said, "software")[:200],
    )
