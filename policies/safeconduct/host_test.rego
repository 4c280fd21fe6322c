package safeconduct.host_rules_test

import rego.v1

answer(denials) := got if {
	got := data.safeconduct.decision.answer with input as data.safeconduct.fixtures.permitted
		with data.safeconduct.extensions.deny as denials
}

test_nothing_denied if answer(set()).allow

test_a_reason_is_prefixed if {
	refused := answer({{"reason": "outside_hours", "message": "Only between 8 and 18."}})
	not refused.allow
	refused.reason == "policy.outside_hours"
	refused.message == "Only between 8 and 18."
}

test_a_malformed_denial_still_denies if {
	every denial in ["no", 7, {}, {"reason": 1}, {"reason": "Spaces here", "message": 1}, false, null] {
		refused := answer({denial})
		not refused.allow
		refused.reason == "policy.unspecified"
		refused.message == "A policy of this host does not allow this request. Ask an admin."
	}
}

test_levels_come_before_a_hosts_own_rules if {
	refused := data.safeconduct.decision.answer with input as data.safeconduct.fixtures.levels("high", "low", "high")
		with data.safeconduct.extensions.deny as {{"reason": "x"}}
	refused.reason == "consent.level"
}
