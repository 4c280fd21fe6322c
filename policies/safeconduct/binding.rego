# METADATA
# title: Binding
# description: >-
#   Who is asking, and do the facts belong to exactly that session? Facts of another person,
#   agent or server never count, even when they would allow more.
# custom: {requirements: [Z-11, Z-23, K-03]}
package safeconduct.decision

import rego.v1

session_live if input.session.live == true

subject_active if input.subject.active == true

client_active if input.client.active == true

bound if {
	input.subject.id == input.caller.subject
	input.client.id == input.caller.client
	input.session.id == input.caller.session
	input.session.server == input.resource.server
}

session_message := sprintf(
	"This session on %s has ended. Connect to the server again.",
	[server],
)

subject_message := "This account is not active on this host. Ask an admin."

client_message := "An admin of this host has blocked this agent. Ask an admin."

binding_message := sprintf(
	"This session was not opened for %s by this person and agent. Connect to the server again.",
	[server],
)
