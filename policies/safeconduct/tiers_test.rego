package safeconduct.tiers_test

import rego.v1

agents := {"trust_tiers": {"developer": ["claude-code"]}, "providers": {"agent-1": "claude-code"}}

test_an_agent_is_in_its_providers_tier if {
	data.safeconduct.tiers.tier == "developer" with input as {"client": {"id": "agent-1"}} with data.agents as agents
	data.safeconduct.tiers.tier == "developer" with input as {"client": {"id": "claude-code"}} with data.agents as agents
}

test_an_agent_of_an_unknown_provider_is_in_none if {
	data.safeconduct.tiers.tier == null with input as {"client": {"id": "agent-2"}} with data.agents as agents
	data.safeconduct.tiers.tier == null with input as {} with data.agents as agents
}
