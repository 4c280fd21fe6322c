"""What the built-in rules read of a host's data: deny-lists, tiers, roles, questions.

Rules see whatever is there, and a slip of the pen in a list would silently refuse nobody. So
the members that the built-in rules know are checked when the data is read; whatever else there
is belongs to the host's own rules.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from safeconduct.core.binding import Binding, check_template
from safeconduct.core.decision import Word
from safeconduct.core.model import Value
from safeconduct.policy.rego import BundleError

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
Names = tuple[Name, ...]
QuestionName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
KNOWN = ("denylists", "agents", "roles", "questions")
_MOST_QUESTIONS = 16


class DenyLists(Value, frozen=True):
    """Agents by client id, people by address or id."""

    clients: Names = ()
    subjects: Names = ()


class Agents(Value, frozen=True):
    """Trust tiers.

    Attributes:
        trust_tiers: Providers by tier; a provider is in one tier at most.
        providers: The provider of an agent, by client id.
        tier_levels: What a tier may use: levels by server, by tier.
    """

    trust_tiers: dict[Name, Names] | None = None
    providers: dict[Name, Name] = {}
    tier_levels: dict[Name, dict[Name, Word]] = {}


class Role(Value, frozen=True):
    """What holders of a role may use: levels by server, and patterns of tools by server."""

    servers: dict[Name, Word]
    tools: dict[Name, Names] = {}


class Roles(Value, frozen=True):
    """Roles, and who holds them: agents by client id, people by address, groups by name."""

    definitions: dict[Name, Role] = {}
    agents: dict[Name, Names] = {}
    people: dict[Name, Names] = {}
    groups: dict[Name, Names] = {}


class KnownData(Value, frozen=True):
    """Everything the built-in rules and the facts read of a host's data."""

    denylists: DenyLists = DenyLists()
    agents: Agents = Agents()
    roles: Roles = Roles()
    questions: dict[QuestionName, Binding] = {}


def known_data(data: dict[str, Any]) -> KnownData:
    """Read the members that the built-in rules know.

    Raises:
        BundleError: If one of them is not shaped as it must be; the message names it.
    """
    try:
        known = msgspec.convert({name: data[name] for name in KNOWN if name in data}, KnownData)
    except msgspec.ValidationError as error:
        raise BundleError(f"the data does not fit: {error}") from error
    _check_tiers(known.agents)
    _check_roles(known.roles)
    _check_questions(known.questions)
    return known


def _check_tiers(agents: Agents) -> None:
    tiers = agents.trust_tiers or {}
    seen: dict[str, str] = {}
    for tier, providers in tiers.items():
        for provider in providers:
            if provider in seen and seen[provider] != tier:
                raise BundleError(
                    f"agents.trust_tiers: {provider} is in {seen[provider]} and in {tier}; "
                    "leave it in one"
                )
            seen[provider] = tier
    _known("agents.tier_levels", agents.tier_levels, tiers, "tier")


def _check_roles(roles: Roles) -> None:
    for holders in ("agents", "people", "groups"):
        for holder, held in getattr(roles, holders).items():
            _known(f"roles.{holders}.{holder}", held, roles.definitions, "role")


def _check_questions(questions: dict[str, Binding]) -> None:
    if len(questions) > _MOST_QUESTIONS:
        raise BundleError(f"questions: at most {_MOST_QUESTIONS} can be asked about each call")
    for name, question in questions.items():
        problem = check_template(question.object, frozenset({"value"}))
        if problem:
            raise BundleError(f"questions.{name}.object: {problem}")
        if question.path.partition(".")[0] != "arguments":
            raise BundleError(f"questions.{name}.path: must begin with arguments")


def _known(place: str, names: Any, there: Any, noun: str) -> None:
    for name in names:
        if name not in there:
            raise BundleError(f"{place}: there is no {noun} {name}")
