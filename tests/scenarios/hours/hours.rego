package safeconduct.host

import rego.v1

deny contains {"reason": "read_only", "message": "Outside the EU and business hours, only reading is allowed."} if {
	data.safeconduct.levels.rank[input.tool.level] > 1
	not in_hours
}

deny contains {"reason": "region", "message": "Only people of the EU may use this host."} if not in_region

in_region if input.subject.attributes.region == "EU"

in_hours if {
	now := time.parse_rfc3339_ns(input.environment.time)
	[hour, _, _] := time.clock(now)
	hour >= 8
	hour < 18
	not time.weekday(now) in {"Saturday", "Sunday"}
}

obligations contains {"type": "redact", "pointers": ["/**/email"]} if input.client.kind == "dynamic"
