package safeconduct.question_test

import rego.v1

fact(name, allowed) := {
	"name": name,
	"object": "ticket:T-7",
	"permission": "edit",
	"subject": "person:bob",
	"allowed": allowed,
	"required": false,
	"path": [],
}

test_answers_are_found_by_name if {
	facts := [fact("owns", true), fact("owns", false), fact("shares", true), fact("", true)]
	got := data.safeconduct.questions.answers with input as {"relations": facts}
	got == {"owns": false, "shares": true}
}

test_without_questions_there_are_no_answers if {
	got := data.safeconduct.questions.answers with input as {"relations": []}
	got == {}
}
