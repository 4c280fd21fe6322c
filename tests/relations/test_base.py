"""The schema every host has: min(granted, ceiling) as a permission, for one person at a time."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.model import ClientId, Level, ServerKey, SubjectId
from safeconduct.relations import (
    Graph,
    Question,
    SchemaError,
    Tuple,
    agent,
    ceiling_tuple,
    check,
    consent_tuples,
    host_schema,
    members,
    membership_tuples,
    person,
)

_AT = 1_800_000_000.0
ALICE, BOB = SubjectId("p_alice"), SubjectId("p_bob")
SHARED = ClientId("https://agent.example/client.json")
TICKETS = ServerKey("tickets")
_LEVELS = st.sampled_from([None, *Level])


def _may(
    graph: Graph, subject: SubjectId, granted: Level | None, needed: Level, *groups: str
) -> bool:
    contextual = [
        *consent_tuples(subject, SHARED, {} if granted is None else {TICKETS: granted}),
        *membership_tuples(subject, groups),
    ]
    question = Question(
        object=f"server:{TICKETS}", permission=f"use_{needed.word}", subject=agent(SHARED)
    )
    return check(host_schema(), graph, question, at=_AT, contextual=contextual).allowed


@pytest.mark.requirement("Z-09", "Z-10")
@pytest.mark.parametrize(("granted", "ceiling"), list(itertools.product(Level, Level)))
def test_all_nine_cells_hold_as_permissions(granted: Level, ceiling: Level) -> None:
    graph = Graph.of([ceiling_tuple(TICKETS, ceiling, person(ALICE))])

    may = [_may(graph, ALICE, granted, needed) for needed in Level]

    assert may == [needed <= min(granted, ceiling) for needed in Level]


@pytest.mark.requirement("Z-11")
@given(
    ceilings=st.fixed_dictionaries({ALICE: _LEVELS, BOB: _LEVELS}),
    granted=_LEVELS,
    group=_LEVELS,
    in_group=st.booleans(),
    needed=st.sampled_from(Level),
)
def test_the_permission_is_the_lower_of_consent_and_ones_own_highest_ceiling(
    ceilings: dict[SubjectId, Level | None],
    granted: Level | None,
    group: Level | None,
    in_group: bool,
    needed: Level,
) -> None:
    """Bob's ceilings and his standing mandate for the same agent change nothing for Alice."""
    edges = [
        ceiling_tuple(TICKETS, level, person(subject))
        for subject, level in ceilings.items()
        if level is not None
    ]
    if group is not None:
        edges.append(ceiling_tuple(TICKETS, group, members("eng")))
    edges += [
        Tuple(object="group:eng", relation="member", subject=person(BOB)),
        Tuple(object=person(BOB), relation="mandate", subject=agent(SHARED)),
        # Stored by mistake: they exist for one decision only, so these count for nothing.
        Tuple(object=person(BOB), relation="delegate", subject=agent(SHARED)),
        Tuple(object=f"server:{TICKETS}", relation="granted_high", subject=agent(SHARED)),
    ]
    highest = max(
        (each for each in (ceilings[ALICE], group if in_group else None) if each is not None),
        default=None,
    )
    expected = granted is not None and highest is not None and needed <= min(granted, highest)

    assert _may(Graph.of(edges), ALICE, granted, needed, *(["eng"] if in_group else [])) is expected


@pytest.mark.parametrize("needed", list(Level))
def test_a_tool_can_be_called_by_whoever_may_use_its_server_at_its_level(needed: Level) -> None:
    graph = Graph.of(
        [
            ceiling_tuple(TICKETS, Level.MEDIUM, person(ALICE)),
            Tuple(object="tool:tickets/x", relation=needed.word, subject=f"server:{TICKETS}"),
        ]
    )
    question = Question(object="tool:tickets/x", permission="call", subject=agent(SHARED))
    contextual = consent_tuples(ALICE, SHARED, {TICKETS: Level.HIGH})

    verdict = check(host_schema(), graph, question, at=_AT, contextual=contextual)

    assert verdict.allowed is (needed <= Level.MEDIUM)


@pytest.mark.parametrize(
    "text",
    [
        "person:p#delegate@agent:a",
        "server:s#granted_high@agent:a",
        "server:s#low@person:p[expiration:2030-01-01T00:00:00Z]",
        "server:s#low@person:*",
        "server:s#low@agent:a",
        "server:s#lowest@person:p",
        "server:s#use_low@agent:a",
    ],
)
def test_what_the_base_schema_has_no_room_for_is_not_stored(text: str) -> None:
    with pytest.raises(SchemaError):
        host_schema().check(Tuple.parse(text))


def test_a_ceiling_of_a_group_does_not_walk_its_members() -> None:
    edges = [Tuple.parse(f"group:eng#member@person:p{n}") for n in range(20_000)]
    edges.append(ceiling_tuple(TICKETS, Level.LOW, members("eng")))
    graph = Graph.of(edges)
    question = Question(object="server:tickets", permission="use_low", subject=agent(SHARED))

    for subject, allowed in (("p17", True), ("stranger", False)):
        contextual = consent_tuples(SubjectId(subject), SHARED, {TICKETS: Level.LOW})
        verdict = check(host_schema(), graph, question, at=_AT, contextual=contextual, work=40)
        assert verdict.allowed is allowed


def test_the_way_to_a_yes_is_told() -> None:
    graph = Graph.of([ceiling_tuple(TICKETS, Level.HIGH, members("eng"))])
    contextual = [
        *consent_tuples(ALICE, ClientId("a"), {TICKETS: Level.LOW}),
        *membership_tuples(ALICE, ["eng"]),
    ]
    question = Question(object="server:tickets", permission="use_low", subject="agent:a")

    verdict = check(host_schema(), graph, question, at=_AT, contextual=contextual)

    assert verdict.path == (
        "server:tickets#use_low",
        "server:tickets#granted_low@agent:a",
        "server:tickets#high@group:eng#member",
        "group:eng#delegate",
        "group:eng#member@person:p_alice",
        "person:p_alice#delegate@agent:a",
    )
