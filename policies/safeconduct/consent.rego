# METADATA
# title: Consent
# description: >-
#   What this person allowed this agent on this server, and until when. Consenting again helps
#   only where the ceiling already allows the level; only then is a step-up offered.
# custom: {requirements: [Z-09, Z-23, K-13]}
package safeconduct.decision

import rego.v1

has_consent if data.safeconduct.levels.rank[input.consent.level]

consent_live if {
	has_consent
	input.consent.live == true
}

within_consent if {
	ranks := data.safeconduct.levels.rank
	ranks[input.tool.level] <= ranks[input.consent.level]
}

default step_up := false

step_up if verdict.reason == "consent.level"

no_consent_message := sprintf(
	"This person has not allowed this agent to use %s. Connect to the server again and choose a trust level.",
	[server],
)

expired_message := sprintf(
	"This person's consent for %s has ended. Connect to the server again to renew it.",
	[server],
)

consent_message := sprintf(
	"%s needs level %s; this person allowed this agent %s on %s. Ask the person to sign in again and choose %s.",
	[target, needed, input.consent.level, server, needed],
)
