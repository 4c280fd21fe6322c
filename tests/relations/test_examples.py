"""The worked examples: delegation, assignees, documents owned or shared, types without a schema."""

from __future__ import annotations

import pytest

from safeconduct.relations import (
    Graph,
    Question,
    QuestionRefused,
    SchemaError,
    Subjects,
    Tuple,
    Unanswerable,
    check,
    check_many,
    compile_schema,
    host_schema,
    lookup_resources,
    lookup_subjects,
)

pytestmark = pytest.mark.requirement("Z-08", "Z-16", "Z-18", "Z-40")

_AT = 1_800_000_000.0
OWN = """
definition document {
    relation owner: person
    relation reader: person | person:* | group#member
    permission edit = owner + owner->represented
    permission read = edit + reader
}

definition ticket {
    relation assignee: person
    permission edit = assignee->represented
}
"""


def _graph(*texts: str) -> Graph:
    return Graph.of(map(Tuple.parse, texts))


def _allowed(graph: Graph, text: str, *contextual: str, own: str = OWN) -> bool:
    edge = Tuple.parse(text)
    question = Question(object=edge.object, permission=edge.relation, subject=edge.subject)
    passing = [Tuple.parse(each) for each in contextual]
    return check(host_schema(own), graph, question, at=_AT, contextual=passing).allowed


def test_an_agent_acts_on_behalf_of_a_person_who_owns_a_document() -> None:
    graph = _graph(
        "person:alice#mandate@agent:bot",
        "document:1#owner@person:alice",
        "document:2#owner@person:bob",
    )

    assert _allowed(graph, "document:1#edit@agent:bot")
    assert not _allowed(graph, "document:2#edit@agent:bot")


def test_an_agent_may_edit_a_ticket_only_if_its_human_is_the_assignee() -> None:
    graph = _graph("ticket:T-7#assignee@person:alice")

    assert _allowed(graph, "ticket:T-7#edit@agent:bot", "person:alice#mandate@agent:bot")
    assert not _allowed(graph, "ticket:T-7#edit@agent:bot", "person:bob#mandate@agent:bot")
    assert not _allowed(graph, "ticket:T-7#edit@agent:bot")


def test_only_documents_owned_by_or_shared_with_a_person_are_read_and_listed() -> None:
    graph = _graph(
        "document:own#owner@person:alice",
        "document:shared#reader@person:alice",
        "document:team#reader@group:eng#member",
        "group:eng#member@group:core#member",
        "group:core#member@person:alice",
        "document:public#reader@person:*",
        "document:other#owner@person:bob",
    )
    schema = host_schema(OWN)

    found = lookup_resources(schema, graph, "document", "read", "person:alice", at=_AT)

    assert found == ["document:own", "document:public", "document:shared", "document:team"]
    assert lookup_subjects(schema, graph, "document:team", "read", "person", at=_AT) == Subjects(
        found=("person:alice",)
    )
    public = lookup_subjects(schema, graph, "document:public", "read", "person", at=_AT)
    assert public == Subjects(found=(), everyone=True)


def test_a_type_without_a_definition_can_be_asked_about_by_its_relations() -> None:
    graph = _graph(
        "issue:7#assignee@user:alice@acme.test",
        "issue:8#assignee@team:x#lead",
        "team:x#lead@user:bob",
    )

    assert _allowed(graph, "issue:7#assignee@user:alice@acme.test")
    assert _allowed(graph, "issue:8#assignee@user:bob")
    assert not _allowed(graph, "issue:7#assignee@user:bob")
    assert not _allowed(graph, "issue:7#owner@user:bob")
    own = "definition issue {\n relation owner: person\n}\n"
    with pytest.raises(QuestionRefused, match="issue has no relation or permission assignee"):
        _allowed(graph, "issue:7#assignee@user:bob", own=own)


def test_an_edge_is_none_from_the_moment_it_expires() -> None:
    graph = Graph.of([Tuple.parse("issue:7#assignee@user:a[expiration:2027-01-15T08:00:00Z]")])
    question = Question(object="issue:7", permission="assignee", subject="user:a")
    ends = 1_800_000_000.0

    assert check(host_schema(), graph, question, at=ends - 0.001).allowed
    assert not check(host_schema(), graph, question, at=ends).allowed


def test_one_question_of_many_that_fails_is_a_no_to_that_one() -> None:
    graph = _graph("document:1#owner@person:alice")
    questions = [
        Question(object="document:1", permission=permission, subject="person:alice")
        for permission in ("read", "reed", "edit")
    ]

    verdicts = check_many(host_schema(OWN), graph, questions, at=_AT)

    assert [each.allowed for each in verdicts] == [True, False, True]
    assert "did you mean read?" in verdicts[1].reason


def test_a_walk_that_takes_too_much_work_is_refused() -> None:
    text = "definition usr {}\ndefinition grp {\nrelation mem: usr | grp#mem\n}"
    graph = _graph(
        *(f"grp:a#mem@grp:b{n}#mem" for n in range(200)),
        *(f"grp:b{n}#mem@usr:x" for n in range(200)),
    )
    question = Question(object="grp:a", permission="mem", subject="usr:y")

    assert not check(compile_schema(text), graph, question, at=_AT, work=300).allowed
    with pytest.raises(Unanswerable, match="too many"):
        check(compile_schema(text), graph, question, at=_AT, work=100)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("definition person {}", "line 1: person is one of the types every host has"),
        ("definition doc {\n relation own: persn\n}", "line 2: .*persn.*did you mean person"),
        (
            "definition doc {\n relation own: person\n permission red = owm\n}",
            "line 3.*did you mean own",
        ),
        (
            "caveat x(a int) {\n a > 1\n}",
            "line 1: caveats are not supported.*Rego.*input.arguments",
        ),
        ("definition doc {\n relation own: person with friday\n}", "line 2: caveats are not"),
        ("use partial", "line 1: partials are not supported"),
        (
            "definition doc {\n relation own: person\n permission red: person = own\n}",
            "line 3: type ann",
        ),
        ("x" * 300_000, "larger than 256 KiB"),
        (f"definition doc {{\n relation own: person\n permission red = {'(' * 13}own", "brackets"),
    ],
)
def test_a_schema_error_names_the_line_and_what_to_do(own: str, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        host_schema(own)
