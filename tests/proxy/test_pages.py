"""A list that was read before is not read again, and says the same as when it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.egress import UpstreamFailed
from safeconduct.proxy import listings
from safeconduct.proxy.listings import Pages
from safeconduct.proxy.messages import METHODS, Listing

LISTINGS = {name: row.listing for name, row in METHODS.items() if row.listing is not None}
TOOLS = LISTINGS["tools/list"]
OF: dict[str, Any] = {"inputSchema": {"type": "object"}}
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"inputSchema": st.just({"type": "object"})},
        optional={"name": st.sampled_from(["a", "b", "", 1]), "uri": st.just("x:y")},
    )
    | st.integers(),
    max_size=4,
)


def answer(items: Any, member: str = "tools") -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": {member: items}}).encode()


@given(st.lists(st.tuples(st.sampled_from(sorted(LISTINGS)), ITEMS), max_size=6))
def test_what_is_remembered_is_what_would_be_read(asked: list[tuple[str, Any]]) -> None:
    pages = Pages()
    for method, items in asked * 2:
        listing = LISTINGS[method]
        raw = answer(items, listing.member)

        assert pages.page_of(raw, listing) == Pages().page_of(raw, listing)


def test_the_same_list_is_read_once_and_another_one_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    really = listings._read

    def counted(spelled: bytes, listing: Listing) -> Any:
        read.append(spelled)
        return really(spelled, listing)

    monkeypatch.setattr(listings, "_read", counted)
    pages = Pages()
    tools = [{"name": "a", "inputSchema": {"type": "object"}}]
    for _ in range(3):
        first = pages.page_of(answer(tools), TOOLS)
    assert len(read) == 1

    changed = pages.page_of(answer([tools[0] | {"description": "x"}]), TOOLS)

    assert len(read) == 2
    assert first is not None
    assert changed is not None
    assert first.pins != changed.pins
    assert LISTINGS["prompts/list"].pinned_as
    pages.page_of(answer(tools, "prompts"), LISTINGS["prompts/list"])
    assert len(read) == 3


def test_only_so_many_bytes_of_lists_are_remembered() -> None:
    pages = Pages()
    for number in range(10):
        pages.page_of(answer([OF | {"name": f"t{number}", "x": "y" * 900_000}]), TOOLS)
    pages.page_of(answer([OF | {"name": "large", "x": "y" * 2_000_000}]), TOOLS)

    kept = [json.loads(spelled)[0]["name"] for _, spelled in pages._read]

    assert kept == ["t6", "t7", "t8", "t9"]
    assert pages._bytes == sum(len(spelled) for _, spelled in pages._read)


def test_what_is_no_list_is_refused_each_time() -> None:
    pages = Pages()
    for _ in range(2):
        with pytest.raises(UpstreamFailed):
            pages.page_of(answer("no list"), TOOLS)
