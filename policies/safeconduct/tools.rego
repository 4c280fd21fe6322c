# METADATA
# title: Tools
# description: >-
#   Only tools that an admin has seen and left enabled, in the shape the admin saw, can be
#   called. A disabled tool reads exactly like one that does not exist, so it shows no level.
# custom: {requirements: [Z-02, K-11]}
package safeconduct.decision

import rego.v1

tool_known if input.tool.known == true

tool_enabled if input.tool.enabled == true

tool_pinned if input.tool.state == "pinned"

default required_level := null

required_level := input.tool.level if {
	tool_known
	tool_enabled
	data.safeconduct.levels.rank[input.tool.level]
}

unknown_message := sprintf("Unknown %s: %s", [kind, target])

default kind := "tool"

kind := input.resource.kind if is_string(input.resource.kind)

changed_message := sprintf(
	"%s is new at the server %s and awaits review. Ask an admin of this host to review it.",
	[target, server],
) if {
	input.tool.state == "new"
} else := sprintf(
	"%s was changed by the server %s and awaits review. Ask an admin of this host to review it.",
	[target, server],
)
