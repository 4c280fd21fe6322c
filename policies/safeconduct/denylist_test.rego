package safeconduct.denylist_test

import rego.v1

answer(lists) := got if {
	got := data.safeconduct.decision.answer with input as data.safeconduct.fixtures.permitted
		with data.denylists as lists
}

test_a_listed_agent_is_refused if {
	answer({"clients": ["agent-1"], "subjects": []}).reason == "denylist.listed"
	answer({"clients": ["agent-2"], "subjects": []}).allow
}

test_a_listed_person_is_refused_by_id_and_by_address if {
	answer({"clients": [], "subjects": ["bob"]}).reason == "denylist.listed"
	answer({"clients": [], "subjects": ["bob@acme.test"]}).reason == "denylist.listed"
	answer({"clients": [], "subjects": ["alice@acme.test"]}).allow
}

test_no_lists_refuse_nobody if {
	answer({}).allow
}
