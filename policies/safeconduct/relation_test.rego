package safeconduct.relation_test

import rego.v1

fact := {
	"name": "",
	"object": "ticket:T-7",
	"permission": "edit",
	"subject": "person:bob",
	"allowed": true,
	"required": true,
	"path": [],
}

answer(facts) := got if {
	got := data.safeconduct.decision.answer with input as object.union(data.safeconduct.fixtures.permitted, {"relations": facts})
}

test_every_binding_must_hold if {
	answer([fact]).allow
	answer([fact, fact]).allow
	denied := answer([fact, object.union(fact, {"object": "ticket:T-8", "allowed": false})])
	denied.reason == "relation.denied"
	denied.message == "delete_issue needs permission edit on ticket:T-8, which this person does not have. Ask its owner or an admin."
}

test_no_object_is_no if {
	answer([object.union(fact, {"object": "", "allowed": false})]).reason == "relation.unnamed"
}

test_facts_that_are_missing_or_malformed_refuse if {
	answer(null).reason == "relation.denied"
	answer([{}]).reason == "relation.denied"
	not answer([object.remove(fact, {"allowed"})]).allow
	not answer([object.union(fact, {"allowed": "yes"})]).allow
}

test_a_hosts_own_question_refuses_nothing_by_itself if {
	answer([object.union(fact, {"name": "owns", "required": false, "allowed": false})]).allow
}
