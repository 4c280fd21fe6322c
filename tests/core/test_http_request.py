"""A declared request: one place for each argument, and a path that only leads down."""

from __future__ import annotations

from typing import Any

import pytest

from safeconduct.core.http_request import HttpRequest, check_path, faults, variables


def asked(path: str = "/issues/{id}", **more: Any) -> HttpRequest:
    return HttpRequest(**{"method": "GET", "path": path, "required": ("id",)} | more)


def schema(*names: str, **more: Any) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": ["id"]} | more


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/issues",
        "/issues/",
        "/{a}/{b}.json",
        "/a-b_c~d/{x}{y}",
        "/v1:batch",
        "/a%20b",
        "/...",
        "/{..}",
    ],
)
def test_a_path_that_leads_down_is_fit(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    "path",
    [
        *("", "issues", "//host/x", "/a//b", "/./a", "/a/..", "/a/../b", "/..", "/%2e%2e/a"),
        *("/a/..;/b", "/..;x=1/a", "/a%2f..%3b%2fb", "/%252e%252e/a", "/a/.;v/b"),
        *("/a%2f..%2fb", "/%2E/x", "/a%5c..", "/a?b=1", "/a#b", "/a b", "/{a", "/a}", "/{}"),
        *("/{a/b}", "/%zz", "/é", "/a\\b", "/a\nb", "/" + "a" * 1024),
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="must"):
        check_path(path)


def test_a_path_names_its_arguments_in_order() -> None:
    assert variables("/{b}/x/{a}.{c}") == ["b", "a", "c"]


def test_arguments_that_each_have_one_place_are_fit() -> None:
    request = asked(method="POST", query=("page",), body=("title",), bodied=True)

    assert list(faults(request, schema("id", "page", "title"))) == []


@pytest.mark.parametrize(
    ("request_", "said", "member", "sentence"),
    [
        (asked(query=("id",)), schema("id"), "query", "has a place already"),
        (asked("/{id}/{id}"), schema("id"), "path", "has a place already"),
        (asked(method="PUT", body=("id",)), schema("id"), "body", "has a place already"),
        (asked(method="PUT", whole="id"), schema("id"), "body", "has a place already"),
        (asked(body=("a",)), schema("id", "a"), "body", "GET has none"),
        (asked(whole="a"), schema("id", "a"), "body", "GET has none"),
        (asked(query=("a\n",)), schema("id", "a\n"), "query", "cannot be the name"),
        (asked(query=("a" * 129,)), schema("id", "a" * 129), "query", "cannot be the name"),
        (asked(query=("page",)), schema("id"), "query", "input does not describe"),
        (asked(), schema("id", "page"), "input", "neither path, query nor body"),
        (asked(), schema("id", required=["id", "x"]), "input", "neither path, query nor body"),
        (asked(), schema("id", required=[]), "input", "must require 'id'"),
        (asked(), schema("id", required="id"), "input", "a list of names"),
        (asked(), schema("id", required=[1]), "input", "a list of names"),
        (asked(), schema("id", type="array"), "input", "schema of an object"),
        (asked(), {"type": "object", "properties": []}, "input", "schema of an object"),
        (
            asked(query=tuple(f"a{n}" for n in range(200))),
            schema("id", *(f"a{n}" for n in range(200))),
            "input",
            "more than 200",
        ),
    ],
)
def test_an_argument_without_exactly_one_place_is_a_fault(
    request_: HttpRequest, said: dict[str, Any], member: str, sentence: str
) -> None:
    found = [(fault.member, fault.sentence) for fault in faults(request_, said)]

    assert any(where == member and sentence in what for where, what in found), found
