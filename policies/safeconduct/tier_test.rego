package safeconduct.tier_test

import rego.v1

tiers := {
	"internal_trusted": ["claude-code-trusted", "our-internal-scanner"],
	"developer": ["claude-code"],
	"ci_agent": ["ci-bot"],
	"read_only": ["security-scanner"],
}

levels := {
	"internal_trusted": {"drive": "medium", "jira": "medium", "slack": "medium"},
	"developer": {"drive": "medium", "jira": "medium", "slack": "medium"},
	"ci_agent": {"drive": "low", "jira": "medium"},
	"read_only": {"drive": "low", "jira": "low"},
}

# Provider, server, level, allowed: the worked example of trust tiers.
cells := [
	["claude-code", "drive", "low", true],
	["claude-code", "drive", "medium", true],
	["claude-code", "jira", "medium", true],
	["claude-code", "slack", "medium", true],
	["claude-code", "database", "high", false],
	["ci-bot", "drive", "low", true],
	["ci-bot", "drive", "medium", false],
	["ci-bot", "jira", "medium", true],
	["ci-bot", "slack", "low", false],
	["ci-bot", "database", "high", false],
	["security-scanner", "drive", "low", true],
	["security-scanner", "drive", "medium", false],
	["security-scanner", "jira", "low", true],
	["security-scanner", "jira", "medium", false],
	["security-scanner", "slack", "low", false],
	["security-scanner", "database", "high", false],
	["claude-code-trusted", "drive", "medium", true],
	["claude-code-trusted", "jira", "medium", true],
	["claude-code-trusted", "slack", "medium", true],
	["claude-code-trusted", "database", "high", false],
]

asked(server, level) := object.union(data.safeconduct.fixtures.levels(level, "high", "high"), {
	"resource": {"kind": "tool", "server": server, "name": "x"},
	"session": {"id": "ses-1", "server": server, "live": true},
})

answer(provider, server, level, levels_of_tiers) := got if {
	got := data.safeconduct.decision.answer with input as asked(server, level)
		with data.agents as {
			"trust_tiers": tiers,
			"providers": {"agent-1": provider},
			"tier_levels": levels_of_tiers,
		}
}

test_the_matrix_of_trust_tiers_holds if {
	every cell in cells {
		answer(cell[0], cell[1], cell[2], levels).allow == cell[3]
	}
}

test_one_row_of_data_changes_the_outcome if {
	not answer("ci-bot", "slack", "low", levels).allow
	changed := object.union(levels, {"ci_agent": {"drive": "low", "jira": "medium", "slack": "low"}})
	answer("ci-bot", "slack", "low", changed).allow
	not answer("ci-bot", "slack", "medium", changed).allow
}

test_a_provider_in_no_tier_may_use_nothing if {
	answer("somebody-else", "drive", "low", levels).reason == "tier.none"
}

test_above_the_tier_is_said_as_such if {
	answer("ci-bot", "drive", "medium", levels).reason == "tier.exceeded"
}

test_an_agent_without_a_provider_is_its_own if {
	got := data.safeconduct.decision.answer with input as asked("jira", "low")
		with data.agents as {"trust_tiers": {"developer": ["agent-1"]}, "tier_levels": levels}
	got.allow
}

test_without_tiers_nothing_is_refused_for_lack_of_one if {
	data.safeconduct.decision.allow with input as data.safeconduct.fixtures.permitted
}
