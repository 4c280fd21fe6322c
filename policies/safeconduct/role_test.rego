package safeconduct.role_test

import rego.v1

crm_reader := {"crm-reader": {"servers": {"tickets": "low"}}}

answer(level, roles) := got if {
	got := data.safeconduct.decision.answer with input as data.safeconduct.fixtures.levels(level, "high", "high")
		with data.roles as roles
}

test_an_agent_that_is_a_reader_may_only_read if {
	roles := {"definitions": crm_reader, "agents": {"agent-1": ["crm-reader"]}}
	answer("low", roles).allow
	answer("medium", roles).reason == "role.exceeded"
	answer("high", roles).reason == "role.exceeded"
}

test_a_role_says_nothing_of_other_servers if {
	roles := {"definitions": {"drive-reader": {"servers": {"drive": "high"}}}, "agents": {"agent-1": ["drive-reader"]}}
	answer("low", roles).reason == "role.exceeded"
}

test_who_has_no_role_is_not_narrowed if {
	answer("high", {"definitions": crm_reader, "agents": {"agent-2": ["crm-reader"]}}).allow
}

test_person_and_agent_are_each_held_to_their_own if {
	writer := object.union(crm_reader, {"crm-writer": {"servers": {"tickets": "medium"}}})
	roles := {"definitions": writer, "agents": {"agent-1": ["crm-writer"]}, "people": {"bob@acme.test": ["crm-reader"]}}
	answer("low", roles).allow
	answer("medium", roles).reason == "role.exceeded"
}

test_one_fitting_role_of_several_is_enough if {
	writer := object.union(crm_reader, {"crm-writer": {"servers": {"tickets": "medium"}}})
	roles := {"definitions": writer, "groups": {"engineering": ["crm-writer", "crm-reader"]}}
	answer("medium", roles).allow
	not answer("high", roles).allow
}

test_a_role_may_name_tools_by_pattern if {
	named := {"merger": {"servers": {"tickets": "high"}, "tools": {"tickets": ["merge_*", "delete_issue"]}}}
	roles := {"definitions": named, "agents": {"agent-1": ["merger"]}}
	answer("high", roles).allow
	other := {"merger": {"servers": {"tickets": "high"}, "tools": {"tickets": ["merge_*"]}}}
	answer("high", {"definitions": other, "agents": {"agent-1": ["merger"]}}).reason == "role.exceeded"
}

test_a_role_nobody_defined_fits_nothing if {
	answer("low", {"definitions": {}, "agents": {"agent-1": ["ghost"]}}).reason == "role.exceeded"
}
