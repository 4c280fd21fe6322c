"""Levels guessed from names: whole words decide, and the higher table wins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconduct.core.model import Level
from safeconduct.upstreams import classify

# ruff: noqa: SIM905  a table of words is read as a text
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
        ("transfer_ownership", Level.HIGH),
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
        ("mysql_query", "it runs whatever it is given: “query”"),
        ("get_secret", "it may show what opens other things: “secret”"),
        ("get", "its name does not say what it shows"),
        ("create_api_key", "it changes what opens other things: “api key”"),
        ("disable_mfa", "it ends what protects: “mfa”"),
        ("add_collaborator", "it decides who may do what: “collaborator”"),
        ("make_public", "it opens something to others: “public”"),
        ("import_users", "it replaces who there is: “import”"),
        ("approve_all", "it changes many things at once: “all”"),
        ("send_payment", "it moves money: “payment”"),
    ],
)
def test_the_reason_names_what_decided(name: str, because: str) -> None:
    assert classify(name).because == because


# Objects that are no verbs, executors, secrets, many things at once, what cannot be taken back.
READS = (
    "analyze_query batch_get_documents cat_file count_tokens explain_query fetch "
    "get_all_users get_build get_call get_code_scanning_alert get_comment get_commit "
    "get_deleted_items get_export get_lock_status get_me get_order get_password_reset "
    "get_pin get_pull_request_comments get_query_history get_release get_reset_status "
    "get_share_link get_shell_history get_sql_schema get_token_price get_user_permissions "
    "git_diff git_status has_permission is_admin kubectl_describe kubectl_get label_get "
    "list list_commits list_migrations list_orders list_processes list_pull_requests "
    "list_roles list_secret_scanning_alerts pull_request_read query_logs query_rows "
    "read_neo4j_cypher read_process_output search_code search_query validate_sql "
    "view_file whoami "
    "get_merge_request list_merge_requests get_label get_draft_note get-schedule "
    "jira_get_link_types"
).split()
CHANGES = (
    "add_issue_comment apply_patch batch_create create_batch create_branch "
    "create_payment_link create_script deleted_items deploy_edge_function disable_user "
    "edit_message execute_workflow find_or_create_user generate_sql get_access_token "
    "get_env get_password get_secret get_secret_value git_checkout git_log git_push "
    "import_data insert_many invite_member issue_write kubectl_logs kubectl_scale "
    "launch_browser list_secrets logs mark_as_read mark_read modify_schema printEnv "
    "react_to_message read rebase_branch revert_commit run_tests run_workflow save_query "
    "search_and_replace select_rows set_status start_search status_update stop_search "
    "sub_issue_write task_list_create test_connection transfer_app type_text unlock "
    "update_status verify_email watch write_neo4j_cypher "
).split()
DESTROYS = (
    "add_collaborator alter_user bash batch_update bigquery_query browser_evaluate "
    "browser_run_code bulk_create_users cache_clear call_tool create_api_key "
    "create_refund create_role d1_query delete_all deleteuser disable_mfa docker_run "
    "drop_collection env_var_set evaluate_script execute execute_command "
    "execute_migration execute_query execute_tool executesql export_all force_push "
    "format_sql grant_access history_clear import_users issue_refund kubectl_apply "
    "kubectl_delete make_public mark_all_notifications_read node_management open_terminal "
    "pause_monitoring pay_invoice puppeteer_evaluate push_force query_database "
    "reset_password rotate_credentials run run_command run_shell_command run_sql "
    "run_terminal_cmd runcommand secret_put send_command send_password_reset send_payment "
    "set_secret shell sql sql_query ssh_execute todo_list_clear transfer_funds "
    "update_many update_permissions "
    "mysql_query query pg_execute_sql pg_psql apply_migration reset_branch pg_alter_table "
    "pg_manage_schema pg_disable_rls deploy_one_off_dyno exec_in_pod kubectl_generic "
    "start_process interact_with_process n8n_manage_credentials run_resource_action "
    "device_approval_approve_all import_org_users_and_groups env_var_bulk_set"
).split()


@pytest.mark.parametrize("name", READS)
def test_what_only_reads_is_low(name: str) -> None:
    assert classify(name).level is Level.LOW


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_or_shows_a_secret_is_medium(name: str) -> None:
    assert classify(name).level is Level.MEDIUM


@pytest.mark.parametrize("name", DESTROYS)
def test_what_cannot_be_taken_back_runs_anything_or_opens_access_is_high(name: str) -> None:
    assert classify(name).level is Level.HIGH


@pytest.mark.requirement("SEC-54")
@pytest.mark.parametrize(
    ("name", "annotations", "level"),
    [
        ("get_user", {"destructiveHint": True}, Level.HIGH),
        ("get_user", {"readOnlyHint": False}, Level.HIGH),
        ("get_user", {"readOnlyHint": False, "destructiveHint": None}, Level.HIGH),
        ("get_user", {"readOnlyHint": False, "destructiveHint": "no"}, Level.HIGH),
        ("get_user", {"readOnlyHint": False, "destructiveHint": False}, Level.MEDIUM),
        ("get_user", {"readOnlyHint": True, "destructiveHint": True}, Level.LOW),
        ("get_user", {}, Level.LOW),
        ("run_sql", {"readOnlyHint": True}, Level.HIGH),
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
