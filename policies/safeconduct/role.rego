# METADATA
# title: Roles
# description: >-
#   Roles narrow what their holders may use; who holds none is not narrowed. `roles.agents` gives
#   roles by client id, `roles.people` by address, `roles.groups` by group. A role in
#   `roles.definitions` gives a level by server, and may name the tools of a server as patterns.
#   Of several roles, one that fits is enough; person and agent are each held to their own.
# custom: {requirements: [Z-14, Z-33, Z-43]}
package safeconduct.decision

import rego.v1

agent_roles contains role if some role in data.roles.agents[input.client.id]

person_roles contains role if some role in data.roles.people[input.subject.email]

person_roles contains role if {
	some group in input.subject.groups
	some role in data.roles.groups[group]
}

within_roles if not data.roles

within_roles if {
	fits_one_of(agent_roles)
	fits_one_of(person_roles)
}

fits_one_of(roles) if count(roles) == 0

fits_one_of(roles) if {
	some role in roles
	definition := data.roles.definitions[role]
	ranks := data.safeconduct.levels.rank
	ranks[input.tool.level] <= ranks[definition.servers[input.resource.server]]
	names_tool(definition)
}

names_tool(definition) if not definition.tools[input.resource.server]

names_tool(definition) if input.resource.kind != "tool"

names_tool(definition) if {
	some pattern in definition.tools[input.resource.server]
	glob.match(pattern, [], input.resource.name)
}

role_message := sprintf(
	"%s on %s is beyond the roles of this agent or person. Ask an admin.",
	[target, server],
)
