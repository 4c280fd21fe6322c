"""Random facts, arguments, host data and mutilated inputs, for comparing engines."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET

from safeconduct.core.model import AccessRequest, Intent, Level, Resource, ServerKey
from safeconduct.policy import (
    ClientFacts,
    ConsentFacts,
    Environment,
    Facts,
    RelationFact,
    SessionFacts,
    SubjectFacts,
    ToolFacts,
    document,
)

from .builders import a_request, some_facts

SERVERS = st.sampled_from(["tickets", "wiki", ""])
CLIENTS = st.sampled_from(["shared-agent", "other-agent", "https://a.test/x", ""])
PEOPLE = st.sampled_from(["bob", "alice", "bob@acme.test", ""])
GROUPS = st.sampled_from(["engineering", "sales"])
ROLES = st.sampled_from(["reader", "writer"])
TIERS = st.sampled_from(["trusted", "known"])
WORDS = st.sampled_from(["low", "medium", "high"])
TOOLS = st.sampled_from(["delete_issue", "get_issue", "search", "", "a*b", "x" * 200, "é😀" * 90])
PATTERNS = st.sampled_from(["*", "get_*", "delete_{issue,page}", "?elete*", "[a-g]*", "search"])
FLAGS = st.booleans()
LEVELS = st.sampled_from(list(Level))
TEXT = st.text(max_size=6)
JSON = st.recursive(
    st.none() | FLAGS | st.integers(-5, 5) | st.sampled_from([0.5, -2.25]) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=4,
)
TEXTS = st.sampled_from([UNSET, "payroll", "Refund a customer", "é😀"])
INTENTS = st.none() | st.builds(Intent, purpose=TEXTS, workflow=TEXTS)
RELATIONS = st.lists(
    st.builds(
        RelationFact,
        name=st.sampled_from(["", "owns", "shares"]),
        object=st.sampled_from(["ticket:T-7", "", "ticket:" + "9" * 200]),
        permission=st.just("edit"),
        subject=st.sampled_from(["person:bob", "agent:shared-agent"]),
        allowed=FLAGS,
        required=FLAGS,
    ),
    max_size=3,
)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Mostly near an allow: each part is either what an allow needs, or anything."""

    def near(part: st.SearchStrategy[Any], right: Any) -> Any:
        return right if draw(st.integers(0, 7)) else draw(part)

    right = some_facts()
    return msgspec.structs.replace(
        right,
        subject=near(
            st.builds(
                SubjectFacts,
                id=PEOPLE,
                email=PEOPLE,
                active=FLAGS,
                groups=st.lists(GROUPS, max_size=2).map(tuple),
                attributes=st.dictionaries(st.sampled_from(["region", "n"]), JSON),
            ),
            right.subject,
        ),
        client=near(st.builds(ClientFacts, id=CLIENTS, name=TEXT, active=FLAGS), right.client),
        session=near(
            st.none() | st.builds(SessionFacts, id=PEOPLE, server=SERVERS, live=FLAGS),
            right.session,
        ),
        consent=near(
            st.none() | st.builds(ConsentFacts, id=TEXT, level=LEVELS, live=FLAGS), right.consent
        ),
        ceiling=near(st.none() | LEVELS, right.ceiling),
        tool=near(
            st.builds(
                ToolFacts,
                known=FLAGS,
                enabled=FLAGS,
                state=st.sampled_from(["pinned", "changed", "new"]),
                level=LEVELS,
            ),
            right.tool,
        ),
        relations=near(RELATIONS.map(tuple), ()),
        environment=near(
            st.builds(
                Environment,
                time=st.sampled_from(["2026-11-21T12:00:00+00:00", "2026-11-22T23:59:59+00:00"]),
                ip=st.sampled_from(["10.1.2.3", "192.0.2.7", "2001:db8::1", ""]),
            ),
            right.environment,
        ),
    )


def requests() -> st.SearchStrategy[AccessRequest]:
    return st.builds(
        lambda kind, server, name, arguments, phase, intent: a_request(
            resource=Resource(kind=kind, server=ServerKey(server), name=name),
            arguments=arguments,
            phase=phase,
            intent=intent,
        ),
        st.sampled_from(["tool", "tool", "resource", "prompt"]),
        st.sampled_from(["tickets"] * 7 + ["wiki", ""]),
        TOOLS,
        st.none() | st.dictionaries(st.sampled_from(["id", "n", "to"]), JSON, max_size=2),
        st.sampled_from(["call", "list", "stream"]),
        INTENTS,
    )


@st.composite
def mutilated(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """Replace or remove something, anywhere in an input."""
    place: Any = whole
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw(FLAGS):
            break
        place = inner
    if isinstance(place, dict) and draw(FLAGS):
        del place[key]
    else:
        place[key] = draw(JSON)
    return whole


@st.composite
def inputs(draw: st.DrawFn) -> bytes:
    """An input document: as the gateway writes it, or with one or two things wrong in it."""
    raw = document(draw(requests()), draw(facts())).document
    wrong = draw(st.sampled_from([0, 0, 1, 2]))
    if not wrong:
        return raw
    whole = msgspec.json.decode(raw)
    for _ in range(wrong):
        if whole:
            whole = draw(mutilated(whole))
    return msgspec.json.encode(whole)


def host_data() -> st.SearchStrategy[dict[str, Any]]:
    """Deny-lists, tiers and roles, each there or not; only what the loader lets through."""
    levels = st.dictionaries(SERVERS.filter(bool), WORDS, max_size=2)
    role = st.fixed_dictionaries(
        {"servers": levels},
        optional={
            "tools": st.dictionaries(
                st.just("tickets"), st.lists(PATTERNS, min_size=1, max_size=2), max_size=1
            )
        },
    )
    named = CLIENTS.filter(bool)
    return st.fixed_dictionaries(
        {},
        optional={
            "denylists": st.fixed_dictionaries(
                {}, optional={"clients": _rarely(named), "subjects": _rarely(PEOPLE.filter(bool))}
            ),
            "agents": st.fixed_dictionaries(
                {},
                optional={
                    "trust_tiers": st.sampled_from(
                        [{}, {"trusted": ["acme"], "known": ["shared-agent"]}, {"trusted": []}]
                    ),
                    "providers": st.dictionaries(named, st.sampled_from(["acme", "x"]), max_size=2),
                },
            ).flatmap(
                lambda agents: st.dictionaries(TIERS, levels, max_size=2).map(
                    lambda found: (
                        agents
                        | {
                            "tier_levels": {
                                tier: given
                                for tier, given in found.items()
                                if tier in (agents.get("trust_tiers") or {})
                            }
                        }
                    )
                )
            ),
            "roles": st.fixed_dictionaries(
                {"definitions": st.fixed_dictionaries({"reader": role, "writer": role})},
                optional={
                    "agents": _held(named),
                    "people": _held(st.just("bob@acme.test")),
                    "groups": _held(GROUPS),
                },
            ),
        },
    )


def _rarely(names: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.just(list[str]()) | st.lists(names, max_size=1)


def _held(names: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, list[str]]]:
    return st.dictionaries(names, st.lists(ROLES, max_size=2), max_size=2)
