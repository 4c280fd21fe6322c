# METADATA
# title: The decision
# description: >-
#   Answers one access request from the facts in the input. `allow` names everything that must
#   hold; `verdict` names the first thing that does not. An allow is asked for first, so that the
#   common answer is short; the PDP compares its levels once more and refuses what disagrees.
# custom: {requirements: [Z-01, Z-02, Z-03, Z-20, Z-29, Z-30, Z-37]}
package safeconduct.decision

import rego.v1

answer := {
	"allow": allow,
	"reason": verdict.reason,
	"message": verdict.message,
	"required_level": required_level,
	"effective_level": effective_level,
	"step_up": step_up,
	"obligations": obligations,
	"rules": rules,
}

default allow := false

allow if {
	session_live
	subject_active
	client_active
	bound
	listed_nowhere
	tool_known
	tool_enabled
	tool_pinned
	has_ceiling
	has_consent
	consent_live
	within_ceiling
	within_consent
	within_tier
	within_roles
	related
	host_agrees
}

# The order is part of the contract: what the caller cannot help comes before what it can, and
# a tool that is hidden is refused before anything is said about levels.
default verdict := {
	"reason": "engine.failed",
	"message": "The policy gave no answer, so the request was refused. Ask an admin of this host.",
}

verdict := {"reason": "allowed", "message": "Allowed."} if allow

else := {"reason": "session.ended", "message": session_message} if not session_live

else := {"reason": "subject.inactive", "message": subject_message} if not subject_active

else := {"reason": "client.blocked", "message": client_message} if not client_active

else := {"reason": "binding.mismatch", "message": binding_message} if not bound

else := {"reason": "denylist.listed", "message": denylist_message} if not listed_nowhere

else := {"reason": "tool.unknown", "message": unknown_message} if not tool_known

else := {"reason": "tool.disabled", "message": unknown_message} if not tool_enabled

else := {"reason": "tool.changed", "message": changed_message} if not tool_pinned

else := {"reason": "ceiling.none", "message": no_ceiling_message} if not has_ceiling

else := {"reason": "consent.none", "message": no_consent_message} if not has_consent

else := {"reason": "consent.expired", "message": expired_message} if not consent_live

else := {"reason": "ceiling.exceeded", "message": ceiling_message} if not within_ceiling

else := {"reason": "consent.level", "message": consent_message} if not within_consent

else := {"reason": "tier.none", "message": no_tier_message} if {
	tiered
	data.safeconduct.tiers.tier == null
}

else := {"reason": "tier.exceeded", "message": tier_message} if not within_tier

else := {"reason": "role.exceeded", "message": role_message} if not within_roles

else := {"reason": relation_reason, "message": relation_message} if not related

else := {"reason": host_reason, "message": host_message} if not host_agrees

# What the messages call the thing that was asked for. Names come from the caller, so they are
# cut; a server is asked for by its key.
target := substring(input.resource.name, 0, 128) if {
	is_string(input.resource.name)
	input.resource.name != ""
} else := server

# Messages must not fail where facts are missing, or the next reason would be named instead.
default server := "this server"

server := input.resource.server if is_string(input.resource.server)

default needed := "unknown"

needed := input.tool.level if data.safeconduct.levels.rank[input.tool.level]
