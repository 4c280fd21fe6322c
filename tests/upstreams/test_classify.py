"""Levels guessed from names: whole words decide, and the higher table wins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.model import Level
from safeconduct.upstreams import classify

pytestmark = pytest.mark.requirement("K-12", "Z-05")


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("skills_list", Level.LOW),
        ("get_dropdown", Level.LOW),
        ("get_settings", Level.LOW),
        ("list_datasets", Level.LOW),
        ("get_address", Level.LOW),
        ("get_credit", Level.LOW),
        ("list_runs", Level.LOW),
        ("search", Level.LOW),
        ("getUser", Level.LOW),
        ("HTTPGet", Level.LOW),
        ("save_issue", Level.MEDIUM),
        ("archive_page", Level.MEDIUM),
        ("merge_pull_request", Level.MEDIUM),
        ("move_card", Level.MEDIUM),
        ("transfer_ownership", Level.MEDIUM),
        ("cancel_order", Level.MEDIUM),
        ("close_issue", Level.MEDIUM),
        ("approve_request", Level.MEDIUM),
        ("upload_file", Level.MEDIUM),
        ("trigger_build", Level.MEDIUM),
        ("get_and_update", Level.MEDIUM),
        ("frobnicate", Level.MEDIUM),
        ("", Level.MEDIUM),
        ("42", Level.MEDIUM),
        ("удалить", Level.MEDIUM),
        ("delete_user", Level.HIGH),
        ("bulk_delete_users", Level.HIGH),
        ("users.delete", Level.HIGH),
        ("user-delete-all", Level.HIGH),
        ("deleteUser", Level.HIGH),
        ("bulkDeleteUsers", Level.HIGH),
        ("DBDropTable", Level.HIGH),
        ("DELETE", Level.HIGH),
        ("list_and_remove", Level.HIGH),
        ("create_or_destroy", Level.HIGH),
        ("delete2fa", Level.HIGH),
    ],
)
def test_a_name_is_judged_by_its_words(name: str, level: Level) -> None:
    assert classify(name).level is level


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("bulk_delete_users", "of the word “delete”"),
        ("save_issue", "of the word “save”"),
        ("frobnicate", "its name has no word we know"),
    ],
)
def test_the_reason_names_what_decided(name: str, because: str) -> None:
    assert classify(name).because == because


@pytest.mark.requirement("SEC-54")
@pytest.mark.parametrize(
    ("name", "annotations", "level"),
    [
        ("get_user", {"destructiveHint": True}, Level.HIGH),
        ("get_user", {"readOnlyHint": False}, Level.MEDIUM),
        ("get_user", {"readOnlyHint": True}, Level.LOW),
        ("get_user", {"destructiveHint": "yes", "readOnlyHint": 0}, Level.LOW),
        ("save_issue", {"readOnlyHint": True}, Level.MEDIUM),
        ("save_issue", {"destructiveHint": True}, Level.HIGH),
        ("delete_user", {"readOnlyHint": True, "destructiveHint": False}, Level.HIGH),
        ("delete_user", {"readOnlyHint": False}, Level.HIGH),
        ("frobnicate", {"readOnlyHint": True}, Level.MEDIUM),
    ],
)
def test_annotations_raise_a_level_and_never_lower_it(
    name: str, annotations: dict[str, object], level: Level
) -> None:
    assert classify(name, annotations).level is level


@given(
    st.text(max_size=30),
    st.dictionaries(
        st.sampled_from(["readOnlyHint", "destructiveHint", "title"]),
        st.booleans() | st.none() | st.text(max_size=3),
    ),
)
def test_no_annotation_lowers_any_name(name: str, annotations: dict[str, object]) -> None:
    assert classify(name, annotations).level >= classify(name).level
