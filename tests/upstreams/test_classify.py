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
        ("get_database_url", "it may show what opens other things: “database url”"),
        ("read_sql", "it runs whatever it is given: “sql”"),
        ("dm_everyone", "it changes many things at once: “everyone”"),
        ("format_disk", "it empties what it formats: “disk”"),
        ("redis_flushall", "of the word “flush”"),
        ("git_log", "of the word “log”"),
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
    "get_env get_password get_secret get_secret_value git_checkout git_push "
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

# Tools of popular servers, judged by hand before any was classified, and their neighbours.
MORE_READS = (
    "API-retrieve-a-page bank_account_info brave_web_search browser_console_messages "
    "browser_network_requests browser_snapshot browser_take_screenshot codebase_search "
    "collection-indexes collection_schema conversations_search_messages db_schema "
    "describe_table describe_volume directory_tree download_figma_images fetch_sql_schema "
    "find_symbol get-library-docs get_advisors get_api get_categories get_code "
    "get_component_details get_config_json get_connection get_cookie_policy get_cost "
    "get_country_code get_crypto_price get_current_time get_diagnostics get_env_file_path "
    "get_figma_data get_file_contents get_file_info get_indexes get_issue_status get_js "
    "get_keyboard get_logs get_method get_movies get_neo4j_schema get_pods get_policy "
    "get_primary_key get_project_url get_screenshot get_secret_scanning_alert get_seed_data "
    "get_sentry_resource get_service_account get_source_code get_ssl_certificate "
    "get_status_code get_text_message get_trade_history get_url git_diff git_diff_staged "
    "git_log git_show git_tree list_alert_rules list_allowed_directories list_aws_accounts "
    "list_charges list_coins list_connections list_directory_with_sizes list_disks "
    "list_extensions list_issues list_network_requests list_pages list_policies "
    "list_service_accounts list_sessions list_tables list_trades list_transactions "
    "notion-fetch puppeteer_screenshot query_loki_logs query_prometheus read_config_file "
    "read_graph read_multiple_files read_neo4j_cypher read_query read_text_file "
    "resolve-library-id retrieve_balance search_dashboards search_emails search_files "
    "search_nodes search_repositories search_sql_docs slack_get_channel_history "
    "ssh_list_hosts take_screenshot tavily_search "
).split()
MORE_CHANGES = (
    "add_issue_comment API-patch-page API-post-search append_insight begin_transaction "
    "browser_close browser_file_upload browser_hover browser_press_key browser_tabs "
    "browser_type click commit_transaction confirm_cost conversations_add_message "
    "convert_time create_directory create_entities create_or_update_file create_order "
    "create_payment_link create_snapshot create_webhook decrypt_value dismiss_notification "
    "edit_file email_user emulate_network fill_form finalize_invoice firecrawl_crawl "
    "firecrawl_scrape fork_repository format_code format_date generate_typescript_types "
    "get_anon_key get_auth_header get_backup_code get_connection_string get_cookies "
    "get_database_url get_db_url get_dsn get_env get_environment_variables get_jwt "
    "get_private_key get_publishable_keys get_seed_phrase get_service_account_json get_token "
    "get_webhook_url git_add git_branch git_commit gmail_send_draft handle_dialog hset "
    "invite_user invoke_lambda kubectl_rollout list_api_keys list_cookies list_credentials "
    "log_workout merge_pull_request move_file navigate_page new_page notify_user "
    "notion-create-pages partition_disk pause_project performance_start_trace place_order "
    "plant_tree port_forward print_env puppeteer_click puppeteer_navigate push_files "
    "read_env_file redis_set rename_symbol replace_regex request_copilot_review "
    "rerun_failed_jobs restart_service restore_project reveal_secret run_checkov_scan "
    "save_issue scale_deployment send_email send_message sequentialthinking set_config_value "
    "share_file sign_document slack_post_message submit_form swap_columns terraform_plan "
    "update_branch_protection update_cookie_banner update_dashboard upload_file vm_snapshot "
    "wreck_schema write_file write_query "
).split()
MORE_DESTROYS = (
    "add_collaborator API-delete-a-block assume_ownership assume_role attach_policy "
    "batch_delete_emails batch_modify_emails broadcast_message broadcast_transaction "
    "browser_run_code call_api call_aws call_method cleanup_pods clear_all code_interpreter "
    "create_access_key create_refund delete_file delete_observations dm_everyone drain_node "
    "drop-database drop_collection email_blast eval_js execute_blender_code execute_cypher "
    "execute_sql execute_trade ExecuteTerraformCommand export_private_key factory_reset "
    "fetch_sql flushdb force_terminate format_disk grant_permission graphql_mutation "
    "helm_uninstall json_del kill_process killall kubectl_delete kubectl_exec mass_email "
    "notify_all_users npx purge_cache python_repl read_sql reboot_instance redis_flushall "
    "resetdb run_cell run_js run_python search_sql send_eth shutdown sign_transaction "
    "ssh_exec swap_tokens terraform_apply terraform_destroy text_everyone truncate_table "
    "update_policy wipe_device wire_transfer "
).split()


@pytest.mark.parametrize("name", [*READS, *MORE_READS])
def test_what_only_reads_is_low(name: str) -> None:
    assert classify(name).level is Level.LOW


@pytest.mark.parametrize("name", [*CHANGES, *MORE_CHANGES])
def test_what_changes_or_shows_a_secret_is_medium(name: str) -> None:
    assert classify(name).level is Level.MEDIUM


@pytest.mark.parametrize("name", [*DESTROYS, *MORE_DESTROYS])
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
