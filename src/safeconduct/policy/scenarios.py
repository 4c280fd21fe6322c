"""Scenarios: what a policy must say, as YAML beside the rules it is about.

A `*.scenario.yaml` holds a title, what is given in all of its cases, and cases that each change
something and say what to expect. Its relations are answered as a host's are; nothing else of a
host is needed, so a scenario says the same on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import yaml

from safeconduct.core.binding import Binding, Question, UriBinding, asked_of_arguments, asked_of_uri
from safeconduct.core.canonical import StrictJSONError, canonical_bytes, parse
from safeconduct.core.decision import Decision, Obligation, Word
from safeconduct.core.model import (
    AccessRequest,
    Caller,
    ClientId,
    ConsentId,
    HostId,
    Intent,
    Level,
    Phase,
    Resource,
    ServerKey,
    SessionId,
    SubjectId,
    Value,
)
from safeconduct.policy.answers import Answered, asked, told
from safeconduct.policy.bundle import Bundle
from safeconduct.policy.data import known_data
from safeconduct.policy.engine import Embedded
from safeconduct.policy.facts import (
    ClientFacts,
    ConsentFacts,
    Environment,
    Facts,
    SessionFacts,
    SubjectFacts,
    ToolFacts,
    ToolState,
)
from safeconduct.policy.failures import Failure
from safeconduct.policy.pdp import HostPolicy, Pdp
from safeconduct.policy.rego import BundleError
from safeconduct.relations import (
    Graph,
    SchemaError,
    Tuple,
    check_kept,
    check_many,
    host_schema,
    membership_tuples,
)
from safeconduct.relations import Question as Asked

MOST_CASES = 1000
_ADDRESS = re.compile(r"(?:user|person):([^#@\s]+)@([^#@\s]+)")
_HOST, _SESSION = HostId("scenario"), SessionId("session")


class GivenPerson(Value, frozen=True):
    """Whose authority is used, by address; tuples name people as `user:` and the address."""

    id: str = "alice@acme.test"
    groups: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}
    active: bool = True


class GivenAgent(Value, frozen=True):
    """Which agent acts."""

    id: str = "agent"
    kind: str = "registered"
    active: bool = True


class GivenTool(Value, frozen=True):
    """What is called, and what its arguments name."""

    name: str = "get_thing"
    kind: Literal["tool", "resource", "prompt"] = "tool"
    level: Word = "low"
    bindings: tuple[Binding, ...] = ()
    resources: tuple[UriBinding, ...] = ()
    enabled: bool = True
    state: ToolState = "pinned"


class Given(Value, frozen=True):
    """Everything a decision rests on; what is left out would be allowed."""

    person: GivenPerson = GivenPerson()
    agent: GivenAgent = GivenAgent()
    server: str = "server"
    tool: GivenTool = GivenTool()
    action: str = "tools/call"
    phase: Phase = "call"
    arguments: dict[str, Any] = {}
    intent: Intent | None = None
    consent: Word | None = "high"
    ceiling: Word | None = "high"
    time: datetime = datetime(2026, 11, 26, 10, 0, tzinfo=UTC)
    ip: str = "192.0.2.7"
    relations: tuple[str, ...] = ()
    definitions: str = ""
    data: dict[str, Any] = {}


class Case(Value, frozen=True):
    """One case: what is otherwise, and what to expect.

    Attributes:
        given: Members as in `Given`; mappings are laid over what is given for all.
        reason: The machine text of the decision, or None for any.
        obligations: What the allow obliges to, or None for anything.
    """

    name: str
    expect: Literal["allow", "deny"]
    given: dict[str, Any] = {}
    reason: str | None = None
    obligations: tuple[Obligation, ...] | None = None


class Scenario(Value, frozen=True):
    """One file."""

    scenario: str
    cases: tuple[Case, ...]
    given: dict[str, Any] = {}


def read_scenario(file: str, text: str) -> Scenario:
    """Read one file.

    Raises:
        BundleError: If it is no scenario; the message names the file and what does not fit.
    """
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise BundleError(f"{file}: aliases are not allowed")
        plain = _PlainLoader(text).get_single_data()
        found = msgspec.convert(parse(canonical_bytes(plain)), Scenario)
        for case in found.cases:
            _given(found, case)
    except (yaml.YAMLError, StrictJSONError, TypeError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise BundleError(f"{file}: this is no scenario: {said}") from error
    if not found.cases or len(found.cases) > MOST_CASES:
        raise BundleError(f"{file}: a scenario has 1 to {MOST_CASES} cases")
    return found


class _PlainLoader(yaml.SafeLoader):
    """Leaves times as the texts they are written as."""


_PlainLoader.yaml_implicit_resolvers = {
    sign: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for sign, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def run_scenario(file: str, scenario: Scenario, bundle: Bundle) -> list[Failure]:
    """Decide every case; returns those that are not as expected."""
    failures = []
    engines: dict[bytes, HostPolicy] = {}
    for case in scenario.cases:
        given = _given(scenario, case)
        try:
            decision = _decided(given, bundle, engines)
        except BundleError as error:
            failures.append(Failure(test=case.name, message=f"{file}: {error.public}"))
            continue
        wrong = _difference(case, decision)
        if wrong:
            failures.append(Failure(test=case.name, message=f"{file}: {wrong}"))
    return failures


def decide_given(given: dict[str, Any], bundle: Bundle) -> Decision:
    """Decide what a scenario's `given` describes.

    Raises:
        BundleError: If it describes nothing that can be decided; the message says why.
    """
    try:
        return _decided(msgspec.convert(given, Given), bundle, {})
    except (msgspec.ValidationError, ValueError) as error:
        raise BundleError(f"given: {error}") from error


def _given(scenario: Scenario, case: Case) -> Given:
    return msgspec.convert(_laid(scenario.given, case.given), Given)


def _laid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, member by member; anything but mappings is replaced."""
    both = {
        name: _laid(below[name], value)
        if isinstance(value, dict) and isinstance(below.get(name), dict)
        else value
        for name, value in above.items()
    }
    return below | both


def _difference(case: Case, decision: Decision) -> str:
    got = "allow" if decision.allow else "deny"
    if got != case.expect:
        return f"expected {case.expect}, got {got} ({decision.reason}: {decision.message})"
    if case.reason is not None and case.reason != decision.reason:
        return f"expected reason {case.reason}, got {decision.reason}"
    if case.obligations is not None:
        wanted, found = (
            msgspec.to_builtins(each) for each in (case.obligations, decision.obligations)
        )
        if wanted != found:
            return f"expected obligations {list(wanted)}, got {list(found)}"
    return ""


def _decided(given: Given, bundle: Bundle, engines: dict[bytes, HostPolicy]) -> Decision:
    key = canonical_bytes(given.data)
    policy = engines.get(key)
    if policy is None:
        data = {**bundle.data, **given.data}
        own = Bundle.of(modules=bundle.modules, data=data, schema=bundle.schema)
        policy = HostPolicy(
            engine=Embedded(own),
            bundle=own.digest,
            questions=tuple(known_data(data).questions.items()),
        )
        engines[key] = policy
    request = _request(given)
    facts = _facts(given, request, policy, bundle.schema)
    return _at_once(Pdp(lambda _: policy).decide(request, facts))


def _at_once(coming: Coroutine[Any, Any, Decision]) -> Decision:
    """Return what a decision of the engine in this process returns: it never suspends."""
    try:
        coming.send(None)
    except StopIteration as done:
        decision: Decision = done.value
        return decision
    raise RuntimeError("the engine waited for something")


def _request(given: Given) -> AccessRequest:
    server = ServerKey(given.server)
    return AccessRequest(
        caller=Caller(
            host=_HOST,
            subject=_subject(given),
            client=ClientId(given.agent.id),
            session=_SESSION,
            server=server,
        ),
        action=given.action,
        resource=Resource(kind=given.tool.kind, server=server, name=given.tool.name),
        arguments=None if given.phase == "list" else given.arguments,
        phase=given.phase,
        intent=given.intent,
    )


def _facts(given: Given, request: AccessRequest, policy: HostPolicy, schema: str) -> Facts:
    person, tool = given.person, given.tool
    wanted = asked(request, _bound(given), policy.questions)
    return Facts(
        subject=SubjectFacts(
            id=request.caller.subject,
            email=person.id,
            active=person.active,
            groups=person.groups,
            attributes=person.attributes,
        ),
        client=ClientFacts(
            id=request.caller.client,
            name=given.agent.id,
            active=given.agent.active,
            kind=given.agent.kind,
        ),
        session=SessionFacts(id=_SESSION, server=request.caller.server, live=True),
        consent=given.consent
        and ConsentFacts(
            id=ConsentId("consent"),
            level=Level.parse(given.consent),
            live=True,
            granted_at=given.time.isoformat(timespec="seconds"),
        ),
        ceiling=given.ceiling and Level.parse(given.ceiling),
        tool=ToolFacts(
            known=True, enabled=tool.enabled, state=tool.state, level=Level.parse(tool.level)
        ),
        relations=told(wanted, _answers(given, wanted.known, schema)),
        environment=Environment(time=given.time.isoformat(timespec="seconds"), ip=given.ip),
    )


def _subject(given: Given) -> SubjectId:
    return SubjectId(given.person.id.replace("@", "=at="))


def _person(found: re.Match[str]) -> str:
    """Name a person as an object can be named, which knows no address."""
    return f"person:{found[1]}=at={found[2]}"


def _bound(given: Given) -> list[Question]:
    if given.tool.kind == "resource":
        return asked_of_uri(given.tool.resources, given.tool.name)
    if given.phase == "list":
        return []
    return asked_of_arguments(given.tool.bindings, given.arguments)


def _answers(
    given: Given, questions: list[tuple[str, str, str]], schema: str
) -> Iterator[Answered]:
    try:
        edges = [Tuple.parse(_ADDRESS.sub(_person, text)) for text in given.relations]
        check_kept(given.definitions)
        definitions = host_schema(f"{schema}\n{given.definitions}")
    except SchemaError as error:
        raise BundleError(error.public) from error
    except ValueError as error:
        raise BundleError(str(error)) from error
    verdicts = check_many(
        definitions,
        Graph.of(edges),
        [Asked(object=one, permission=needed, subject=who) for one, needed, who in questions],
        at=given.time.timestamp(),
        contextual=membership_tuples(_subject(given), given.person.groups),
    )
    return (Answered(each.allowed, each.path) for each in verdicts)
