# METADATA
# title: Tiers
# description: >-
#   Which provider an agent is of, and which trust tier that provider is in. A host's own rules
#   may read both: `data.safeconduct.tiers.tier == "read_only"`.
# custom: {requirements: [T-20]}
package safeconduct.tiers

import rego.v1

default provider := null

provider := data.agents.providers[input.client.id] if {
	data.agents.providers[input.client.id]
} else := input.client.id

default tier := null

tier := name if {
	some name, providers in data.agents.trust_tiers
	provider in providers
}
