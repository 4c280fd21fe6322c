package safeconduct.decision_test

import rego.v1

test_allow_answers_exactly_eight_members if {
	answer := data.safeconduct.decision.answer with input as data.safeconduct.fixtures.permitted
	answer == {
		"allow": true,
		"reason": "allowed",
		"message": "Allowed.",
		"required_level": "high",
		"effective_level": "high",
		"step_up": false,
		"obligations": [],
		"rules": [],
	}
}

test_an_empty_input_is_refused if {
	answer := data.safeconduct.decision.answer with input as {}
	not answer.allow
	answer.reason == "session.ended"
}

test_every_single_missing_member_is_refused if {
	needed := {"caller", "subject", "client", "session", "consent", "ceiling", "tool", "resource", "relations"}
	every name in needed {
		not allowed_without(name)
	}
}

allowed_without(name) if {
	data.safeconduct.decision.allow with input as object.remove(data.safeconduct.fixtures.permitted, {name})
}

test_the_first_reason_wins if {
	everything_wrong := object.union(data.safeconduct.fixtures.permitted, {
		"session": null,
		"subject": {},
		"client": {},
		"tool": {},
		"consent": null,
		"ceiling": null,
	})
	data.safeconduct.decision.verdict.reason == "session.ended" with input as everything_wrong
}

test_a_server_without_a_name_is_called_by_its_key if {
	data.safeconduct.decision.target == "tickets" with input as data.safeconduct.fixtures.changed("resource", {"name": ""})
}

test_long_names_are_cut if {
	long := concat("", [n | some _ in split("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ""); n := "0123456789"])
	name := data.safeconduct.decision.target with input as data.safeconduct.fixtures.changed("resource", {"name": long})
	count(name) == 128
}
