# METADATA
# title: Ceiling
# description: >-
#   The level an admin lets this person grant on this server. What an agent may do is the lower
#   of this and the consent, so an agent can do nothing its person could not.
# custom: {requirements: [Z-07, Z-09, Z-30, K-16]}
package safeconduct.decision

import rego.v1

has_ceiling if data.safeconduct.levels.rank[input.ceiling]

# Ranks are looked up, never compared as words: Rego orders any two values, whatever their types.
within_ceiling if {
	ranks := data.safeconduct.levels.rank
	ranks[input.tool.level] <= ranks[input.ceiling]
}

default effective_level := null

effective_level := input.consent.level if {
	consent_live
	ranks := data.safeconduct.levels.rank
	ranks[input.consent.level] <= ranks[input.ceiling]
} else := input.ceiling if {
	consent_live
	ranks := data.safeconduct.levels.rank
	ranks[input.consent.level] > ranks[input.ceiling]
}

no_ceiling_message := sprintf(
	"No admin of this host has given this person access to %s. Ask an admin.",
	[server],
)

ceiling_message := sprintf(
	"%s needs level %s; an admin of this host limits this person to %s on %s. Ask an admin.",
	[target, needed, input.ceiling, server],
)
