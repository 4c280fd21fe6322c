package safeconduct.host

import rego.v1

obligations contains {"type": "require_approval", "within_seconds": 60} if {
	input.resource.server == "tickets"
	input.resource.name == "delete_issue"
}

obligations contains {"type": "throttle", "count": 1, "seconds": 60, "per": "agent"} if {
	input.resource.server == "tickets"
	input.resource.name == "create_issue"
}

obligations contains {"type": "redact", "pointers": ["/**/email"]} if {
	input.resource.server == "tickets"
	input.resource.name == "get_issue"
}
