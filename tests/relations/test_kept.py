"""What the base schema keeps for decisions' own use cannot be built on."""

from __future__ import annotations

import pytest

from safeconduct.relations import KEPT, SchemaError, base_text, check_kept, compile_schema
from safeconduct.relations.schema import CONTEXTUAL
from safeconduct.relations.syntax import Permission, leaves

TICKET = "definition ticket {{\n relation assignee: person | group#member\n{0}\n}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            TICKET.format(" permission edit = assignee->delegate"),
            (
                "schema line 3: edit names person#delegate, which is kept for decisions' own use "
                "and is always a no; use mandate, or bind the permission to the person"
            ),
        ),
        (TICKET.format(" permission edit = assignee.any(delegate)"), "schema line 3: edit"),
        (TICKET.format(" permission edit = nil - (assignee & assignee->delegate)"), "line 3"),
        (TICKET.format(" relation agents: person#delegate"), "line 3: agents names person#"),
        (TICKET.format(" relation agents: agent | group#delegate"), "line 3: agents names group#"),
        (
            TICKET.format(" relation users: group#member\n permission edit = users->delegate"),
            "line 4: edit names group#delegate",
        ),
        (
            TICKET.format(" relation users: server\n permission edit = users->use_low"),
            (
                "line 4: edit names server#use_low, which is kept for decisions' own use and is "
                "always a no; use ceiling_low, ceiling_medium or ceiling_high of the server"
            ),
        ),
        (
            TICKET.format(" relation users: server#granted_high"),
            "line 3: users names server#gra",
        ),
        (
            TICKET.format(" relation users: tool\n permission edit = users->call"),
            "line 4: edit names tool",
        ),
    ],
)
def test_a_definition_that_names_what_is_kept_is_refused_with_its_line(
    text: str, said: str
) -> None:
    with pytest.raises(SchemaError) as refused:
        check_kept(text)

    assert said in refused.value.public


@pytest.mark.parametrize(
    "text",
    [
        "",
        TICKET.format(" permission edit = assignee->represented"),
        TICKET.format(" relation users: server\n permission edit = users->ceiling_low"),
        (
            "definition team {\n relation delegate: person\n permission use_low = delegate\n}\n"
            "definition box {\n relation ours: team\n relation theirs: team#delegate\n"
            " permission call = ours->delegate + ours->use_low\n}"
        ),
    ],
)
def test_mandates_ceilings_and_names_of_ones_own_types_are_taken(text: str) -> None:
    check_kept(text)


def test_whatever_leads_to_what_no_decision_passes_is_kept() -> None:
    """But for `represented`, which a mandate leads to as well."""
    base = compile_schema(base_text()).definitions
    found, before = set(CONTEXTUAL), -1
    while before != len(found):
        before = len(found)
        found |= {
            (kind, member.name)
            for kind, definition in base.items()
            for member in definition.members.values()
            if isinstance(member, Permission)
            and member.name != "represented"
            and {each.name for each in leaves(member.expression)} & {name for _, name in found}
        }

    assert set(KEPT) == found
