package safeconduct.consent_test

import rego.v1

test_no_consent if {
	answer := data.safeconduct.decision.answer with input as object.union(data.safeconduct.fixtures.permitted, {"consent": null})
	answer.reason == "consent.none"
	not answer.step_up
}

test_expired_consent_counts_for_nothing if {
	answer := data.safeconduct.decision.answer with input as data.safeconduct.fixtures.changed("consent", {"live": false})
	answer.reason == "consent.expired"
	answer.effective_level == null
}

test_step_up_where_the_ceiling_allows_it if {
	answer := data.safeconduct.decision.answer with input as data.safeconduct.fixtures.levels("high", "medium", "high")
	answer.reason == "consent.level"
	answer.step_up
}

test_no_step_up_where_it_would_not_help if {
	answer := data.safeconduct.decision.answer with input as data.safeconduct.fixtures.levels("high", "low", "medium")
	answer.reason == "ceiling.exceeded"
	not answer.step_up
}
