package safeconduct.ceiling_test

import rego.v1

# Consent, ceiling, effective: all nine.
cells := [
	["high", "high", "high"],
	["high", "medium", "medium"],
	["high", "low", "low"],
	["medium", "high", "medium"],
	["medium", "medium", "medium"],
	["medium", "low", "low"],
	["low", "high", "low"],
	["low", "medium", "low"],
	["low", "low", "low"],
]

test_effective_is_the_lower_of_the_two if {
	every cell in cells {
		level := data.safeconduct.decision.effective_level with input as data.safeconduct.fixtures.levels("low", cell[0], cell[1])
		level == cell[2]
	}
}

test_no_ceiling_is_no_level if {
	answer := data.safeconduct.decision.answer with input as object.union(data.safeconduct.fixtures.permitted, {"ceiling": null})
	answer.reason == "ceiling.none"
	answer.effective_level == null
}

test_above_the_ceiling if {
	answer := data.safeconduct.decision.answer with input as data.safeconduct.fixtures.levels("high", "high", "medium")
	answer.reason == "ceiling.exceeded"
	not answer.step_up
	answer.message == "delete_issue needs level high; an admin of this host limits this person to medium on tickets. Ask an admin."
}

test_a_word_that_is_no_level_has_no_rank if {
	data.safeconduct.decision.verdict.reason == "ceiling.none" with input as data.safeconduct.fixtures.levels("low", "low", "highest")
	data.safeconduct.decision.verdict.reason == "ceiling.exceeded" with input as data.safeconduct.fixtures.levels("none", "low", "low")
	not data.safeconduct.decision.allow with input as data.safeconduct.fixtures.levels(null, "high", "high")
}
