# METADATA
# title: Deny-lists
# description: >-
#   Agents and people that are refused whatever else is so: `denylists.clients` holds client ids,
#   `denylists.subjects` addresses or ids of people. The shape of both was checked when the data
#   was read, so that a slip of the pen cannot empty them.
# custom: {requirements: [T-31, D-08]}
package safeconduct.decision

import rego.v1

denylisted if input.client.id in data.denylists.clients

denylisted if input.subject.id in data.denylists.subjects

denylisted if input.subject.email in data.denylists.subjects

listed_nowhere if {
	not data.denylists
} else if {
	not denylisted
}

denylist_message := "A deny-list of this host refuses this agent or person. Ask an admin."
