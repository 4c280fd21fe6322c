# METADATA
# title: A host's own rules
# description: >-
#   Modules in package `safeconduct.host`, or below it, add reasons to refuse:
#   `deny contains {"reason": "...", "message": "..."} if ...`, and conditions on what is allowed:
#   `obligations contains {"type": "...", ...} if ...`. They cannot allow anything. The loader
#   collects every such set in `safeconduct.extensions`. Whatever is in `deny` refuses, also when
#   it is not shaped as it should be, and an obligation nobody knows refuses what it was put on.
#
#   Rules are asked about calls, items of lists, open streams and tokens (`input.phase`); one that
#   refuses whatever it does not know refuses tokens too, and then nobody can connect.
#
#   Undefined is not false: a rule that reads an attribute which is missing does not fire. So
#   say what is needed and negate it: `deny contains {...} if not in_region`, with
#   `in_region if input.subject.attributes.region == "EU"`, and keep computed values out of the
#   head of `deny`, where one that is undefined would take the refusal with it.
# custom: {requirements: [Z-20]}
package safeconduct.decision

import rego.v1

# Engines that check types would otherwise refuse what is said below of a member that no rule of
# the host's gives; the second of these never fires, and says that anything may be in there.
host_denial contains denial if some denial in data.safeconduct.extensions.deny

host_denial contains denial if {
	false
	some denial in input.arguments
}

host_denials := [denial | some denial in host_denial]

host_agrees if count(host_denials) == 0

default host_reason := "policy.unspecified"

# Sets are sorted, so which one comes first does not depend on the order of files.
host_reason := concat("", ["policy.", host_denials[0].reason]) if {
	is_string(host_denials[0].reason)
	regex.match(`^[a-z0-9_.-]{1,64}$`, host_denials[0].reason)
}

default host_message := "A policy of this host does not allow this request. Ask an admin."

host_message := host_denials[0].message if {
	is_string(host_denials[0].message)
	host_denials[0].message != ""
	substring(host_denials[0].message, 512, 1) == "" # engines count characters differently
}

default obligations := []

obligations := [each | some each in data.safeconduct.extensions.obligations] if allow

# What decided: every reason of the host's own that fired, or the built-in one that came first.
default rules := []

rules := [verdict.reason] if {
	not allow
	host_agrees
}

rules := [rule_name(denial) | some denial in host_denials] if not host_agrees

rule_name(denial) := denial.reason if {
	is_object(denial)
	is_string(denial.reason)
	substring(denial.reason, 64, 1) == ""
} else := "unspecified"
