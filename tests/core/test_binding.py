"""Which instance a call is about: what an argument or a URI names, and what names nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.binding import (
    MOST_VALUES,
    Binding,
    Question,
    UriBinding,
    ambiguity_of,
    asked_of_arguments,
    asked_of_uri,
    check_template,
)

TICKET = Binding(path="arguments.issue_id", object="ticket:{value}", permission="edit")
MANY = Binding(path="arguments.ids.*", object="ticket:{value}", permission="edit")
NESTED = Binding(path="arguments.items.*.id", object="ticket:{value}", permission="edit")
URI = UriBinding(uri="ticket://{project}/{id}", object="ticket:{project}-{id}", permission="read")


def objects(binding: Binding, arguments: dict[str, Any] | None) -> list[str]:
    return [asked.object for asked in asked_of_arguments((binding,), arguments)]


@pytest.mark.requirement("Z-17", "Z-18")
def test_an_argument_names_the_instance() -> None:
    assert asked_of_arguments((TICKET,), {"issue_id": "T-7"}) == [
        Question("ticket:T-7", "edit", "person")
    ]
    assert objects(TICKET, {"issue_id": 7}) == ["ticket:7"]
    assert objects(TICKET, {"issue_id": ["T-7", "T-8"]}) == ["ticket:T-7", "ticket:T-8"]


@pytest.mark.requirement("Z-17", "Z-18")
@pytest.mark.parametrize(
    "value",
    [None, True, 1.5, "", "*", "T 7", "T#7", "T@7", "T\n7", "T-7\x00", {}, {"id": 7}, "x" * 257],
)
def test_what_is_no_plain_name_names_no_object(value: object) -> None:
    assert objects(TICKET, {"issue_id": value}) == [""]
    assert objects(TICKET, {"issue_id": ["T-7", value]}) == ["ticket:T-7", ""]


@pytest.mark.requirement("Z-17")
@pytest.mark.parametrize("arguments", [None, {}, {"issue-id": "T-7"}, {"issue_id": []}])
def test_a_missing_argument_names_no_object_unless_it_may_be_left_out(
    arguments: dict[str, Any] | None,
) -> None:
    optional = Binding(
        path=TICKET.path, object=TICKET.object, permission=TICKET.permission, optional=True
    )

    assert objects(TICKET, arguments) == [""]
    assert objects(optional, arguments) == []


@pytest.mark.requirement("Z-17")
@pytest.mark.parametrize("ids", ["T-7", {"0": "T-7"}, 7, None])
def test_an_optional_argument_of_another_kind_is_not_left_out(ids: object) -> None:
    """Or a list that is sent as a text would be asked about by nobody."""
    optional = Binding(path="arguments.ids.*", object="t:{value}", permission="edit", optional=True)
    deeper = Binding(path="arguments.ids.id", object="t:{value}", permission="edit", optional=True)

    assert objects(optional, {"ids": ids}) == [""]
    if not isinstance(ids, dict):
        assert objects(deeper, {"ids": ids}) == [""]


@pytest.mark.requirement("Z-17")
@pytest.mark.parametrize(
    "arguments",
    [{"Issue_Id": "T-8"}, {"issue_id": "T-7", "ISSUE_ID": "T-8"}],
)
def test_a_name_that_differs_by_case_alone_names_no_object(arguments: dict[str, Any]) -> None:
    """Some servers ignore the case of members (Go's encoding/json), and would read the other."""
    optional = Binding(path="arguments.issue_id", object="t:{value}", permission="e", optional=True)

    assert objects(TICKET, arguments) == [""]
    assert objects(optional, arguments) == [""]


@pytest.mark.requirement("Z-18")
def test_each_item_of_an_array_is_asked_about() -> None:
    assert objects(MANY, {"ids": ["a", "b"]}) == ["ticket:a", "ticket:b"]
    assert objects(NESTED, {"items": [{"id": "a"}, {"id": "b"}]}) == ["ticket:a", "ticket:b"]
    assert objects(NESTED, {"items": [{"id": "a"}, {"name": "b"}]}) == ["ticket:a", ""]
    assert objects(MANY, {"ids": ["x"] * MOST_VALUES}) == ["ticket:x"] * MOST_VALUES
    assert objects(MANY, {"ids": ["x"] * (MOST_VALUES + 1)}) == [""]


@pytest.mark.requirement("Z-18", "Z-28")
def test_the_parts_of_a_uri_name_the_instance() -> None:
    assert asked_of_uri((URI,), "ticket://T/7") == [Question("ticket:T-7", "read", "person")]
    assert asked_of_uri((URI,), "note://T/7") == []


@pytest.mark.requirement("Z-18", "Z-28")
@pytest.mark.parametrize(
    "uri",
    [
        "ticket://T",
        "ticket://T/7/8",
        "ticket://T/7/",
        "ticket://T/../7",
        "ticket://../7",
        "ticket://T/%37",
        "ticket://T/7?x=1",
        "ticket://T/7#x",
        "ticket://T//7",
        "ticket://",
        "TICKET://T/7",
        "ticket://T/7\n",
        "ticket://T/..",
    ],
)
def test_a_uri_that_begins_like_a_template_and_does_not_fit_names_no_object(uri: str) -> None:
    assert [asked.object for asked in asked_of_uri((URI,), uri)] == [""]


@pytest.mark.requirement("Z-18", "Z-28")
@pytest.mark.parametrize(
    ("uri", "asked"),
    [
        ("ticket://T-7", ["ticket:T-7"]),
        ("ticket://T-7/comments", ["ticket:T-7"]),
        ("ticket://T-7:80", [""]),
        ("ticket://u@T-7", [""]),
        ("ticket://T-7/comments/1", [""]),
        ("ticket:T-7", [""]),
        ("Ticket://T-7", [""]),
        ("ticket://help", []),
        ("ticket://help/", [""]),
        ("ticket://{id}", [""]),
        ("ticket://{any}/comments", [""]),
        ("ticket://{id}/public", []),
        ("ticket://T-7/public", []),
        ("note://help", []),
    ],
)
def test_a_uri_of_a_bound_scheme_that_fits_nothing_names_no_object(
    uri: str, asked: list[str]
) -> None:
    bindings = (
        UriBinding(uri="ticket://{id}", object="ticket:{id}", permission="read"),
        UriBinding(uri="ticket://{id}/comments", object="ticket:{id}", permission="read"),
        UriBinding(uri="ticket://help", permission="none"),
        UriBinding(uri="ticket://{id}/public", permission="none"),
    )

    assert [each.object for each in asked_of_uri(bindings, uri)] == asked


def test_a_port_counts_where_the_template_has_one() -> None:
    ported = UriBinding(uri="db://{host}:{port}/{name}", object="db:{name}", permission="read")

    assert [each.object for each in asked_of_uri((ported,), "db://h:5432/a:b")] == ["db:a:b"]
    assert [each.object for each in asked_of_uri((ported,), "db://h/a")] == [""]


SEARCH = UriBinding(uri="search://q?x={y}&id={id}", object="ticket:{id}", permission="read")


@pytest.mark.requirement("Z-18", "Z-28")
@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("search://q?x=1&id=T-7", "ticket:T-7"),
        ("search://q?x=a,b|c:d&id=T-7", "ticket:T-7"),
        ("search://q?x=1&id=T-8&id=T-7", ""),
        ("search://q?x=1&id=T-7&id=T-8", ""),
        ("search://q?x=1&id=T-7&x=2", ""),
        ("search://q?x=id=T-8&id=T-7", ""),
        ("search://q?x=1;id=T-8&id=T-7", ""),
        ("search://q?x=1&id=T-7;id=T-8", ""),
        ("search://q?id=T-7&x=1", ""),
    ],
)
def test_a_part_of_a_query_holds_no_other_field(uri: str, named: str) -> None:
    assert [each.object for each in asked_of_uri((SEARCH,), uri)] == [named]


@pytest.mark.requirement("Z-18", "Z-28")
def test_a_part_of_a_path_holds_what_separates_the_fields_of_a_query() -> None:
    path = UriBinding(uri="ticket://all/{id}", object="ticket:{id}", permission="read")

    assert [each.object for each in asked_of_uri((path,), "ticket://all/a=b&c")] == ["ticket:a=b&c"]


@pytest.mark.requirement("Z-18", "Z-28")
def test_a_part_that_stands_twice_is_the_same_twice() -> None:
    """Settings refuse it; what was stored before must not fail otherwise."""
    twice = UriBinding(uri="t://{id}/{id}", object="ticket:{id}", permission="read")

    assert [each.object for each in asked_of_uri((twice,), "t://a/a")] == ["ticket:a"]
    assert [each.object for each in asked_of_uri((twice,), "t://a/b")] == [""]


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("ticket://{id}", ""),
        ("ticket://{project}/{id}", ""),
        ("ticket://x-{project}-y/{id}.json", ""),
        ("db://{host}:{port}/{name}", ""),
        ("ticket://{id}@{host}", ""),
        ("search://q?x={y}&id={id}", ""),
        ("search://q?{name}={id}", ""),
        ("ticket://{id}?x={y}", ""),
        ("ticket://{id}/a/{id}", "stands there twice"),
        ("search://q?x={id}&id={id}", "stands there twice"),
        ("ticket://{id}{b}", "where {id} ends and {b} begins"),
        ("ticket://{id}-{b}", "where {id} ends and {b} begins"),
        ("ticket://a/{id}:{b}", "where {id} ends and {b} begins"),
        ("ticket://a/{id}&{b}", "where {id} ends and {b} begins"),
        ("ticket://{a}/{id}.{b}", "where {id} ends and {b} begins"),
        ("search://q?x={y}+{id}", "where {y} ends and {id} begins"),
        ("search://q?x={y}id{id}", "where {y} ends and {id} begins"),
    ],
)
def test_a_template_can_be_read_in_one_way(template: str, why: str) -> None:
    assert why in ambiguity_of(template)
    assert bool(why) == bool(ambiguity_of(template))


@pytest.mark.parametrize(
    ("template", "fine"),
    [
        ("ticket:{value}", True),
        ("acme/ticket:{value}", True),
        ("ticket:T-{value}", True),
        ("ticket:all", True),
        ("ticket", False),
        ("ticket:", False),
        ("Ticket:{value}", False),
        ("ticket:{other}", False),
        ("ticket:{value}#owner", False),
        ("ticket:*", False),
    ],
)
def test_a_template_spells_a_type_and_an_id(template: str, *, fine: bool) -> None:
    assert (check_template(template, frozenset({"value"})) == "") == fine


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["ids", "id", "items", "issue_id"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(arguments=st.dictionaries(st.sampled_from(["ids", "items", "issue_id"]), JSON, max_size=3))
def test_every_binding_that_must_be_there_asks_something(arguments: dict[str, Any]) -> None:
    for binding in (TICKET, MANY, NESTED):
        asked = asked_of_arguments((binding,), arguments)

        assert asked
        for each in asked:
            assert each.object == "" or each.object.startswith("ticket:")
            assert not set(each.object) & set("#@*\n ")
