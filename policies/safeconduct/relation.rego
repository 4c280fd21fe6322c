# METADATA
# title: Relations
# description: >-
#   Every instance that a binding says the call is about needs the permission it names. The
#   questions were answered before the rules run; one that names no object was answered no.
# custom: {requirements: [Z-16, Z-17, Z-18, Z-19]}
package safeconduct.decision

import rego.v1

related if {
	is_array(input.relations)
	every fact in input.relations {
		permitted(fact)
	}
}

permitted(fact) if fact.required == false

permitted(fact) if fact.allowed == true

default missing := []

missing := [fact | some fact in input.relations; not permitted(fact)] if is_array(input.relations)

default relation_reason := "relation.denied"

relation_reason := "relation.unnamed" if missing[0].object == ""

default relation_message := "What this call is about cannot be told, so it was refused. Ask an admin of this host."

relation_message := sprintf(
	"%s needs permission %s on %s, which this %s does not have. Ask its owner or an admin.",
	[target, missing[0].permission, substring(missing[0].object, 0, 128), holder],
) if {
	missing[0].object != ""
} else := sprintf(
	"%s is about an instance that an argument names, and that argument is missing or no plain name. Name it and try again.",
	[target],
) if {
	missing[0].object == ""
}

default holder := "person"

holder := "agent" if startswith(missing[0].subject, "agent:")
