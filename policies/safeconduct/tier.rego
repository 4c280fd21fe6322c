# METADATA
# title: Trust tiers
# description: >-
#   Which level an agent's tier may use on which server. `agents.trust_tiers` lists the providers
#   of each tier; `agents.providers` says which provider an agent is of, by client id (an agent
#   that is not listed is its own provider); `agents.tier_levels` gives the level of a tier by
#   server. A tier says nothing of a server it does not list, and so allows nothing there. Where
#   `agents.trust_tiers` is not given, there are no tiers and nothing is refused for lack of one.
# custom: {requirements: [T-19, T-20, T-21, T-22, T-30]}
package safeconduct.decision

import rego.v1

import data.safeconduct.tiers.tier

tiered if data.agents.trust_tiers

within_tier if not tiered

within_tier if {
	ranks := data.safeconduct.levels.rank
	ranks[input.tool.level] <= ranks[data.agents.tier_levels[tier][input.resource.server]]
}

no_tier_message := "This agent is in no trust tier of this host, so it may use nothing here. Ask an admin."

tier_message := sprintf(
	"%s needs level %s, which agents of trust tier %s may not use on %s. Ask an admin.",
	[target, needed, tier, server],
)
