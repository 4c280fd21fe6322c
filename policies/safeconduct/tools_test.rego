package safeconduct.tools_test

import rego.v1

answer(members) := got if {
	got := data.safeconduct.decision.answer with input as data.safeconduct.fixtures.changed("tool", members)
}

test_unknown_and_disabled_read_the_same if {
	unknown := answer({"known": false})
	disabled := answer({"enabled": false})
	unknown.reason == "tool.unknown"
	disabled.reason == "tool.disabled"
	unknown.message == "Unknown tool: delete_issue"
	object.remove(unknown, {"reason", "rules"}) == object.remove(disabled, {"reason", "rules"})
}

test_a_hidden_tool_shows_no_level if {
	answer({"enabled": false}).required_level == null
}

test_changed_and_new_tools_wait if {
	answer({"state": "changed"}).reason == "tool.changed"
	contains(answer({"state": "changed"}).message, "was changed by the server")
	answer({"state": "new"}).reason == "tool.changed"
	contains(answer({"state": "new"}).message, "is new at the server")
	answer({"state": "pinned"}).reason == "allowed"
}
